import type { Selector, UpdateFleetSettings } from '../../contract/fleet-input';
import { HoldfastError } from '../../contract/failures';
import type { Inventory, InventoryHost } from '../../contract/inventory';
import { isTimeZone } from './maintenance-window';

/** Names that a message lists at most. */
const LISTED = 20;
/** Letters by which a name may differ from one that was meant. */
const SLIPS = 2;

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
  refuseIfAny([...problems, ...unknownHosts(known, settings), ...timeZoneProblems(settings)]);

  const { hosts, selector, exclude, maxHosts } = settings;
  const found =
    hosts === undefined
      ? inventory.hosts.filter((host) => selector !== undefined && meets(host, selector))
      : hosts.flatMap((hostId) => known.get(hostId) ?? []);
  const excluded = new Set(exclude);
  const selected = found.filter((host) => !excluded.has(host.hostId));
  if (selected.length === 0) {
    throw new HoldfastError(
      'EmptySelection',
      `No host of the ${String(inventory.hosts.length)} in the inventory meets ${JSON.stringify(selector ?? hosts)}${exclude.length === 0 ? '' : ' without those that are excluded'}.`,
      { inInventory: inventory.hosts.length, excluded: exclude.length },
    );
  }
  if (selected.length > maxHosts) {
    throw new HoldfastError(
      'TooManyHosts',
      `${String(selected.length)} hosts are selected, and maxHosts is ${String(maxHosts)}.`,
      { selected: selected.length, maxHosts },
    );
  }
  return selected;
}

/** One failure for all of them. */
export function refuseIfAny(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new HoldfastError('InvalidInput', `${problems.join('; ')}.`, { problems });
}

export function timeZoneProblems({ maintenanceWindow }: UpdateFleetSettings): readonly string[] {
  const { timeZone = 'UTC' } = maintenanceWindow ?? {};
  if (isTimeZone(timeZone)) return [];
  return [
    `maintenanceWindow.timeZone: unknown (got "${timeZone}"); it is an IANA name such as "Europe/Berlin"`,
  ];
}

function unknownHosts(
  known: ReadonlyMap<string, InventoryHost>,
  { hosts = [], exclude, faults }: UpdateFleetSettings,
): readonly string[] {
  const named = { hosts, exclude, faults: Object.keys(faults) };
  const names = [...known.keys()];
  return Object.entries(named).flatMap(([field, ids]) => {
    const unknown = ids.filter((hostId) => !known.has(hostId));
    if (unknown.length === 0) return [];
    const alike = new Set(unknown.slice(0, LISTED).flatMap((hostId) => closest(hostId, names)));
    const meant = alike.size === 0 ? '' : `close to ${listed([...alike])}; `;
    return [`${field}: unknown: ${listed(unknown)} (${meant}the inventory has ${listed(names)})`];
  });
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

const closest = (name: string, names: readonly string[]): string[] =>
  names
    .filter((other) => Math.abs(other.length - name.length) <= SLIPS)
    .map((other) => ({ other, slips: slipsBetween(name, other) }))
    .filter(({ slips }) => slips <= SLIPS)
    .sort((a, b) => a.slips - b.slips)
    .slice(0, 3)
    .map(({ other }) => other);

/** Letters to add, leave out or change to make one name of the other (Levenshtein distance). */
function slipsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...b].entries()) {
      next.push(
        Math.min(
          (row[column + 1] ?? 0) + 1,
          (next[column] ?? 0) + 1,
          (row[column] ?? 0) + (letter === other ? 0 : 1),
        ),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
