/** Waves of hosts on a real server: plan, order, fault domains, and what is not started at all. */
import { Suite } from '../../support/suite';
import { FleetUnderTest, inventory, isUntouched, over, update } from './fleet-suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 14);
});
afterAll(() => suite.stop());

const start = (input: Parameters<typeof FleetUnderTest.start>[1]) =>
  FleetUnderTest.start(suite, input);

describe('a fleet in waves', () => {
  test.concurrent(
    'is updated canary first, every VF kept, with the evidence of each gate in the result',
    async () => {
      const [a, b, c] = suite.freshHosts(3) as [string, string, string];
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
    },
  );

  test.concurrent(
    'never has two hosts of one fault domain in flight, and does have two of different ones',
    async () => {
      const [a, b, c, d] = suite.freshHosts(4) as [string, string, string, string];
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
    },
  );

  test.concurrent(
    'a dry run answers the plan with a verdict for every VM, and touches nothing',
    async () => {
      const [a, b] = suite.freshHosts(2) as [string, string];
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
    },
  );

  test.concurrent(
    'a host that nobody serves is refused by the plan; the others are updated',
    async () => {
      const a = suite.freshHost();
      const result = await (await start(over([a, 'host-nowhere']))).result();
      expect(result).toMatchObject({
        outcome: 'incomplete',
        counts: { planned: 1, updated: 1 },
        refused: [{ hostId: 'host-nowhere', why: 'unreachable' }],
      });
    },
  );
});

describe('nothing is started', () => {
  test.concurrent('by a selection of nothing', async () => {
    const input = {
      update,
      selector: { labels: { rack: 'none' } },
      inventory: inventory([suite.freshHost()]),
    };
    expect((await suite.fails('updateFleet', input)).type).toBe('EmptySelection');
    expect((await suite.fails('updateFleet', { update, selector: {} })).type).toBe('InvalidInput');
    expect((await suite.fails('updateFleet', { update })).message).toContain(
      'it does not mean "all"',
    );
  });

  test.concurrent('by one of more hosts than are allowed', async () => {
    const hosts = suite.freshHosts(2);
    const ended = await suite.fails('updateFleet', { ...over(hosts), maxHosts: 1 });
    expect(ended.type).toBe('TooManyHosts');
    expect(hosts.every((hostId) => isUntouched(suite, hostId))).toBe(true);
  });

  test.concurrent('by bad input, of which everything is told at once', async () => {
    const a = suite.freshHost();
    const { type, message } = await suite.fails('updateFleet', {
      update,
      hosts: [a, 'host-zz'],
      exclude: ['host-yy'],
      inventory: inventory([a]),
      maintenanceWindow: { timeZone: 'Mars/Olympus', open: [{ from: '22:00', to: '23:00' }] },
    });
    expect(type).toBe('InvalidInput');
    for (const told of ['host-zz', 'host-yy', 'Mars/Olympus']) expect(message).toContain(told);
    expect(isUntouched(suite, a)).toBe(true);
  });

  test.concurrent('when no host can be updated, with the reasons', async () => {
    const ended = await suite.fails('updateFleet', over(['host-nowhere']));
    expect(ended.type).toBe('NothingPlanned');
    expect(ended.message).toContain('host-nowhere: no worker answered');
  });
});
