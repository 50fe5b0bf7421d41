import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFleetActivities } from '../../../activities/fleet/create-fleet-activities';
import type { FleetActivities } from '../../../activities/fleet/fleet-activities';
import { FleetStore } from '../../../activities/fleet/fleet-store';
import { PLAN, done, inventoryOf, names, planned } from './planned-fleet';

let directory: string;
let store: FleetStore;
let fleet: FleetActivities;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-fleet-store-'));
  store = new FleetStore(directory);
  fleet = createFleetActivities(store, () => inventoryOf([]));
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

describe('what became of hosts', () => {
  const ONE_WAVE = { strategy: { canary: 0 } };

  it('leaves the wave those that are not done', async () => {
    await planned(fleet, names(3), ONE_WAVE);
    await fleet.keepHosts(PLAN, [done('h2', 1)]);
    expect((await fleet.readWave(PLAN, 1)).map((host) => host.hostId)).toEqual(['h1', 'h3']);
    expect(await fleet.findHost(PLAN, 'h1')).toEqual({ wave: 1, outcome: null });
    expect(await fleet.findHost(PLAN, 'h2')).toEqual({ wave: 1, outcome: 'updated' });
    expect(await fleet.findHost(PLAN, 'h9')).toBeNull();
  });

  it('is the latest word, also when an earlier one arrives late', async () => {
    await planned(fleet, names(1), ONE_WAVE);
    await fleet.keepHosts(PLAN, [done('h1', 2, { outcome: 'updated' })]);
    await fleet.keepHosts(PLAN, [done('h1', 1, { outcome: 'notUpdated' })]);
    expect(await fleet.findHost(PLAN, 'h1')).toMatchObject({ outcome: 'updated' });
    await fleet.keepHosts(PLAN, [done('h1', 3, { outcome: 'rolledBack' })]);
    expect(await fleet.findHost(PLAN, 'h1')).toMatchObject({ outcome: 'rolledBack' });
  });

  it('is unhealthy where a gate found it so after its update, and only there', async () => {
    await planned(fleet, names(4), ONE_WAVE);
    await fleet.keepHosts(PLAN, [
      done('h1', 1),
      done('h2', 2, { outcome: 'rolledBack', versionAfter: '1.0.0' }),
      done('h3', 3, { outcome: 'stranded' }),
    ]);
    const reason = 'heartbeat: lost '.repeat(50);
    await fleet.markUnhealthy(
      PLAN,
      names(4).map((hostId) => ({ hostId, reason })),
    );
    const { hosts } = await fleet.readHosts(PLAN);
    expect(hosts.map((host) => host.outcome)).toEqual([
      'unhealthy',
      'rolledBack',
      'stranded',
      'notStarted',
    ]);
    expect(hosts[0]?.reason).toHaveLength(300);
  });

  it('can be taken back where the run brought the new version, the latest first', async () => {
    await planned(fleet, names(5), ONE_WAVE);
    await fleet.keepHosts(PLAN, [
      done('h1', 3),
      done('h2', 5, { outcome: 'unhealthy' }),
      done('h3', 4, { outcome: 'notUpdated', versionAfter: '1.0.0' }),
      done('h4', 2, { versionBefore: '2.0.0' }),
      done('h5', 1, { outcome: 'degraded', versionBefore: '1.5.0' }),
    ]);
    expect(await fleet.readUpdated(PLAN)).toEqual([
      { hostId: 'h2', faultDomain: 'fd-1', availabilityGroups: [], versionBefore: '1.0.0' },
      { hostId: 'h1', faultDomain: 'fd-0', availabilityGroups: [], versionBefore: '1.0.0' },
      { hostId: 'h5', faultDomain: 'fd-0', availabilityGroups: [], versionBefore: '1.5.0' },
    ]);
  });

  it('is counted and listed by wave and place', async () => {
    await planned(fleet, names(7), { strategy: { canary: 1 } });
    await fleet.keepHosts(PLAN, [
      done('h7', 1, { longestBlackoutMs: 900 }),
      done('h1', 2, { longestBlackoutMs: 1_200 }),
      done('h2', 3, { outcome: 'notUpdated' }),
      done('h3', 4, { outcome: 'busy' }),
      done('h4', 5, { outcome: 'skipped' }),
      done('h5', 6, { outcome: 'rolledBack' }),
    ]);
    const { hosts, counts, longestBlackoutMs } = await fleet.readHosts(PLAN);
    expect(hosts.map((host) => host.hostId)).toEqual(names(7));
    expect(counts).toEqual({
      planned: 7,
      updated: 2,
      failed: 1,
      busy: 1,
      skipped: 1,
      rolledBack: 1,
      notStarted: 1,
    });
    expect(longestBlackoutMs).toBe(1_200);
    expect(hosts[0]).not.toHaveProperty('order');
  });

  it('of more hosts than fit lists those first that are not updated, and counts all', async () => {
    const many = names(2_100);
    await planned(fleet, many, ONE_WAVE);
    await fleet.keepHosts(
      PLAN,
      many.slice(0, 2_095).map((hostId, i) => done(hostId, i)),
    );
    const { hosts, counts } = await fleet.readHosts(PLAN);
    expect(counts).toMatchObject({ planned: 2_100, updated: 2_095, notStarted: 5 });
    expect(hosts).toHaveLength(2_000);
    expect(hosts.slice(0, 5).map((host) => host.hostId)).toEqual(many.slice(2_095));
  });

  it('and what was refused fit into one result, however many VMs there are', async () => {
    const many = names(600);
    await planned(fleet, many, { update: { component: 'vpciVsp', version: '2.0.0' } }, 64);
    const { refused } = await fleet.readHosts(PLAN);
    expect(refused).toHaveLength(500);
    expect(Buffer.byteLength(JSON.stringify(refused))).toBeLessThan(400_000);
    expect(refused[0]?.reason.length).toBeGreaterThan(20);
  });
});
