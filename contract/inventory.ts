import { hostId, name, vmId } from './ids';
import { z } from './zod';

export const faultDomain = name('faultDomain', 'fd-1');
export const availabilityGroup = name('availabilityGroup', 'web');
export const labels = z.record(name('label', 'rack'), z.string().check(z.maxLength(200)));

/** One host as the inventory knows it: where it stands, not how it is. */
export const inventoryHost = z.strictObject({
  hostId,
  /** Hosts of one fault domain share power or a switch: by default one of them is serviced at a time. */
  faultDomain,
  /** Groups of VMs that stand in for each other, with a VM on this host: by default one host of a group at a time. */
  availabilityGroups: z._default(z.array(availabilityGroup).check(z.maxLength(100)), []),
  /** What selectors can ask for. */
  labels: z._default(labels, {}),
  /** For a plan without a server; a run asks the host itself. */
  vms: z._default(z.array(vmId).check(z.maxLength(256)), []),
  /** For a plan without a server: whether the host keeps bus connections below the VPCI VSP. */
  custodyBelowVsp: z._default(z.boolean(), false),
});
export type InventoryHost = z.output<typeof inventoryHost>;

export const inventory = z.strictObject({
  hosts: z
    .array(inventoryHost)
    .check(z.minLength(1, 'an inventory has at least one host'), z.maxLength(10_000))
    .check(
      z.refine(
        (hosts: readonly InventoryHost[]) =>
          new Set(hosts.map((h) => h.hostId)).size === hosts.length,
        {
          error: ({ input }) =>
            `named twice: ${repeated((input as readonly InventoryHost[]).map((h) => h.hostId)).join(', ')}`,
        },
      ),
    ),
});
export type Inventory = z.output<typeof inventory>;

/** What stands in a list more than once. */
export const repeated = (names: readonly string[]): string[] => [
  ...new Set(names.filter((name, index) => names.indexOf(name) !== index)),
];
