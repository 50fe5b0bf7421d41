/** Waves of hosts on a real server: plan, order, fault domains, limits, and what ends a run. */
import { Suite } from '../../support/suite';
import {
  FleetUnderTest,
  allRun,
  inventory,
  isUntouched,
  outcomes,
  over,
  update,
  versionOf,
} from './fleet-suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('fleet-waves', { hosts: 32, vms: 2 });
});
afterAll(() => suite.stop());

let next = 0;
/** Hosts that no other test has touched. */
const hosts = (count: number) =>
  Array.from({ length: count }, () => `host-${String((next += 1)).padStart(2, '0')}`);
const start = (input: Parameters<typeof FleetUnderTest.start>[1]) =>
  FleetUnderTest.start(suite, input);
const FAILS = [{ step: 'commitUpdate', kind: 'fail-before', times: 1000 }] as const;
const faultsOn = (...failing: string[]) =>
  Object.fromEntries(failing.map((hostId) => [hostId, [...FAILS]]));

describe('a fleet in waves', () => {
  test('is updated canary first, every VF kept, with the evidence of each gate in the result', async () => {
    const [a, b, c] = hosts(3) as [string, string, string];
    const run = await start(over([a, b, c], { maxConcurrentHosts: 2 }));
    const result = await run.result();
    expect(result).toMatchObject({
      outcome: 'updated',
      reason: null,
      counts: { planned: 3, updated: 3, failed: 0, skipped: 0, busy: 0, notStarted: 0 },
      refused: [],
    });
    expect(result.hosts.map((h) => [h.hostId, h.wave])).toEqual([
      [a, 1],
      [b, 2],
      [c, 2],
    ]);
    for (const host of result.hosts) {
      expect(host).toMatchObject({
        versionBefore: '1.0.0',
        versionAfter: '2.0.0',
        vms: 2,
        vmsKept: 2,
      });
      expect(host.longestBlackoutMs).toBeGreaterThan(0);
    }
    expect(result.longestBlackoutMs).toBe(
      Math.max(...result.hosts.map((h) => h.longestBlackoutMs ?? 0)),
    );
    expect(result.decisions.map((d) => `${d.gate} ${String(d.wave)} ${d.verdict}`)).toEqual([
      'before 1 healthy',
      'bake 1 healthy',
      'before 2 healthy',
      'bake 2 healthy',
      'after 2 healthy',
    ]);
    expect(result.decisions.at(-1)?.report.probes).toEqual(
      ['heartbeat', 'vfDataPath', 'forbiddenCommands', 'blackoutBudget'].map((probe) => ({
        probe,
        healthy: 3,
        unhealthy: 0,
        inconclusive: 0,
      })),
    );
    expect(await run.attribute('Outcome')).toBe('updated');
    const canary = await run.serviced(a);
    for (const hostId of [b, c])
      expect((await run.serviced(hostId)).from).toBeGreaterThanOrEqual(canary.to);
    // Again, it has nothing to do.
    const again = await (await start(over([a, b, c]))).result();
    expect(again).toMatchObject({ outcome: 'updated', counts: { planned: 0 } });
    expect(again.refused.map((host) => host.why)).toEqual(['upToDate', 'upToDate', 'upToDate']);
  });

  test('never has two hosts of one fault domain in flight, and does have two of different ones', async () => {
    const [a, b, c, d] = hosts(4) as [string, string, string, string];
    const domains = { [a]: 'x', [b]: 'x', [c]: 'y', [d]: 'y' };
    const slow = [{ step: 'stageUpdate', kind: 'slow', delay: '500ms' } as const];
    const run = await start({
      ...over([a, b, c, d], { canary: 0, maxConcurrentHosts: 4, ramp: false }),
      inventory: inventory([a, b, c, d], domains),
      faults: { [a]: slow, [b]: slow, [c]: slow, [d]: slow },
    });
    await run.result();
    const times = new Map(
      await Promise.all([a, b, c, d].map(async (id) => [id, await run.serviced(id)] as const)),
    );
    const overlap = (one: string, other: string) => {
      const [p, q] = [times.get(one), times.get(other)];
      return p !== undefined && q !== undefined && p.from < q.to && q.from < p.to;
    };
    expect([overlap(a, b), overlap(c, d)]).toEqual([false, false]);
    expect(overlap(a, c)).toBe(true);
  });

  test('a dry run answers the plan with a verdict for every VM, and touches nothing', async () => {
    const [a, b] = hosts(2) as [string, string];
    const plan = await suite.run('updateFleet', { ...over([a, b]), dryRun: true });
    expect(plan).toMatchObject({
      outcome: 'planned',
      waves: [
        {
          number: 1,
          canary: true,
          hosts: [
            {
              hostId: a,
              faultDomain: `fd-${a}`,
              vms: [
                { vmId: 'vm-01', verdict: 'keep' },
                { vmId: 'vm-02', verdict: 'keep' },
              ],
            },
          ],
        },
        { number: 2, hosts: [{ hostId: b }] },
      ],
      refused: [],
    });
    expect([a, b].every((hostId) => isUntouched(suite, hostId))).toBe(true);
    expect(suite.journal(a)).toEqual([]);
  });

  test('a host that nobody serves is refused by the plan; the others are updated', async () => {
    const [a] = hosts(1) as [string];
    const result = await (await start(over([a, 'host-nowhere']))).result();
    expect(result).toMatchObject({
      outcome: 'incomplete',
      counts: { planned: 1, updated: 1 },
      refused: [{ hostId: 'host-nowhere', why: 'unreachable' }],
    });
  });
});

describe('failures', () => {
  test('as many as the limit do not stop the run', async () => {
    const [a, b, c] = hosts(3) as [string, string, string];
    const run = await start({
      ...over([a, b, c], { canary: 0, failureLimit: 1, onFailure: 'abort', maxConcurrentHosts: 1 }),
      faults: faultsOn(a),
    });
    const result = await run.result();
    expect(result).toMatchObject({ outcome: 'incomplete', counts: { updated: 2, failed: 1 } });
    expect(outcomes(result)).toEqual({ [a]: 'notUpdated', [b]: 'updated', [c]: 'updated' });
  });

  test('one more than the limit stops it, and every VM runs', async () => {
    const [a, b, c] = hosts(3) as [string, string, string];
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

  test('a failing canary stops the fleet whatever the limit; tried again, it goes on', async () => {
    const [a, b] = hosts(2) as [string, string];
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
  });

  test('a VM that was dark beyond its budget stops the wave, although its host is updated', async () => {
    const [a, b] = hosts(2) as [string, string];
    const run = await start({
      ...over([a, b], { canary: 0, failureLimit: 2, onFailure: 'abort', maxConcurrentHosts: 1 }),
      servicing: { blackoutBudget: '1s' },
      health: { probes: [] },
      faults: {
        [a]: (['createVpciBus', 'assignVirtualFunction', 'restoreVm'] as const).map((step) => ({
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
  });
});

describe('a bad update', () => {
  test.each([['fails-to-start'], ['starts-old-version'], ['fails-verification']] as const)(
    'that %s on its first host: the host goes back by itself, every VF kept',
    async (kind) => {
      const [a, b] = hosts(2) as [string, string];
      const run = await start({
        ...over([a, b], { onFailure: 'rollBack' }),
        faults: { [a]: [{ step: 'commitUpdate', kind, times: 1000 }] },
      });
      const { type, result } = await run.fails();
      expect(type).toBe('FleetRolledBack');
      expect(outcomes(result)).toEqual({ [a]: 'notUpdated', [b]: 'notStarted' });
      expect(versionOf(suite, a)).toBe('1.0.0');
      expect(allRun(suite, [a, b])).toBe(true);
      for (const vmId of ['vm-01', 'vm-02']) expect(suite.vm(a, vmId).facts.path).toBe('kept');
    },
  );

  test('that shows only later is rolled back on every host, the latest first', async () => {
    const [a, b, c] = hosts(3) as [string, string, string];
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
        expect(suite.vm(hostId, vmId)).toMatchObject({ heartbeat: 'ok', facts: { path: 'kept' } });
  });
});

describe('nothing is started', () => {
  test('by a selection of nothing', async () => {
    const input = {
      update,
      selector: { labels: { rack: 'none' } },
      inventory: inventory(['host-01']),
    };
    expect((await suite.fails('updateFleet', input)).type).toBe('EmptySelection');
    expect((await suite.fails('updateFleet', { update, selector: {} })).type).toBe('InvalidInput');
    expect((await suite.fails('updateFleet', { update })).message).toContain(
      'it does not mean "all"',
    );
  });

  test('by one of more hosts than are allowed', async () => {
    const ended = await suite.fails('updateFleet', {
      ...over(['host-31', 'host-32']),
      maxHosts: 1,
    });
    expect(ended.type).toBe('TooManyHosts');
    expect(isUntouched(suite, 'host-31')).toBe(true);
  });

  test('by bad input, of which everything is told at once', async () => {
    const { type, message } = await suite.fails('updateFleet', {
      update,
      hosts: ['host-31', 'host-zz'],
      exclude: ['host-yy'],
      inventory: inventory(['host-31']),
      maintenanceWindow: { timeZone: 'Mars/Olympus', open: [{ from: '22:00', to: '23:00' }] },
    });
    expect(type).toBe('InvalidInput');
    for (const told of ['host-zz', 'host-yy', 'Mars/Olympus']) expect(message).toContain(told);
    expect(isUntouched(suite, 'host-31')).toBe(true);
  });

  test('when no host can be updated, with the reasons', async () => {
    const ended = await suite.fails('updateFleet', over(['host-nowhere']));
    expect(ended.type).toBe('NothingPlanned');
    expect(ended.message).toContain('host-nowhere: no worker answered');
  });
});
