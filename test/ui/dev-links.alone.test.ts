import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { spawnGuarded, type GuardedProcess } from '../../tools/processes/spawn-guarded';
import { TemporalUi, withBrowser } from './temporal-ui';
import { runTypeScript } from '../../tools/typescript/run-typescript';

const script = (name: string) =>
  runTypeScript(join(__dirname, '..', '..', 'scripts', `${name}.ts`));

/** A server of its own for `npm run dev`, whatever this process is configured for. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')),
);

/** The save that never succeeds: on a slow machine the budget is spent between two attempts, or during one. */
const SAVE_FAILED =
  /saveVm of vm-02 (failed before its effect|was given up)|saveVm did not succeed/;

withBrowser('the links that npm run dev prints', () => {
  let directory: string;
  let dev: GuardedProcess;
  let ui: TemporalUi;
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
    ui = await TemporalUi.open();
  });
  afterAll(async () => {
    await ui.close();
    await dev.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The form of a workflow, as it was printed. */
  const form = (workflowType: string): string => {
    const link = new RegExp(`^ +${workflowType} +(http\\S+)$`, 'm').exec(printed)?.[1];
    if (link === undefined) throw new Error(`no link of ${workflowType} in:\n${printed}`);
    return link;
  };
  const runPage = (workflowId: string) =>
    `${new URL(form('fastSave')).origin}/namespaces/default/workflows/${workflowId}`;

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

  test('start a servicing run and a fleet update, which a person watches end', async () => {
    await ui.startFromForm(form('serviceHost'), 'a-serviceHost', {
      hostId: 'host-01',
      update: { version: '3.0.0' },
    });
    await ui.watch(runPage('a-serviceHost'), 'Completed');
    await ui.picture('timeline-serviceHost');
    await (await ui.details()).getByText('host-01: updated').waitFor();
    await ui.picture('details-serviceHost');
    await ui.narrowPicture('details-serviceHost-narrow');

    await ui.startFromForm(form('updateFleet'), 'a-updateFleet', {
      update: { version: '4.0.0' },
      hosts: ['host-01', 'host-02'],
      strategy: { bakeTime: { giveUpAfter: '0s' } },
    });
    await ui.watch(runPage('a-updateFleet'), 'Completed');
    await ui.picture('timeline-updateFleet');
    await (await ui.details()).getByText('updated, wave 2 of 2').waitFor();
    await ui.picture('details-updateFleet');
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
