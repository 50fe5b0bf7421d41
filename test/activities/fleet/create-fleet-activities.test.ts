import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import * as z from 'zod/mini';
import { createFleetActivities } from '../../../activities/fleet/create-fleet-activities';
import type { FleetActivities } from '../../../activities/fleet/fleet-activities';
import { FleetStore } from '../../../activities/fleet/fleet-store';
import { loadInventory } from '../../../workers/inventory';
import { LocalServer } from '../local-server';
import { PLAN, done, inventoryOf, names, planned, settings, surveyed } from './planned-fleet';

const SECRET = { HOLDFAST_WEBHOOK_SECRET: 'whsec_c2VjcmV0' };
let directory: string;
let store: FleetStore;
let fleet: FleetActivities;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-fleet-store-'));
  store = new FleetStore(directory);
  fleet = createFleetActivities(store, () => inventoryOf(names(5)), SECRET);
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

async function failure(call: Promise<unknown>): Promise<ApplicationFailure> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApplicationFailure) return error;
    throw error;
  }
  throw new Error('it succeeded');
}
const problemsOf = async (call: Promise<unknown>): Promise<readonly string[]> => {
  const { type, nonRetryable, details } = await failure(call);
  expect({ type, nonRetryable }).toEqual({ type: 'InvalidInput', nonRetryable: true });
  return z.parse(z.object({ problems: z.array(z.string()) }), details?.[0]).problems;
};

describe('the selection', () => {
  it('comes from the inventory of the run, else from that of the orchestrator', async () => {
    expect(await fleet.selectHosts(PLAN, settings())).toEqual(['h1', 'h2', 'h3']);
    const own = settings({ hosts: ['own-1'], inventory: inventoryOf(['own-1']) });
    expect(await fleet.selectHosts('another', own)).toEqual(['own-1']);
    expect(await problemsOf(fleet.selectHosts('third', settings({ hosts: ['own-1'] })))).toEqual([
      expect.stringContaining('own-1'),
    ]);
  });

  it('tells everything that is wrong at once, also where there is no inventory', async () => {
    const wrong = settings({
      hosts: ['nobody'],
      notify: ['https://example.com/a', 'https://example.com/b'],
      servicing: { notice: { webhook: 'https://example.com/tenants' } },
      maintenanceWindow: { timeZone: 'Mars/Base', open: [{ from: '22:00', to: '04:00' }] },
    });
    const unsigned = [
      expect.stringMatching(/^notify\.0: HOLDFAST_WEBHOOK_SECRET .*example\.com\/a/),
      expect.stringMatching(/^notify\.1: .*example\.com\/b/),
      expect.stringMatching(/^servicing\.notice\.webhook: .*example\.com\/tenants/),
    ];
    const withoutSecret = createFleetActivities(store, () => inventoryOf(names(5)), {});
    expect(await problemsOf(withoutSecret.selectHosts(PLAN, wrong))).toEqual([
      ...unsigned,
      expect.stringMatching(/^hosts: .*nobody/),
      expect.stringMatching(/^maintenanceWindow\.timeZone: .*Mars/),
    ]);
    const withoutInventory = createFleetActivities(store, () => loadInventory(undefined), {});
    expect(await problemsOf(withoutInventory.selectHosts(PLAN, wrong))).toEqual([
      expect.stringMatching(/^inventory: .*--inventory/),
      ...unsigned,
      expect.stringMatching(/^maintenanceWindow\.timeZone: .*Mars/),
    ]);
  });

  it('needs a secret only if there is a webhook', async () => {
    const without = createFleetActivities(store, () => inventoryOf(names(5)), {});
    expect(await without.selectHosts(PLAN, settings())).toHaveLength(3);
    const notify = ['https://example.com/a'];
    expect(await fleet.selectHosts(PLAN, settings({ notify }))).toHaveLength(3);
  });
});

describe('the plan', () => {
  it('is summed up, and read whole or by wave', async () => {
    const summary = await planned(fleet, names(4), { strategy: { canary: 1, waves: [2] } });
    expect(summary).toEqual({
      planned: 4,
      refused: 0,
      upToDate: 0,
      waves: [
        { number: 1, canary: true, hosts: 1 },
        { number: 2, canary: false, hosts: 2 },
        { number: 3, canary: false, hosts: 1 },
      ],
    });
    const { waves } = await fleet.readPlan(PLAN);
    expect(waves.map((wave) => wave.hosts.map((host) => host.hostId))).toEqual([
      ['h1'],
      ['h2', 'h3'],
      ['h4'],
    ]);
    expect(await fleet.readWave(PLAN, 2)).toEqual([
      { hostId: 'h2', faultDomain: 'fd-1', availabilityGroups: [] },
      { hostId: 'h3', faultDomain: 'fd-0', availabilityGroups: [] },
    ]);
  });

  it('is the same when it is asked for again, whatever a late survey says', async () => {
    const first = await planned(fleet, names(3));
    await fleet.keepSurveys(PLAN, [{ hostId: 'h2', unreachable: 'it was late' }]);
    expect(await fleet.planFleet(PLAN, settings())).toEqual(first);
    expect((await fleet.readPlan(PLAN)).refused).toEqual([]);
    expect([...store.surveys(PLAN).keys()]).toEqual([]);
  });

  it('counts a host that was not asked, and one that is up to date, as refused', async () => {
    const given = settings();
    await fleet.selectHosts(PLAN, given);
    const { versions, vms } = surveyed('h2');
    const there = vms.map((vm) => ({ ...vm, stackVersion: '2.0.0' }));
    await fleet.keepSurveys(PLAN, [
      surveyed('h1'),
      { ...surveyed('h2'), vms: there, versions: { ...versions, vmWorkerProcess: '2.0.0' } },
    ]);
    expect(await fleet.planFleet(PLAN, given)).toMatchObject({
      planned: 1,
      refused: 2,
      upToDate: 1,
    });
  });

  it('outlives the process', async () => {
    const summary = await planned(fleet, names(3));
    await fleet.keepHosts(PLAN, [done('h1', 1)]);
    await store.close();
    store = new FleetStore(directory);
    fleet = createFleetActivities(store, () => inventoryOf([]), SECRET);
    expect(await fleet.planFleet(PLAN, settings())).toEqual(summary);
    expect(await fleet.findHost(PLAN, 'h1')).toEqual({ wave: 1, outcome: 'updated' });
  });

  it('is refused as one result when it is too large for one', async () => {
    await planned(fleet, names(200), {}, 256);
    const { type, nonRetryable } = await failure(fleet.readPlan(PLAN));
    expect({ type, nonRetryable }).toEqual({ type: 'PlanTooLarge', nonRetryable: true });
  });

  it('of another run is not found, and may be where another orchestrator keeps it', async () => {
    await planned(fleet, names(3));
    await expect(fleet.readWave('update-fleet/another', 1)).rejects.toThrow('--data-dir');
  });
});

it('tells a webhook under the id that it is given', async () => {
  const server = new LocalServer();
  await server.start();
  try {
    const event = { event: 'started', workflowId: 'w', runId: 'r', message: 'm' } as const;
    await fleet.notify(server.url, 'msg_7', event);
    const [received] = server.received;
    expect(received?.headers['webhook-id']).toBe('msg_7');
    expect(JSON.parse(received?.body ?? '')).toEqual(event);
  } finally {
    await server.stop();
  }
});

it('answers by the clock whether a maintenance window is open', async () => {
  const always = { days: undefined, from: '00:00', to: '12:00' };
  const { maintenanceWindow } = settings({
    maintenanceWindow: { open: [always, { from: '12:00', to: '00:00' }] },
  });
  if (maintenanceWindow === undefined) throw new Error('there is one');
  const state = await fleet.checkWindow(maintenanceWindow);
  expect(state.open).toBe(true);
  expect(state.untilMs).toBeGreaterThan(Date.now());
});
