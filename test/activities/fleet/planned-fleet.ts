import * as z from 'zod/mini';
import type { FleetActivities } from '../../../activities/fleet/fleet-activities';
import { updateFleetInput, type UpdateFleetInput } from '../../../contract/fleet-input';
import type { KeptHost, PlanSummary } from '../../../contract/fleet-plan';
import { inventory, type Inventory } from '../../../contract/inventory';
import { unservicedHost } from '../../../planning/fleet-outcomes';
import { hostWith, vmWith } from '../../planning/descriptions';

export const names = (count: number) =>
  Array.from({ length: count }, (_, i) => `h${String(i + 1)}`);
export const inventoryOf = (hostIds: readonly string[]): Inventory =>
  z.parse(inventory, {
    hosts: hostIds.map((hostId, i) => ({ hostId, faultDomain: `fd-${String(i % 2)}` })),
  });
export const settings = (more: Partial<UpdateFleetInput> = {}) =>
  z.parse(updateFleetInput, {
    update: { version: '2.0.0' },
    hosts: more.selector === undefined ? ['h1', 'h2', 'h3'] : undefined,
    maxHosts: 10_000,
    ...more,
  });

export const PLAN = 'update-fleet/run';
export const surveyed = (hostId: string, vms = 1) =>
  hostWith({
    hostId,
    vms: Array.from({ length: vms }, (_, i) => vmWith({ vmId: `vm-${String(i)}` })),
  });

/** Selects, surveys and plans hosts that are all well. */
export async function planned(
  fleet: FleetActivities,
  hosts: readonly string[],
  more: Partial<UpdateFleetInput> = {},
  vms = 1,
): Promise<PlanSummary> {
  const given = settings({ hosts: [...hosts], inventory: inventoryOf(hosts), ...more });
  await fleet.selectHosts(PLAN, given);
  await fleet.keepSurveys(
    PLAN,
    hosts.map((hostId) => surveyed(hostId, vms)),
  );
  return fleet.planFleet(PLAN, given);
}

export const done = (hostId: string, order: number, more: Partial<KeptHost> = {}): KeptHost => ({
  ...unservicedHost(hostId, 1, 'updated', ''),
  reason: null,
  versionBefore: '1.0.0',
  versionAfter: '2.0.0',
  order,
  ...more,
});
