/** From inventory, surveys and strategy to numbered waves, with why; and how long that takes for a thousand hosts. */
import * as z from 'zod/mini';
import { updateFleetInput, type UpdateFleetInput } from '../../contract/fleet-input';
import type { Surveyed } from '../../contract/fleet-plan';
import type { HostSurvey } from '../../contract/host';
import type { InventoryHost } from '../../contract/inventory';
import { planFleet } from '../../planning/fleet-plan';
import { hostWith, vmWith } from './descriptions';

const NOW = Date.UTC(2026, 10, 24);
const host = (hostId: string, more: Partial<InventoryHost> = {}): InventoryHost => ({
  hostId,
  faultDomain: 'fd-1',
  availabilityGroups: [],
  labels: {},
  vms: [],
  custodyBelowVsp: false,
  ...more,
});
const names = (count: number) => Array.from({ length: count }, (_, i) => `h${String(i + 1)}`);
const survey = (hostId: string, more: Partial<HostSurvey> = {}): HostSurvey => ({
  ...hostWith({ hostId, describedAtMs: NOW, vms: [vmWith()] }),
  ...more,
});
const settings = (more: Partial<UpdateFleetInput> = {}) =>
  z.parse(updateFleetInput, { update: { version: '2.0.0' }, hosts: ['h1'], ...more });

function plan(
  hostIds: readonly string[],
  more: Partial<UpdateFleetInput> = {},
  surveys: readonly Surveyed[] = [],
) {
  const known = new Map<string, Surveyed>(hostIds.map((hostId) => [hostId, survey(hostId)]));
  for (const each of surveys) known.set(each.hostId, each);
  return planFleet(
    hostIds.map((hostId) => host(hostId)),
    known,
    settings(more),
  );
}
const sizes = (result: ReturnType<typeof plan>) => result.waves.map((wave) => wave.hosts.length);

describe('sizes of waves', () => {
  test.each<[string, NonNullable<UpdateFleetInput['strategy']>, number, number[]]>([
    ['a canary and the rest', {}, 10, [1, 9]],
    ['no canary', { canary: 0 }, 10, [10]],
    ['a canary of all', { canary: '100%' }, 3, [3]],
    ['a percentage, rounded up', { canary: '10%', waves: ['25%'] }, 10, [1, 3, 3, 3]],
    ['a percentage of few, never none', { canary: '1%', waves: ['1%'] }, 3, [1, 1, 1]],
    ['absolute sizes, of which the last repeats', { waves: [1, 2, 4] }, 14, [1, 1, 2, 4, 4, 2]],
    ['mixed', { canary: 2, waves: [3, '50%'] }, 20, [2, 3, 10, 5]],
    ['more than there are', { canary: 5, waves: [100] }, 3, [3]],
    ['one host', {}, 1, [1]],
  ])('%s: %j of %d hosts', (_what, strategy, count, expected) => {
    const result = plan(names(count), { strategy });
    expect(sizes(result)).toEqual(expected);
    expect(result.waves.map((wave) => wave.number)).toEqual(expected.map((_, i) => i + 1));
    // Everyone has exactly one place, in the order given.
    expect(result.waves.flatMap((wave) => wave.hosts.map((h) => h.hostId))).toEqual(names(count));
  });

  test('percentages are of the hosts that are planned, not of those that were refused', () => {
    const refused = names(10)
      .slice(5)
      .map((hostId) => ({ hostId, unreachable: 'down' }));
    expect(sizes(plan(names(10), { strategy: { canary: 0, waves: ['50%'] } }, refused))).toEqual([
      3, 2,
    ]);
  });
});

test('every place has a reason', () => {
  const { waves } = plan(names(4), { strategy: { waves: ['50%'] } });
  expect(waves.flatMap((wave) => wave.hosts.map((h) => h.reason))).toEqual([
    'canary, host 1 of 1 (1), in the order given',
    'wave 2, host 1 of 2 (50% of 4 hosts, rounded up), in the order given',
    'wave 2, host 2 of 2 (50% of 4 hosts, rounded up), in the order given',
    'wave 3, host 1 of 1 (50% of 4 hosts, rounded up), in the order given',
  ]);
  expect(waves.map((wave) => wave.canary)).toEqual([true, false, false]);
});

test('fewest VMs first, else in the order given', () => {
  const three = survey('h1', { vms: ['vm-01', 'vm-02', 'vm-03'].map((vmId) => vmWith({ vmId })) });
  const order = (value: 'as-given' | 'fewest-vms-first') =>
    plan(names(3), { strategy: { order: value } }, [three]).waves.flatMap((w) =>
      w.hosts.map((h) => h.hostId),
    );
  expect(order('as-given')).toEqual(['h1', 'h2', 'h3']);
  expect(order('fewest-vms-first')).toEqual(['h2', 'h3', 'h1']);
});

describe('a host is refused', () => {
  const update = { version: '9.0.0', component: 'vmSwitch' } as const;
  test.each<[string, Surveyed, Partial<UpdateFleetInput>, string]>([
    ['unreachable', { hostId: 'h1', unreachable: 'no worker answered' }, {}, 'no worker answered'],
    [
      'upToDate',
      survey('h1', {
        versions: { ...hostWith({}).versions, vmWorkerProcess: '2.0.0' },
        vms: [vmWith({ stackVersion: '2.0.0' })],
      }),
      {},
      'runs vmWorkerProcess 2.0.0 already',
    ],
    [
      'upToDate',
      survey('h1', { versions: { ...hostWith({}).versions, vpciVsp: '2.0.0' } }),
      { update: { component: 'vpciVsp', version: '2.0.0' } },
      'runs vpciVsp 2.0.0 already',
    ],
    [
      'blocked',
      survey('h1', {
        vms: [vmWith(), vmWith({ vmId: 'vm-02', stackVersion: '1.5.0' })],
      }),
      {},
      'run 1.0.0 and 1.5.0; 2.0.0 would be a third version',
    ],
    ['quarantined', survey('h1', { quarantine: 'vm-01 stranded' }), {}, 'vm-01 stranded'],
    ['empty', survey('h1', { vms: [] }), {}, 'the host has no VM'],
    [
      'blocked',
      survey('h1', { vms: [vmWith({ phase: 'saved' })] }),
      {},
      'vm-01: the VM is saved, not running',
    ],
    ['blocked', survey('h1'), { update }, 'must free them all'],
  ])('as %s', (why, surveyed, more, told) => {
    const result = plan(['h1', 'h2'], more, [surveyed]);
    const refused = result.refused.find((h) => h.hostId === 'h1');
    expect(refused).toMatchObject({ why, faultDomain: 'fd-1' });
    expect(refused?.reason).toContain(told);
    if (why === 'blocked' && !told.includes('third'))
      expect(refused?.vms).toMatchObject([{ vmId: 'vm-01', verdict: 'blocked' }]);
  });

  test.each([['1.0.0'], ['2.0.0']])('not one that is half updated, to %s', (version) => {
    const vms = [vmWith(), vmWith({ vmId: 'vm-02', stackVersion: '2.0.0' })];
    const { waves, refused } = plan(['h1'], { update: { version } }, [survey('h1', { vms })]);
    expect(refused).toEqual([]);
    const there = version === '1.0.0' ? ['there', 'keep'] : ['keep', 'there'];
    expect(waves[0]?.hosts[0]?.vms.map(({ verdict }) => verdict)).toEqual(there);
  });

  test('but not where the conventional way is allowed', () => {
    const { waves, refused } = plan(['h1'], {
      update,
      servicing: { onCannotKeep: 'conventional' },
    });
    expect(refused).toEqual([]);
    expect(waves[0]?.hosts[0]?.vms).toMatchObject([{ verdict: 'conventional' }]);
  });

  test('and one that was never asked is unreachable', () => {
    const { refused } = planFleet([host('h1')], new Map(), settings());
    expect(refused).toMatchObject([{ why: 'unreachable' }]);
  });
});

describe('a VM that was dark already', () => {
  const DAY = 86_400_000;
  const wasDark = (hostId: string, seconds: number, daysAgo: number) =>
    survey(hostId, {
      vms: [
        vmWith(),
        vmWith({
          vmId: 'vm-02',
          blackouts: [{ endedAtMs: NOW - daysAgo * DAY, ms: seconds * 1000 }],
        }),
      ],
    });

  test.each([
    [20, 0],
    [20.001, 1],
  ])('for %d s: with another 10 s of 30 s its host is refused %d times', (seconds, times) => {
    const { refused } = plan(['h1'], {}, [wasDark('h1', seconds, 3)]);
    expect(refused).toHaveLength(times);
    if (times > 0) {
      expect(refused[0]).toMatchObject({
        why: 'allowanceSpent',
        vms: [{ verdict: 'keep' }, { verdict: 'blocked' }],
      });
      expect(refused[0]?.reason).toContain('vm-02 was dark for 20.0 s in the last 30d');
    }
  });

  test('is put off to a last wave, whoever is free first at its head', () => {
    const { waves, refused } = plan(names(4), { blackoutAllowance: { whenSpent: 'defer' } }, [
      wasDark('h1', 25, 3),
      wasDark('h3', 25, 20),
    ]);
    expect(refused).toEqual([]);
    expect(waves.map((wave) => wave.hosts.map((h) => h.hostId))).toEqual([
      ['h2'],
      ['h4'],
      ['h3', 'h1'],
    ]);
    expect(waves[2]?.hosts.map((h) => h.notBeforeMs)).toEqual([NOW + 10 * DAY, NOW + 27 * DAY]);
    expect(waves[2]?.hosts[0]?.reason).toContain('deferred: vm-02 was dark for 25.0 s');
    expect(waves[2]?.canary).toBe(false);
  });

  test('is refused all the same where it would never have room', () => {
    const { refused } = plan(['h1'], { blackoutAllowance: { atMost: '5s', whenSpent: 'defer' } });
    expect(refused).toMatchObject([{ why: 'allowanceSpent' }]);
  });
});

/** Processor time of planning so many hosts, the least of several times. */
function planningCost(count: number, times: number): number {
  const hostIds = names(count);
  const vms = Array.from({ length: 8 }, (_, i) => vmWith({ vmId: `vm-0${String(i + 1)}` }));
  const surveys = new Map<string, Surveyed>(
    hostIds.map((hostId) => [hostId, survey(hostId, { vms })]),
  );
  const hosts = hostIds.map((hostId, i) => host(hostId, { faultDomain: `fd-${String(i % 20)}` }));
  const costs = Array.from({ length: times }, () => {
    const before = process.cpuUsage();
    const { waves } = planFleet(
      hosts,
      surveys,
      settings({ maxHosts: 1_000, strategy: { waves: ['5%'] } }),
    );
    const { user, system } = process.cpuUsage(before);
    expect(waves.reduce((sum, wave) => sum + wave.hosts.length, 0)).toBe(count);
    return user + system;
  });
  return Math.min(...costs);
}

test('a thousand hosts cost about ten times as much as a hundred, not a hundred times', () => {
  planningCost(100, 5);
  expect(planningCost(1_000, 5)).toBeLessThan(40 * planningCost(100, 20));
});

test('the same hosts, surveys and settings make the same plan', () => {
  expect(plan(names(20), { strategy: { waves: ['10%'] } })).toEqual(
    plan(names(20), { strategy: { waves: ['10%'] } }),
  );
});
