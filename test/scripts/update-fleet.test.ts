/** The script that operators and pipelines use: plans, bad input, runs, controls, schedules and exit codes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetResult } from '../../contract/fleet-results';
import { inventoryOf } from '../../hosts/simulator/inventory';
import { createFleet } from '../../hosts/simulator/fleet';
import { HostStore } from '../../hosts/simulator/store';
import { SCHEMA_FILE, fleetSchema } from '../../scripts/update-fleet/schema';
import { readFleet } from '../../scripts/update-fleet/fleet-file';
import { Suite } from '../support/suite';
import { allRun, isUntouched } from '../workflows/fleet/fleet-suite';

const root = join(__dirname, '..', '..');
const EXAMPLES = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yaml'));
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-update-fleet-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the script without a terminal; it knows of no server but the one that is given. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  const child: ChildProcess = spawn(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), 'scripts/update-fleet.ts', ...args],
    { cwd: root, env: { ...Object.fromEntries(kept), ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const ran = { code: null as number | null, stdout: '', stderr: '' };
  child.stdout?.on('data', (data: Buffer) => (ran.stdout += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (ran.stderr += data.toString()));
  const ended: Promise<Ran> = once(child, 'close').then(([code]) => ({
    ...ran,
    code: code as number | null,
  }));
  return { child, ended, output: () => ran };
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('a plan without a server', () => {
  test('of the example fleet is exactly one JSON document of the promised form', async () => {
    const ran = await run(['--fleet', 'examples/fleet.yaml', '--dry-run', '--json']).ended;
    expect(ran.code).toBe(0);
    const vms = ['vm-01', 'vm-02', 'vm-03', 'vm-04'].map((vmId) => ({
      vmId,
      verdict: 'keep',
      reason: expect.any(String) as string,
    }));
    const host = (hostId: string, faultDomain: string) => ({
      hostId,
      faultDomain,
      reason: expect.any(String) as string,
      vms,
    });
    expect(JSON.parse(ran.stdout)).toEqual({
      waves: [
        { number: 1, hosts: [host('host-01', 'fd-1')] },
        { number: 2, hosts: [host('host-02', 'fd-2'), host('host-03', 'fd-1')] },
      ],
      refused: [],
    });
    expect(ran.stderr).toContain('no host was asked');
  });

  test('is a numbered table for people', async () => {
    const ran = await run(['--fleet', 'examples/large-fleet.yaml', '--dry-run']).ended;
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('11 hosts in 4 waves, 0 refused.');
    expect(ran.stdout).toMatch(/│ 1 +│ edge-01 +│ rack-1 +│ 2 keep/);
    expect(ran.stdout).not.toContain('edge-03');
  });

  test('says what an update cannot keep', async () => {
    const ran = await run([
      '--fleet',
      'examples/fleet.yaml',
      '--dry-run',
      '--component',
      'vmSwitch',
    ]).ended;
    expect(ran.stdout).toMatch(/refused: host-01 \(fd-1\): vm-01: the VM switch allocated the VFs/);
  });
});

describe('the examples', () => {
  test('has the fleet of npm start', async () => {
    const store = new HostStore(join(directory, 'fleet'));
    createFleet(store, { hosts: 3, vms: 4, seed: 1, faultDomains: 2 });
    const { settings } = readFleet(join(root, 'examples', 'fleet.yaml'), {});
    expect(settings.inventory).toEqual(inventoryOf(store));
    await store.close();
  });

  test.each(EXAMPLES)('%s is valid, names the schema, and plans every host', async (name) => {
    const path = join('examples', name);
    expect(readFileSync(join(root, path), 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=\.\/fleet\.schema\.json\n/,
    );
    const ran = await run(['--fleet', path, '--dry-run', '--json']).ended;
    expect(ran.code).toBe(0);
    const plan = JSON.parse(ran.stdout) as { waves: { hosts: unknown[] }[]; refused: unknown[] };
    expect(plan.refused).toEqual([]);
    expect(plan.waves.flatMap((wave) => wave.hosts).length).toBeGreaterThan(2);
  });

  test('the schema for editors is up to date (else: npx tsx scripts/update-fleet/schema.ts)', () => {
    expect(readFileSync(join(root, SCHEMA_FILE), 'utf8')).toBe(fleetSchema());
  });
});

describe('bad input', () => {
  test('malformed YAML is told with line and column, all of it', async () => {
    const path = file(
      'broken.yaml',
      'update: { version: 2.0.0 }\nhosts: [host-01\nname: x\nupdate: { version: 3 }\n',
    );
    const ran = await run(['--fleet', path, '--yes']).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(`${path}:3:1:`);
    expect(ran.stderr).toContain(`${path}:4:1: Map keys must be unique`);
  });

  test('wrong fields are told with line and column, all at once', async () => {
    const path = file(
      'wrong.yaml',
      [
        'update: { version: 2.0.0, component: kernel }',
        'hosts: [host-01, host-01]',
        'exclude: [host-01]',
        'strategy:',
        '  canary: 150%',
        '  bakeTime:',
        '    stableFor: 1h',
        '  wavs: [1]',
        'maintenanceWindow:',
        '  open:',
        "    - { from: '25:00', to: '05:00' }",
      ].join('\n'),
    );
    const ran = await run(['--fleet', path, '--dry-run']).ended;
    expect(ran.code).toBe(2);
    for (const told of [
      ':1:27: update.component:',
      ':2:1: hosts: named twice: host-01',
      ':3:1: exclude: names hosts that "hosts" names too',
      ':5:3: strategy.canary: must be a whole number such as 2, or a percentage from "0%" to "100%" (got "150%")',
      ':8:3: strategy: Unrecognized key: "wavs"',
      ':11:9: maintenanceWindow.open.0.from: must be a time such as "22:30" (got "25:00")',
    ])
      expect(ran.stderr).toContain(`${path}${told}`);
  });

  test('unknown hosts and an unknown time zone too', async () => {
    const path = file(
      'unknown.yaml',
      [
        'update: { version: 2.0.0 }',
        'hosts: [host-01, host-07]',
        'exclude: [host-08]',
        'inventory: { hosts: [{ hostId: host-01, faultDomain: fd-1, vms: [vm-01] }] }',
        "maintenanceWindow: { timeZone: Mars/Olympus, open: [{ from: '22:00', to: '05:00' }] }",
      ].join('\n'),
    );
    const ran = await run(['--fleet', path, '--dry-run']).ended;
    expect(ran.code).toBe(2);
    for (const told of ['host-07', 'host-08', 'Mars/Olympus']) expect(ran.stderr).toContain(told);
  });

  test.each([
    [['--fleet', 'no-such.yaml', '--yes'], 'There is no fleet file no-such.yaml'],
    [['--to-version', '2.0.0', '--yes'], 'name hosts or give a selector'],
    [['--hosts', 'host-01', '--yes'], 'update'],
    [['--pause', 'a', '--resume', 'a', '--reason', 'x'], 'One at a time: --pause, --resume'],
    [['--fleet', 'examples/fleet.yaml', '--component', 'kernel'], 'vmWorkerProcess'],
    [['--quickly'], 'unknown option'],
  ])('%j ends with exit code 2', async (args, told) => {
    const ran = await run(args).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(told);
  });

  test('no server: exit code 4, soon', async () => {
    const ran = await run(['--fleet', 'examples/fleet.yaml', '--yes'], {
      TEMPORAL_ADDRESS: '127.0.0.1:9',
    }).ended;
    expect(ran.code).toBe(4);
    expect(ran.stderr).toContain('No Temporal server answers at 127.0.0.1:9');
  });

  test('--help has the exit codes', async () => {
    const ran = await run(['--help']).ended;
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('3 the run is paused');
  });
});

describe('on a server', () => {
  let suite: Suite;
  beforeAll(async () => {
    suite = await Suite.start('update-fleet-script', { hosts: 12, vms: 2 });
  });
  afterAll(() => suite.stop());
  const server = () => ({
    TEMPORAL_ADDRESS: suite.stack.address,
    TEMPORAL_NAMESPACE: suite.stack.namespace,
  });
  /** A fleet of hosts that no other test has, by the orchestrator's own inventory. */
  const fleetOf = (name: string, hosts: readonly string[], more: object = {}) =>
    file(
      `${name}.yaml`,
      JSON.stringify({
        name,
        update: { version: '2.0.0' },
        hosts,
        ...more,
        strategy: {
          bakeTime: { giveUpAfter: '0s' },
          ...('strategy' in more ? (more.strategy as object) : {}),
        },
      }),
    );
  const slow = (hostId: string, delayText: string) => ({
    faults: { [hostId]: [{ step: 'stageUpdate', kind: 'slow', delay: delayText }] },
  });
  const said = async (child: ReturnType<typeof run>, text: string) => {
    for (const until = Date.now() + 30_000; !child.output().stderr.includes(text); await delay(50))
      if (Date.now() > until) throw new Error(`never said "${text}":\n${child.output().stderr}`);
  };

  test('it asks the hosts for a plan, updates them, and shows every wave, host, VM and step', async () => {
    const path = fleetOf('whole', ['host-01', 'host-02'], {
      faults: {
        'host-02': [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '1500ms' }],
      },
    });
    const plan = await run(['--fleet', path, '--dry-run', '--json'], server()).ended;
    expect(plan.code).toBe(0);
    expect(JSON.parse(plan.stdout)).toMatchObject({
      waves: [{ number: 1, hosts: [{ hostId: 'host-01', vms: [{}, {}] }] }, { number: 2 }],
    });
    expect(isUntouched(suite, 'host-01')).toBe(true);
    const ran = await run(['--fleet', path, '--yes', '--watch', '--json'], server()).ended;
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout) as FleetResult).toMatchObject({
      outcome: 'updated',
      counts: { updated: 2 },
    });
    expect(ran.stderr).toContain('wave 2: 1 of 1 updated');
    expect(ran.stderr).toMatch(/host-02: servicing: .*vm-01 disableOptimizations/);
    // Again: there is nothing to do, and that is no failure.
    const again = await run(['--fleet', path, '--yes'], server()).ended;
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('runs vmWorkerProcess 2.0.0 already');
  });

  test('killed, it is run again and follows the same run; another input is refused', async () => {
    const path = fleetOf('killed', ['host-03', 'host-04'], slow('host-03', '3s'));
    const first = run(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-03: staging');
    first.child.kill('SIGKILL');
    await first.ended;
    const other = await run(['--fleet', path, '--yes', '--to-version', '3.0.0'], server()).ended;
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('update-fleet/killed is under way with another input');
    const second = await run(['--fleet', path, '--yes'], server()).ended;
    expect(second.stderr).toContain('update-fleet/killed is under way: following it');
    expect(second.code).toBe(0);
    expect(suite.stack.store.host('host-03').generation).toBe(1);
  });

  test('interrupted, it leaves the run alone and says how to find it again', async () => {
    const path = fleetOf('interrupted', ['host-05'], slow('host-05', '3s'));
    const first = run(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-05: staging');
    first.child.kill('SIGINT');
    const ran = await first.ended;
    expect(ran.code).toBe(130);
    expect(ran.stderr).toContain('The run goes on');
    expect((await run(['--fleet', path, '--yes'], server()).ended).code).toBe(0);
  });

  test('paused: exit code 3 and what to do; resumed, approved, done', async () => {
    const path = fleetOf('steered', ['host-06', 'host-07'], {
      ...slow('host-06', '3s'),
      strategy: { approval: 'after-canary' },
    });
    const first = run(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-06: staging');
    const why = ['--reason', 'a look at the canary', '--by', 'ada'];
    const paused = await run(['--pause', 'steered', ...why], server()).ended;
    expect(paused).toMatchObject({
      code: 0,
      stdout: 'Paused: no host starts; 1 in flight finish first: host-06.\n',
    });
    const ran = await first.ended;
    expect(ran.code).toBe(3);
    expect(ran.stderr).toContain('--resume steered');
    expect((await run(['--approve', 'steered', ...why], server()).ended).stderr).toContain(
      'does not wait for approval',
    );
    expect((await run(['--resume', 'steered', ...why], server()).ended).code).toBe(0);
    const waiting = await run(['--fleet', path, '--yes'], server()).ended;
    expect(waiting.code).toBe(3);
    expect(waiting.stderr).toContain('--approve steered');
    expect(isUntouched(suite, 'host-07')).toBe(true);
    expect((await run(['--approve', 'steered', ...why], server()).ended).stdout).toBe(
      'Wave 2 is approved.\n',
    );
    expect((await run(['--fleet', path, '--yes'], server()).ended).code).toBe(0);
  });

  test('aborted: exit code 5; a run that is over cannot be steered', async () => {
    const path = fleetOf('aborted', ['host-08', 'host-09'], slow('host-08', '3s'));
    const first = run(['--fleet', path, '--yes', '--watch', '--json'], server());
    await said(first, 'host-08: staging');
    expect((await run(['--abort', 'aborted'], server()).ended).stderr).toContain(
      'needs a --reason',
    );
    expect(
      (await run(['--abort', 'aborted', '--reason', 'change freeze'], server()).ended).code,
    ).toBe(0);
    const ran = await first.ended;
    expect(ran.code).toBe(5);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      outcome: 'aborted',
      counts: { updated: 1, notStarted: 1 },
    });
    const late = await run(['--pause', 'aborted', '--reason', 'x'], server()).ended;
    expect(late.code).toBe(2);
    expect(late.stderr).toContain('No fleet update update-fleet/aborted is running');
  });

  test('failed: exit code 6, every VM running', async () => {
    const path = fleetOf('failed', ['host-10', 'host-11'], {
      faults: { 'host-10': [{ step: 'commitUpdate', kind: 'fails-to-start' }] },
      strategy: { onFailure: 'abort' },
    });
    const ran = await run(['--fleet', path, '--yes'], server()).ended;
    expect(ran.code).toBe(6);
    expect(ran.stdout).toContain('did not start');
    expect(allRun(suite, ['host-10', 'host-11'])).toBe(true);
  });

  test('without a terminal it must be told --yes', async () => {
    const ran = await run(['--fleet', fleetOf('unsure', ['host-12'])], server()).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('say --yes');
    expect(isUntouched(suite, 'host-12')).toBe(true);
  });

  test('bad input that only the orchestrator knows ends with exit code 2', async () => {
    const ran = await run(['--fleet', fleetOf('unknown', ['host-77']), '--yes'], server()).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('hosts: unknown: host-77');
  });

  test('a schedule leaves a run out while one is under way, in the time zone of the window', async () => {
    const path = fleetOf('nightly', ['host-12'], {
      maintenanceWindow: { timeZone: 'Europe/Berlin', open: [{ from: '22:00', to: '05:00' }] },
    });
    for (const cron of ['0 22 * * SAT', '0 23 * * SAT']) {
      const ran = await run(['--fleet', path, '--schedule', cron], server()).ended;
      expect(ran.code).toBe(0);
      expect(ran.stdout).toContain('(Europe/Berlin)');
    }
    const { policies, spec, action } = await suite.stack.client.schedule
      .getHandle('update-fleet/nightly')
      .describe();
    expect(policies.overlap).toBe('SKIP');
    expect(spec.timezone).toBe('Europe/Berlin');
    expect(spec.calendars?.[0]?.hour).toEqual([{ start: 23, end: 23, step: 1 }]);
    expect(action).toMatchObject({ workflowType: 'updateFleet', taskQueue: 'holdfast' });
  });

  test('without an orchestrator nothing is started: exit code 4', async () => {
    const nobody = {
      TEMPORAL_ADDRESS: suite.stack.address,
      TEMPORAL_NAMESPACE: 'update-fleet-nobody',
    };
    await suite.stack.client.workflowService.registerNamespace({
      namespace: nobody.TEMPORAL_NAMESPACE,
      workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
    });
    const ran = await run(['--fleet', 'examples/fleet.yaml', '--yes'], nobody).ended;
    expect(ran.code).toBe(4);
    expect(ran.stderr).toContain('no orchestrator polls the task queue holdfast');
  });
});
