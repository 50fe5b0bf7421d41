/** Hosts of a fleet that fail, on a real server: limits, what ends a run, and what goes back. */
import { Suite } from '../../support/suite';
import { FleetUnderTest, allRun, isUntouched, outcomes, over, versionOf } from './fleet-suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 22);
});
afterAll(() => suite.stop());

const start = (input: Parameters<typeof FleetUnderTest.start>[1]) =>
  FleetUnderTest.start(suite, input);
/** Together they take longer than the budget, each of them less than an attempt of it may. */
const SLOW_RESTORE = [
  'initializeSyntheticAdapter',
  'powerOnRestore',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'restoreVm',
] as const;
const FAILS = [{ step: 'stageUpdate', kind: 'fails-to-start' }] as const;
const faultsOn = (...failing: string[]) =>
  Object.fromEntries(failing.map((hostId) => [hostId, [...FAILS]]));

describe('failures', () => {
  test.concurrent('as many as the limit do not stop the run', async () => {
    const [a, b, c] = suite.freshHosts(3) as [string, string, string];
    const run = await start({
      ...over([a, b, c], { canary: 0, failureLimit: 1, onFailure: 'abort', maxConcurrentHosts: 1 }),
      faults: faultsOn(a),
    });
    const result = await run.result();
    expect(result).toMatchObject({ outcome: 'incomplete', counts: { updated: 2, failed: 1 } });
    expect(outcomes(result)).toEqual({ [a]: 'notUpdated', [b]: 'updated', [c]: 'updated' });
  });

  test.concurrent('one more than the limit stops it, and every VM runs', async () => {
    const [a, b, c] = suite.freshHosts(3) as [string, string, string];
    const run = await start({
      ...over([a, b, c], { canary: 0, failureLimit: 1, onFailure: 'abort', maxConcurrentHosts: 1 }),
      faults: faultsOn(a, b),
    });
    const { type, message, result } = await run.fails();
    expect(type).toBe('FleetStopped');
    expect(message).toContain('the limit is 1');
    expect(outcomes(result)).toEqual({ [a]: 'notUpdated', [b]: 'notUpdated', [c]: 'notStarted' });
    expect(isUntouched(suite, c)).toBe(true);
    expect(allRun(suite, [a, b, c])).toBe(true);
    expect(result.interventions).toMatchObject([{ action: 'stop', by: 'holdfast' }]);
  });

  test.concurrent(
    'a failing canary stops the fleet whatever the limit; tried again, it goes on',
    async () => {
      const [a, b] = suite.freshHosts(2) as [string, string];
      const run = await start({ ...over([a, b], { failureLimit: 1 }), faults: faultsOn(a) });
      const progress = await run.waitsFor('operator');
      expect(progress).toMatchObject({
        paused: { by: 'holdfast' },
        failures: [{ hostId: a }],
        wave: 1,
      });
      expect(await run.attribute('WaitingFor')).toBe('operator');
      expect(isUntouched(suite, b)).toBe(true);
      expect(allRun(suite, [a, b])).toBe(true);
      expect(await run.control('retryFailed')).toBe(`Tried again: ${a}.`);
      const result = await run.result();
      expect(result).toMatchObject({ outcome: 'updated', counts: { updated: 2, failed: 0 } });
      expect((await run.attribute('WaitingFor')) ?? null).toBeNull();
    },
  );

  test.concurrent(
    'a VM that was dark beyond its budget stops the wave, although its host is updated',
    async () => {
      const [a, b] = suite.freshHosts(2) as [string, string];
      const run = await start({
        ...over([a, b], { canary: 0, failureLimit: 2, onFailure: 'abort', maxConcurrentHosts: 1 }),
        update: { component: 'vpciVsp', version: '2.0.0' },
        // Enough for the save on a busy machine too: it is the restore that takes longer.
        servicing: { blackoutBudget: '2s' },
        health: { probes: [] },
        faults: {
          [a]: SLOW_RESTORE.map((step) => ({
            vmId: 'vm-01',
            step,
            kind: 'slow',
            delay: '400ms',
          })),
        },
      });
      const { type, message, result } = await run.fails();
      expect(type).toBe('FleetStopped');
      expect(message).toContain(`on ${a} the blackout budget was exceeded: vm-01`);
      expect(outcomes(result)).toMatchObject({ [b]: 'notStarted' });
    },
  );
});

describe('a bad update', () => {
  test.concurrent.each([
    ['fails-to-start'],
    ['starts-old-version'],
    ['fails-verification'],
  ] as const)(
    'that %s on its first host: the host goes back by itself, every VF kept',
    async (kind) => {
      const [a, b] = suite.freshHosts(2) as [string, string];
      const run = await start({
        ...over([a, b], { onFailure: 'rollBack' }),
        faults: { [a]: [{ step: 'stageUpdate', kind }] },
      });
      const { type, result } = await run.fails();
      expect(type).toBe('FleetRolledBack');
      expect(outcomes(result)).toEqual({ [a]: 'notUpdated', [b]: 'notStarted' });
      expect(versionOf(suite, a)).toBe('1.0.0');
      expect(allRun(suite, [a, b])).toBe(true);
      for (const vmId of ['vm-01', 'vm-02']) expect(suite.vm(a, vmId).facts.path).toBe('kept');
    },
  );

  test.concurrent(
    'that leaves a host mixed is rolled back there too, on the VMs that it has reached',
    async () => {
      const [a, b, c] = suite.freshHosts(3) as [string, string, string];
      const run = await start({
        ...over([a, b, c], { waves: [1], onFailure: 'rollBack' }),
        faults: { [b]: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1000 }] },
      });
      const { type, message, result } = await run.fails();
      expect(type).toBe('FleetRolledBack');
      expect(message).toContain(`${b}: mixed`);
      expect(outcomes(result)).toEqual({ [a]: 'rolledBack', [b]: 'rolledBack', [c]: 'notStarted' });
      for (const hostId of [a, b])
        for (const vmId of ['vm-01', 'vm-02'])
          expect(suite.vm(hostId, vmId)).toMatchObject({
            stackVersion: '1.0.0',
            facts: { path: 'kept' },
          });
      // Updated and taken back; the other was dark only while its save failed.
      expect(suite.vm(b, 'vm-01').blackouts).toHaveLength(2);
      expect(suite.vm(b, 'vm-02').blackouts).toHaveLength(1);
    },
  );

  test.concurrent(
    'that shows only later is rolled back on every host, the latest first',
    async () => {
      const [a, b, c] = suite.freshHosts(3) as [string, string, string];
      const run = await start({
        ...over([a, b, c], { waves: [1], onFailure: 'rollBack' }),
        faults: { [b]: [{ vmId: 'vm-02', step: 'resumeVm', kind: 'guest-hangs' }] },
      });
      const { type, message, result } = await run.fails();
      expect(type).toBe('FleetRolledBack');
      expect(message).toContain('vm-02');
      expect(outcomes(result)).toEqual({ [a]: 'rolledBack', [b]: 'rolledBack', [c]: 'notStarted' });
      expect([a, b, c].map((id) => versionOf(suite, id))).toEqual(['1.0.0', '1.0.0', '1.0.0']);
      expect((await run.serviced(b)).from).toBeLessThan((await run.serviced(a)).from);
      for (const hostId of [a, b])
        for (const vmId of ['vm-01', 'vm-02'])
          expect(suite.vm(hostId, vmId)).toMatchObject({
            heartbeat: 'ok',
            facts: { path: 'kept' },
          });
    },
  );
});
