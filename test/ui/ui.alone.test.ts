import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { spawnGuarded, type GuardedProcess } from '../../tools/processes/spawn-guarded';
import { runTypeScript } from '../../tools/typescript/run-typescript';
import { connectClient } from '../../workers/connection';
import { TemporalUi, withBrowser } from './temporal-ui';

const script = (name: string) =>
  runTypeScript(join(__dirname, '..', '..', 'scripts', `${name}.ts`));

/** A server of its own for `npm run dev`, whatever this process is configured for. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')),
);

/** The save that never succeeds: on a slow machine the budget is spent between two attempts, or during one. */
const SAVE_FAILED =
  /saveVm of vm-02 (failed before its effect|was given up)|saveVm did not succeed/;

withBrowser('the Temporal UI as the front door: the links that npm run dev prints', () => {
  let directory: string;
  let dev: GuardedProcess;
  let ui: TemporalUi;
  let client: Client;
  let printed = '';

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-dev-'));
    const size = ['--hosts', '2', '--vms', '2', '--profile', 'zero'];
    dev = await spawnGuarded(
      process.execPath,
      [...script('dev'), '--directory', directory, ...size],
      { env: environment, output: 'pipe', graceMs: 20_000 },
    );
    await new Promise<void>((resolve, reject) => {
      dev.stdout?.on('data', (text: Buffer) => {
        printed += text.toString();
        if (printed.includes('Ctrl-C stops everything')) resolve();
      });
      void dev.exited.then(() => {
        reject(new Error(`npm run dev ended:\n${printed}`));
      });
    });
    const address = /^Server: +(\S+) /m.exec(printed)?.[1] ?? 'no address was printed';
    client = await connectClient({
      address,
      namespace: 'default',
      connectionOptions: { address },
    });
    ui = await TemporalUi.open();
  });
  afterAll(async () => {
    await ui.close();
    await client.connection.close();
    await dev.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The form of a workflow, as it was printed. */
  const form = (workflowType: string): string => {
    const link = new RegExp(`^ +${workflowType} +(http\\S+)$`, 'm').exec(printed)?.[1];
    if (link === undefined) throw new Error(`no link of ${workflowType} in:\n${printed}`);
    return link;
  };
  const page = (path: string) =>
    `${new URL(form('fastSave')).origin}/namespaces/default/workflows${path}`;
  const runPage = (workflowId: string) => page(`/${workflowId}`);
  const found = (query: string) => page(`?query=${encodeURIComponent(query)}`);

  test('open forms that are filled in: a save and a restore are started as they stand', async () => {
    for (const workflowType of ['fastSave', 'fastRestore']) {
      const input = await ui.startFromForm(form(workflowType), `a-${workflowType}`);
      expect(JSON.parse(input)).toEqual({ hostId: 'host-01', vmId: 'vm-01' });
      await ui.watch(runPage(`a-${workflowType}`), 'Completed');
      await ui.picture(`timeline-${workflowType}`);
    }
    await ui.page.getByText('resume vm-01: the blackout ends').waitFor();
    await (await ui.details()).getByText('vm-01 on host-01: kept').waitFor();
    await ui.picture('details-fastRestore');
  });

  test('send a command to a function as it stands, and one that is denied', async () => {
    const input = await ui.startFromForm(form('commandFunction'), 'a-command');
    expect(JSON.parse(input)).toMatchObject({ operation: 'reallocateVirtualFunction' });
    await ui.watch(runPage('a-command'), 'Completed');
    await (await ui.details()).getByText('reallocateVirtualFunction performed').waitFor();
    await ui.picture('details-commandFunction');

    await ui.startFromForm(form('commandFunction'), 'a-denied-command', {
      functionId: 'local:host-01/epf-vm-01',
      operation: 'powerCycleDevice',
    });
    await ui.watch(runPage('a-denied-command'), 'Failed');
    const details = await ui.details();
    await details.getByText('Failed: FunctionPolicyDenied.').waitFor();
    await details
      .getByText(/denied by rule .no-power-cycle/)
      .first()
      .waitFor();
    await ui.picture('details-commandFunction-denied');
  });

  test('start a servicing run, which a person watches end and finds by host and outcome', async () => {
    await ui.startFromForm(form('serviceHost'), 'a-serviceHost', {
      hostId: 'host-01',
      update: { version: '3.0.0' },
    });
    await ui.watch(runPage('a-serviceHost'), 'Completed');
    await ui.picture('timeline-serviceHost');
    const details = await ui.details();
    await details.getByText('host-01: updated').waitFor();
    await details.getByText('VF outage ms').waitFor();
    await details.getByRole('link', { name: 'restore' }).first().waitFor();
    await ui.picture('details-serviceHost');
    await ui.narrowPicture('details-serviceHost-narrow');

    await ui.page.goto(found('`HostId`="host-01" AND `Outcome`="updated"'));
    await ui.page.getByText('a-serviceHost').first().waitFor();
    await ui.picture('list');
  });

  test('start a fleet update, which a person finds by what it waits for and watches end', async () => {
    await ui.startFromForm(form('updateFleet'), 'a-updateFleet', {
      update: { version: '4.0.0' },
      hosts: ['host-01', 'host-02'],
      strategy: { approval: 'after-canary', bakeTime: { giveUpAfter: '0s' } },
    });
    const waiting = '`WaitingFor`="approval"';
    while ((await client.workflow.count(waiting)).count === 0) await delay(100);
    await ui.page.goto(found(waiting));
    await ui.page.getByText('a-updateFleet').first().waitFor();
    await ui.page.goto(runPage('a-updateFleet'));
    await (await ui.details()).getByText('waits for approval').waitFor();
    await ui.picture('details-updateFleet-waits');

    const handle = client.workflow.getHandle('a-updateFleet');
    const approve = { by: 'ada', reason: 'the canary is well', wave: 2 };
    await handle.executeUpdate('approve', { args: [approve] });
    expect(await handle.result()).toMatchObject({ outcome: 'updated', counts: { updated: 2 } });
    await ui.watch(runPage('a-updateFleet'), 'Completed');
    await ui.picture('timeline-updateFleet');
    await (await ui.details()).getByText('updated, wave 2 of 2').waitFor();
    await ui.picture('details-updateFleet');
  });

  test('wrong input ends with a failure that names the field', async () => {
    const wrong = { hostId: 'host-01', vmid: 'vm-01' };
    await ui.startFromForm(form('fastSave'), 'a-wrong-input', wrong);
    await ui.watch(runPage('a-wrong-input'), 'Failed');
    await ui.page.getByText('vmId must be a string', { exact: false }).first().waitFor();
    await ui.picture('invalid-input');
  });

  test('a run that failed says what to do, and its history, downloaded in the UI, replays', async () => {
    await ui.startFromForm(form('fastSave'), 'a-failure', {
      hostId: 'host-02',
      vmId: 'vm-02',
      blackoutBudget: '2s',
      faults: [{ step: 'saveVm', kind: 'fail-before', times: 1000 }],
    });
    await ui.watch(runPage('a-failure'), 'Failed');
    await ui.page.getByText('save VM state of vm-02').first().waitFor();
    await ui.picture('timeline-failure');
    const file = join(directory, 'history.json');
    await ui.download(file);

    const details = await ui.details();
    await details.getByText('Failed: SaveUndone.').waitFor();
    await details.getByText('Mend the cause below, then start again.').waitFor();
    await details.getByText(SAVE_FAILED).waitFor();
    await details.getByText('npm run replay -- a-failure').waitFor();
    await ui.picture('details-failure');
    await ui.narrowPicture('details-failure-narrow');

    const bundle = ['--workflow-bundle', join(directory, 'workflow-bundle.js')];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...script('replay'), file, '--json', ...bundle],
      { env: environment, maxBuffer: 16 * 1024 * 1024 },
    );
    expect(JSON.parse(stdout)).toMatchObject({
      type: 'fastSave',
      deterministic: true,
      outcome: 'failed',
      failure: {
        type: 'SaveUndone',
        step: 'saveVm',
        root: { type: expect.stringMatching(/^(HostStepFailed|BlackoutBudgetSpent)$/) },
      },
    });
  });

  test('are good until a SIGTERM, which ends everything gracefully', async () => {
    expect(await dev.stop()).toEqual({ code: 0, signal: null });
  });
});
