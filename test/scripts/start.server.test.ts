import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServicingReport } from '../../scripts/servicing-report';
import { runTypeScript } from '../../tools/typescript/run-typescript';

const root = join(__dirname, '..', '..');

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the script as `npm start` does, with a server of its own. */
function start(...args: string[]): { child: ChildProcess; ended: Promise<Ran>; output: () => Ran } {
  const env = { ...process.env };
  delete env['TEMPORAL_ADDRESS'];
  const child = spawn(process.execPath, [...runTypeScript('scripts/start.ts'), ...args], {
    cwd: root,
    env,
  });
  const ran = { code: null as number | null, stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (ran.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (ran.stderr += data.toString()));
  const ended = once(child, 'close').then(([code]) => ({ ...ran, code: code as number | null }));
  return { child, ended, output: () => ran };
}

const report = (ran: Ran) => JSON.parse(ran.stdout) as ServicingReport;

test('prints exactly one JSON document in which every VF is kept, and exits with 0', async () => {
  const ran = await start('--json', '--vms', '3', '--profile', 'zero').ended;
  expect(ran.code).toBe(0);
  const { runId, timeScale, hosts, forbiddenCommands, invariants } = report(ran);
  expect(runId).toMatch(/^[0-9a-f-]{36}$/);
  expect({ timeScale, forbiddenCommands }).toEqual({ timeScale: 1, forbiddenCommands: 0 });
  expect(invariants).toEqual({ checked: expect.any(Number) as number, violated: 0 });
  expect(hosts.map((host) => [host.hostId, host.outcome, host.vms.length])).toEqual([
    ['host-01', 'updated', 3],
    ['host-02', 'updated', 3],
    ['host-03', 'updated', 3],
  ]);
  for (const vm of hosts.flatMap((host) => host.vms)) {
    expect(vm).toMatchObject({ mode: 'modified', path: 'kept', guestVisibleEvents: 0 });
    expect(vm.vfId.after).toBe(vm.vfId.before);
    expect(vm.luid.after).toBe(vm.luid.before);
    expect(vm.luid.before).toMatch(/^[0-9a-f]{8}:[0-9a-f]{8}$/);
    expect(vm.steps.map((s) => s.name)).toEqual(
      expect.arrayContaining(['pauseVm', 'saveVm', 'resumeVm', 'verifyRestore']),
    );
    expect(vm.steps.every((s) => s.attempts >= 1 && s.ms >= 0)).toBe(true);
  }
});

test('a fault named on the command line is met, and a run that fails exits with 1 and says why', async () => {
  const ran = await start(
    '--json',
    '--hosts',
    '1',
    '--vms',
    '2',
    '--profile',
    'zero',
    '--blackout-budget',
    '2s',
    '--fault',
    'vm-02:saveVm:fail-before:1000',
  ).ended;
  expect(ran.code).toBe(1);
  expect(report(ran).hosts[0]).toMatchObject({
    outcome: 'mixed',
    vms: [
      { path: 'kept', stackVersion: '2.0.0' },
      { path: 'kept', stackVersion: '1.0.0' },
    ],
  });
  expect(ran.stderr).toContain('vm-02');
});

test('without --json there is a table with every VM and a sentence with the link', async () => {
  const ran = await start('--hosts', '1', '--vms', '2', '--profile', 'zero').ended;
  expect(ran.code).toBe(0);
  expect(ran.stdout).toContain('vm-02');
  expect(ran.stdout).toContain('2 of 2 VMs kept their VF');
  expect(ran.stdout).toMatch(
    /http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/update-fleet%2Fsimulated/,
  );
});

test.each([
  [['--vms', '-3'], '--vms'],
  [['--mode', 'quick'], 'modified, conventional'],
  [['--fault', 'vm-01:saveVm:explode'], 'fault'],
  [['--profile', 'no-such-profile'], 'no-such-profile'],
  [['--blackout-budget', '60s'], 'from 100ms to 30s'],
  [['--blackout-budget', '10'], 'must be a duration such as "10s"'],
  [['--vms', '2', '--fault', 'vm-99:saveVm:fail-before'], 'no vm-99; each host has vm-01, vm-02.'],
])('bad options %j are told before anything is started', async (args, told) => {
  const ran = await start(...args).ended;
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain(told);
  expect(ran.stderr).not.toContain('Temporal is up');
});

test('Ctrl-C in the middle of a blackout stops everything that was started, and says so', async () => {
  const run = start('--hosts', '1', '--vms', '2');
  while (!run.output().stderr.includes('paused')) await delay(20);
  const [, address] = /Temporal is up at (\S+)/.exec(run.output().stderr) ?? [];
  run.child.kill('SIGINT');
  const ran = await run.ended;
  expect(ran.code).toBe(130);
  expect(ran.stderr.trimEnd()).toMatch(/stopping$/);
  await expect(fetch(`http://${String(address)}`)).rejects.toThrow();
});

test('Ctrl-C stops everything that was kept, too', async () => {
  const run = start('--hosts', '1', '--vms', '2', '--keep', '--profile', 'zero');
  while (!run.output().stderr.includes('Everything stays up')) await delay(50);
  const [, address] = /Temporal is up at (\S+)/.exec(run.output().stderr) ?? [];
  run.child.kill('SIGINT');
  const ran = await run.ended;
  expect(ran.code).toBe(0);
  await expect(fetch(`http://${String(address)}`)).rejects.toThrow();
});
