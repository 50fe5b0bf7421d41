import type { Selector, UpdateFleetSettings } from '../../contract/fleet-input';
import { HoldfastError } from '../../contract/failures';
import type { Inventory, InventoryHost } from '../../contract/inventory';
import { isTimeZone } from './maintenance-window';

/** Names that a message lists at most. */
const LISTED = 20;

/**
 * The hosts that a run is about: as named, or as the selector finds them, in the order of the inventory. Fails with
 * `InvalidInput`, naming everything that is wrong, with `EmptySelection` or with `TooManyHosts`.
 * `problems` are found elsewhere, and told together with those of the selection.
 */
export function selectFrom(
  inventory: Inventory,
  settings: UpdateFleetSettings,
  problems: readonly string[] = [],
): readonly InventoryHost[] {
  const known = new Map(inventory.hosts.map((host) => [host.hostId, host]));
  const all = [...problems, ...problemsOf(known, settings)];
  if (all.length > 0)
    throw new HoldfastError('InvalidInput', `${all.join('; ')}.`, { problems: all });

  const { hosts, selector, exclude, maxHosts } = settings;
  const found =
    hosts === undefined
      ? inventory.hosts.filter((host) => selector !== undefined && meets(host, selector))
      : hosts.flatMap((hostId) => known.get(hostId) ?? []);
  const selected = found.filter((host) => !exclude.includes(host.hostId));
  if (selected.length === 0) {
    throw new HoldfastError(
      'EmptySelection',
      `No host of the ${String(inventory.hosts.length)} in the inventory meets ${JSON.stringify(selector ?? hosts)}${exclude.length === 0 ? '' : ' without those that are excluded'}.`,
    );
  }
  if (selected.length > maxHosts) {
    throw new HoldfastError(
      'TooManyHosts',
      `${String(selected.length)} hosts are selected, and maxHosts is ${String(maxHosts)}.`,
    );
  }
  return selected;
}

function problemsOf(
  known: ReadonlyMap<string, InventoryHost>,
  { hosts = [], exclude, faults, maintenanceWindow }: UpdateFleetSettings,
): string[] {
  const named = { hosts, exclude, faults: Object.keys(faults) };
  const problems = Object.entries(named).flatMap(([field, ids]) => {
    const unknown = ids.filter((hostId) => !known.has(hostId));
    return unknown.length === 0
      ? []
      : [`${field}: unknown: ${listed(unknown)} (the inventory has ${listed([...known.keys()])})`];
  });
  const { timeZone = 'UTC' } = maintenanceWindow ?? {};
  if (!isTimeZone(timeZone)) {
    problems.push(
      `maintenanceWindow.timeZone: unknown (got "${timeZone}"); it is an IANA name such as "Europe/Berlin"`,
    );
  }
  return problems;
}

const listed = (names: readonly string[]): string =>
  names.length <= LISTED
    ? names.join(', ')
    : `${names.slice(0, LISTED).join(', ')} and ${String(names.length - LISTED)} more`;

/** Every condition that is given must hold. */
function meets(
  host: InventoryHost,
  { faultDomains, availabilityGroups, labels }: Selector,
): boolean {
  return (
    faultDomains?.includes(host.faultDomain) !== false &&
    availabilityGroups?.some((group) => host.availabilityGroups.includes(group)) !== false &&
    Object.entries(labels ?? {}).every(([label, value]) => host.labels[label] === value)
  );
}
