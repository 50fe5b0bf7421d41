/** The script on a server: runs, controls, schedules and exit codes. */
import type { FleetResult } from '../../contract/fleet-results';
import { once } from '../support/once';
import { Suite } from '../support/suite';
import { allRun, isUntouched } from '../workflows/fleet/fleet-suite';
import { ScriptedFleets } from './scripted-fleets';
import { fleetFiles } from './update-fleet-script';

const file = fleetFiles();

let suite: Suite;
let fleets: ScriptedFleets;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 14);
  fleets = new ScriptedFleets(suite, file);
});
afterAll(() => suite.stop());

describe('on a server', () => {
  test.concurrent(
    'it asks the hosts for a plan, updates them, and shows every wave, host, VM and step',
    async () => {
      const [canary = '', next = ''] = suite.freshHosts(2);
      const path = fleets.fleetOf('script-whole', [canary, next], fleets.held(next));
      const plan = await fleets.ran('--fleet', path, '--dry-run', '--json');
      expect(plan.code).toBe(0);
      expect(JSON.parse(plan.stdout)).toMatchObject({
        waves: [{ number: 1, hosts: [{ hostId: canary, vms: [{}, {}] }] }, { number: 2 }],
      });
      expect(isUntouched(suite, canary)).toBe(true);
      const running = fleets.run('--fleet', path, '--yes', '--watch', '--json');
      await fleets.said(running, new RegExp(`${next}: servicing: .*vm-01 disableOptimizations`));
      await fleets.letGo(next);
      const ran = await running.ended;
      expect(ran.code).toBe(0);
      expect(JSON.parse(ran.stdout) as FleetResult).toMatchObject({
        outcome: 'updated',
        counts: { updated: 2 },
      });
      expect(ran.stderr).toContain('wave 2: 1 of 1 updated');
      expect(ran.stderr).toMatch(new RegExp(`${next}: servicing: .*vm-01 disableOptimizations`));
      // Again: there is nothing to do, and that is no failure.
      const again = await fleets.ran('--fleet', path, '--yes');
      expect(again.code).toBe(0);
      expect(again.stdout).toContain('runs vmWorkerProcess 2.0.0 already');
    },
  );

  test.concurrent(
    'killed, it is run again and follows the same run; another input is refused',
    async () => {
      const [held = '', next = ''] = suite.freshHosts(2);
      const path = fleets.fleetOf('script-killed', [held, next], fleets.held(held));
      const first = fleets.process('--fleet', path, '--yes', '--watch');
      await fleets.said(first, `${held}: servicing`);
      first.child.kill('SIGKILL');
      await first.ended;
      const other = await fleets.ran('--fleet', path, '--yes', '--to-version', '3.0.0');
      expect(other.code).toBe(2);
      expect(other.stderr).toContain('update-fleet/script-killed is under way with another input');
      const second = fleets.run('--fleet', path, '--yes');
      const following = 'update-fleet/script-killed is under way: following it';
      await fleets.said(second, following);
      await fleets.letGo(held);
      const ran = await second.ended;
      expect(ran.stderr).toContain(following);
      expect(ran.code).toBe(0);
      expect(suite.stack.store.host(held).generation).toBe(1);
    },
  );

  test.concurrent(
    'interrupted, it leaves the run alone and says how to find it again',
    async () => {
      const hostId = suite.freshHost();
      const path = fleets.fleetOf('script-interrupted', [hostId], {
        faults: { [hostId]: [{ step: 'stageUpdate', kind: 'slow', delay: '10s' }] },
      });
      const first = fleets.process('--fleet', path, '--yes', '--watch');
      await fleets.said(first, `${hostId}: staging`);
      first.child.kill('SIGINT');
      const ran = await first.ended;
      expect(ran.code).toBe(130);
      expect(ran.stderr).toContain('The run goes on');
      expect((await fleets.ran('--fleet', path, '--yes')).code).toBe(0);
    },
  );

  test.concurrent('paused: exit code 3 and what to do; resumed, approved, done', async () => {
    const [canary = '', next = ''] = suite.freshHosts(2);
    const path = fleets.fleetOf('script-steered', [canary, next], {
      ...fleets.held(canary),
      strategy: { approval: 'after-canary' },
    });
    const first = fleets.run('--fleet', path, '--yes', '--watch');
    await fleets.said(first, `${canary}: servicing`);
    const why = ['--reason', 'a look at the canary', '--by', 'ada'];
    const paused = await fleets.ran('--pause', 'script-steered', ...why);
    expect(paused).toMatchObject({
      code: 0,
      stdout: `Paused: no host starts; 1 in flight finish first: ${canary}.\n`,
    });
    await fleets.letGo(canary);
    const ran = await first.ended;
    expect(ran.code).toBe(3);
    expect(ran.stderr).toContain('--resume script-steered');
    expect((await fleets.ran('--approve', 'script-steered', ...why)).stderr).toContain(
      'does not wait for approval',
    );
    expect((await fleets.ran('--resume', 'script-steered', ...why)).code).toBe(0);
    const waiting = await fleets.ran('--fleet', path, '--yes');
    expect(waiting.code).toBe(3);
    expect(waiting.stderr).toContain('--approve script-steered');
    expect(isUntouched(suite, next)).toBe(true);
    expect((await fleets.ran('--approve', 'script-steered', ...why)).stdout).toBe(
      'Wave 2 is approved.\n',
    );
    expect((await fleets.ran('--fleet', path, '--yes')).code).toBe(0);
  });

  test.concurrent('aborted: exit code 5; a run that is over cannot be steered', async () => {
    const [held = '', next = ''] = suite.freshHosts(2);
    const path = fleets.fleetOf('script-aborted', [held, next], fleets.held(held));
    const first = fleets.run('--fleet', path, '--yes', '--watch', '--json');
    await fleets.said(first, `${held}: servicing`);
    expect((await fleets.ran('--abort', 'script-aborted', '--reason', 'change freeze')).code).toBe(
      0,
    );
    await fleets.letGo(held);
    const ran = await first.ended;
    expect(ran.code).toBe(5);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      outcome: 'aborted',
      counts: { updated: 1, notStarted: 1 },
    });
    const late = await fleets.ran('--pause', 'script-aborted', '--reason', 'x');
    expect(late.code).toBe(2);
    expect(late.stderr).toContain('No fleet update update-fleet/script-aborted is running');
  });

  test.concurrent('terminated: exit code 5, and nobody takes it for done', async () => {
    const hostId = suite.freshHost();
    const path = fleets.fleetOf('script-terminated', [hostId], fleets.held(hostId));
    const first = fleets.run('--fleet', path, '--yes', '--watch', '--json');
    await fleets.said(first, `${hostId}: servicing`);
    await suite.stack.client.workflow
      .getHandle('update-fleet/script-terminated')
      .terminate('too late');
    expect(await first.ended).toMatchObject({ code: 5, stdout: '' });
    await fleets.letGo(hostId);
  });

  test.concurrent('failed: exit code 6, every VM running', async () => {
    const [failing = '', next = ''] = suite.freshHosts(2);
    const path = fleets.fleetOf('script-failed', [failing, next], {
      faults: { [failing]: [{ step: 'stageUpdate', kind: 'fails-to-start' }] },
      strategy: { onFailure: 'abort' },
    });
    const ran = await fleets.ran('--fleet', path, '--yes');
    expect(ran.code).toBe(6);
    expect(ran.stdout).toContain('did not start');
    expect(allRun(suite, [failing, next])).toBe(true);
  });

  test.concurrent('without a terminal it must be told --yes', async () => {
    const hostId = suite.freshHost();
    const ran = await fleets.ran('--fleet', fleets.fleetOf('script-unsure', [hostId]));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('say --yes');
    expect(isUntouched(suite, hostId)).toBe(true);
  });

  test.concurrent('bad input that only the orchestrator knows ends with exit code 2', async () => {
    const ran = await fleets.ran('--fleet', fleets.fleetOf('script-unknown', ['host-77']), '--yes');
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('hosts: unknown: host-77');
  });

  test.concurrent(
    'a schedule leaves a run out while one is under way, in the time zone of the window',
    async () => {
      const path = fleets.fleetOf('script-nightly', [suite.freshHost()], {
        maintenanceWindow: { timeZone: 'Europe/Berlin', open: [{ from: '22:00', to: '05:00' }] },
      });
      for (const cron of ['0 22 * * SAT', '0 23 * * SAT']) {
        const ran = await fleets.ran('--fleet', path, '--schedule', cron);
        expect(ran.code).toBe(0);
        expect(ran.stdout).toContain('(Europe/Berlin)');
      }
      const wrong = await fleets.ran('--fleet', path, '--schedule', 'nightly');
      expect(wrong).toMatchObject({ code: 2, stdout: '' });
      expect(wrong.stderr).toContain('--schedule "nightly": ');
      const { policies, spec, action } = await suite.stack.client.schedule
        .getHandle('update-fleet/script-nightly')
        .describe();
      expect(policies.overlap).toBe('SKIP');
      expect(spec.timezone).toBe('Europe/Berlin');
      expect(spec.calendars?.[0]?.hour).toEqual([{ start: 23, end: 23, step: 1 }]);
      expect(action).toMatchObject({ workflowType: 'updateFleet', taskQueue: 'holdfast' });
    },
  );

  test.concurrent.each([
    [['--fleet', 'examples/fleet.yaml', '--yes']],
    [['--fleet', 'examples/fleet.yaml', '--dry-run']],
    [['--pause', 'simulated', '--reason', 'x']],
  ])('without an orchestrator nothing is started: exit code 4 (%j)', async (args) => {
    const ran = await fleets.runIn(await nobodysNamespace(), args).ended;
    expect(ran.code).toBe(4);
    expect(ran.stderr).toContain('no orchestrator polls the task queue holdfast');
  });

  test.concurrent('a namespace that is not there is bad input: exit code 2', async () => {
    const ran = await fleets.runIn('update-fleet-nowhere', [
      ...['--fleet', 'examples/fleet.yaml', '--yes'],
    ]).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('update-fleet-nowhere');
  });
});

const nobodysNamespace = once(async () => {
  const namespace = 'update-fleet-nobody';
  await suite.stack.client.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  return namespace;
});
