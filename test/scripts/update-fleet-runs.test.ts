/** The script on a server: runs, controls, schedules and exit codes. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetResult } from '../../contract/fleet-results';
import { Suite } from '../support/suite';
import { allRun, isUntouched } from '../workflows/fleet/fleet-suite';
import { fleetFiles, updateFleet } from './update-fleet-script';

const file = fleetFiles();

describe('on a server', () => {
  let suite: Suite;
  beforeAll(async () => {
    suite = await Suite.start('update-fleet-script', { hosts: 16, vms: 2 });
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
  const said = async (child: ReturnType<typeof updateFleet>, text: string) => {
    for (const until = Date.now() + 30_000; !child.output().stderr.includes(text); await delay(50))
      if (Date.now() > until) throw new Error(`never said "${text}":\n${child.output().stderr}`);
  };

  test('it asks the hosts for a plan, updates them, and shows every wave, host, VM and step', async () => {
    const path = fleetOf('whole', ['host-01', 'host-02'], {
      faults: {
        'host-02': [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '1500ms' }],
      },
    });
    const plan = await updateFleet(['--fleet', path, '--dry-run', '--json'], server()).ended;
    expect(plan.code).toBe(0);
    expect(JSON.parse(plan.stdout)).toMatchObject({
      waves: [{ number: 1, hosts: [{ hostId: 'host-01', vms: [{}, {}] }] }, { number: 2 }],
    });
    expect(isUntouched(suite, 'host-01')).toBe(true);
    const ran = await updateFleet(['--fleet', path, '--yes', '--watch', '--json'], server()).ended;
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout) as FleetResult).toMatchObject({
      outcome: 'updated',
      counts: { updated: 2 },
    });
    expect(ran.stderr).toContain('wave 2: 1 of 1 updated');
    expect(ran.stderr).toMatch(/host-02: servicing: .*vm-01 disableOptimizations/);
    // Again: there is nothing to do, and that is no failure.
    const again = await updateFleet(['--fleet', path, '--yes'], server()).ended;
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('runs vmWorkerProcess 2.0.0 already');
  });

  test('killed, it is run again and follows the same run; another input is refused', async () => {
    const path = fleetOf('killed', ['host-03', 'host-04'], slow('host-03', '8s'));
    const first = updateFleet(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-03: staging');
    first.child.kill('SIGKILL');
    await first.ended;
    const other = await updateFleet(['--fleet', path, '--yes', '--to-version', '3.0.0'], server())
      .ended;
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('update-fleet/killed is under way with another input');
    const second = await updateFleet(['--fleet', path, '--yes'], server()).ended;
    expect(second.stderr).toContain('update-fleet/killed is under way: following it');
    expect(second.code).toBe(0);
    expect(suite.stack.store.host('host-03').generation).toBe(1);
  });

  test('interrupted, it leaves the run alone and says how to find it again', async () => {
    const path = fleetOf('interrupted', ['host-05'], slow('host-05', '3s'));
    const first = updateFleet(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-05: staging');
    first.child.kill('SIGINT');
    const ran = await first.ended;
    expect(ran.code).toBe(130);
    expect(ran.stderr).toContain('The run goes on');
    expect((await updateFleet(['--fleet', path, '--yes'], server()).ended).code).toBe(0);
  });

  test('paused: exit code 3 and what to do; resumed, approved, done', async () => {
    const path = fleetOf('steered', ['host-06', 'host-07'], {
      ...slow('host-06', '6s'),
      strategy: { approval: 'after-canary' },
    });
    const first = updateFleet(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-06: staging');
    const why = ['--reason', 'a look at the canary', '--by', 'ada'];
    const paused = await updateFleet(['--pause', 'steered', ...why], server()).ended;
    expect(paused).toMatchObject({
      code: 0,
      stdout: 'Paused: no host starts; 1 in flight finish first: host-06.\n',
    });
    const ran = await first.ended;
    expect(ran.code).toBe(3);
    expect(ran.stderr).toContain('--resume steered');
    expect((await updateFleet(['--approve', 'steered', ...why], server()).ended).stderr).toContain(
      'does not wait for approval',
    );
    expect((await updateFleet(['--resume', 'steered', ...why], server()).ended).code).toBe(0);
    const waiting = await updateFleet(['--fleet', path, '--yes'], server()).ended;
    expect(waiting.code).toBe(3);
    expect(waiting.stderr).toContain('--approve steered');
    expect(isUntouched(suite, 'host-07')).toBe(true);
    expect((await updateFleet(['--approve', 'steered', ...why], server()).ended).stdout).toBe(
      'Wave 2 is approved.\n',
    );
    expect((await updateFleet(['--fleet', path, '--yes'], server()).ended).code).toBe(0);
  });

  test('aborted: exit code 5; a run that is over cannot be steered', async () => {
    const path = fleetOf('aborted', ['host-08', 'host-09'], slow('host-08', '6s'));
    const first = updateFleet(['--fleet', path, '--yes', '--watch', '--json'], server());
    await said(first, 'host-08: staging');
    expect(
      (await updateFleet(['--abort', 'aborted', '--reason', 'change freeze'], server()).ended).code,
    ).toBe(0);
    const ran = await first.ended;
    expect(ran.code).toBe(5);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      outcome: 'aborted',
      counts: { updated: 1, notStarted: 1 },
    });
    const late = await updateFleet(['--pause', 'aborted', '--reason', 'x'], server()).ended;
    expect(late.code).toBe(2);
    expect(late.stderr).toContain('No fleet update update-fleet/aborted is running');
  });

  test('terminated: exit code 5, and nobody takes it for done', async () => {
    const path = fleetOf('terminated', ['host-13'], slow('host-13', '6s'));
    const first = updateFleet(['--fleet', path, '--yes', '--watch', '--json'], server());
    await said(first, 'host-13: staging');
    await suite.stack.client.workflow.getHandle('update-fleet/terminated').terminate('too late');
    expect(await first.ended).toMatchObject({ code: 5, stdout: '' });
  });

  test('an orchestrator that is away for longer than it is waited for does not end the following', async () => {
    const path = fleetOf('away', ['host-14', 'host-15'], slow('host-14', '3s'));
    const first = updateFleet(['--fleet', path, '--yes', '--watch'], server());
    await said(first, 'host-14: staging');
    const orchestrator = suite.stack.pid('orchestrator');
    process.kill(orchestrator, 'SIGSTOP');
    try {
      await delay(7_000);
      expect(first.child.exitCode).toBeNull();
    } finally {
      process.kill(orchestrator, 'SIGCONT');
    }
    expect((await first.ended).code).toBe(0);
  });

  test('failed: exit code 6, every VM running', async () => {
    const path = fleetOf('failed', ['host-10', 'host-11'], {
      faults: { 'host-10': [{ step: 'commitUpdate', kind: 'fails-to-start' }] },
      strategy: { onFailure: 'abort' },
    });
    const ran = await updateFleet(['--fleet', path, '--yes'], server()).ended;
    expect(ran.code).toBe(6);
    expect(ran.stdout).toContain('did not start');
    expect(allRun(suite, ['host-10', 'host-11'])).toBe(true);
  });

  test('without a terminal it must be told --yes', async () => {
    const ran = await updateFleet(['--fleet', fleetOf('unsure', ['host-12'])], server()).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('say --yes');
    expect(isUntouched(suite, 'host-12')).toBe(true);
  });

  test('bad input that only the orchestrator knows ends with exit code 2', async () => {
    const ran = await updateFleet(['--fleet', fleetOf('unknown', ['host-77']), '--yes'], server())
      .ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('hosts: unknown: host-77');
  });

  test('a schedule leaves a run out while one is under way, in the time zone of the window', async () => {
    const path = fleetOf('nightly', ['host-12'], {
      maintenanceWindow: { timeZone: 'Europe/Berlin', open: [{ from: '22:00', to: '05:00' }] },
    });
    for (const cron of ['0 22 * * SAT', '0 23 * * SAT']) {
      const ran = await updateFleet(['--fleet', path, '--schedule', cron], server()).ended;
      expect(ran.code).toBe(0);
      expect(ran.stdout).toContain('(Europe/Berlin)');
    }
    const wrong = await updateFleet(['--fleet', path, '--schedule', 'nightly'], server()).ended;
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toContain('--schedule "nightly": ');
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
    for (const args of [
      ['--fleet', 'examples/fleet.yaml', '--yes'],
      ['--fleet', 'examples/fleet.yaml', '--dry-run'],
      ['--pause', 'simulated', '--reason', 'x'],
    ]) {
      const ran = await updateFleet(args, nobody).ended;
      expect(ran.code).toBe(4);
      expect(ran.stderr).toContain('no orchestrator polls the task queue holdfast');
    }
  });

  test('a namespace that is not there is bad input: exit code 2', async () => {
    const ran = await updateFleet(['--fleet', 'examples/fleet.yaml', '--yes'], {
      ...server(),
      TEMPORAL_NAMESPACE: 'update-fleet-nowhere',
    }).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('update-fleet-nowhere');
  });
});
