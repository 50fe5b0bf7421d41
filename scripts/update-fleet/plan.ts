import Table from 'cli-table3';
import type { FleetPlan, PlannedHost } from '../../contract/fleet-results';
import type { Surveyed } from '../../contract/fleet-plan';
import { HoldfastError } from '../../contract/failures';
import { COMPONENTS, type Component } from '../../contract/inputs';
import type { InventoryHost } from '../../contract/inventory';
import { selectFrom } from '../../activities/fleet/selection';
import { planFleet } from '../../planning/fleet-plan';
import { CannotUpdate } from './ended';
import type { Fleet } from './fleet-file';

/** The plan from the file alone, as if every host were well, on another version, and no VM had been dark. */
export function planFromFile({ settings }: Fleet): FleetPlan {
  if (settings.inventory === undefined) {
    throw new CannotUpdate(
      'A plan without a server needs the hosts in the file, as "inventory"; or set TEMPORAL_ADDRESS to ask the hosts.',
    );
  }
  try {
    const hosts = selectFrom(settings.inventory, settings);
    return planFleet(hosts, new Map(hosts.map((host) => [host.hostId, assumed(host)])), settings);
  } catch (error) {
    if (error instanceof HoldfastError) throw new CannotUpdate(error.message);
    throw error;
  }
}

const UNKNOWN_VERSIONS = Object.fromEntries(COMPONENTS.map((c) => [c, 'unknown'])) as Record<
  Component,
  string
>;

const assumed = ({ hostId, vms, custodyBelowVsp }: InventoryHost): Surveyed => ({
  hostId,
  versions: UNKNOWN_VERSIONS,
  capabilities: { custodyBelowVsp, recordVersions: [1] },
  quarantine: null,
  describedAtMs: 0,
  vms: vms.map((vmId) => ({
    ...{ vmId, phase: 'running', blackouts: [], stackVersion: 'unknown', adapterClass: 'unknown' },
  })),
});

/** The one document that `--dry-run --json` prints. */
export const planDocument = ({ waves, refused }: FleetPlan) => ({
  waves: waves.map(({ number, hosts }) => ({
    number,
    hosts: hosts.map(({ hostId, faultDomain, reason, notBeforeMs, migrateTo, vms }) => ({
      hostId,
      faultDomain,
      reason,
      ...(notBeforeMs === undefined ? {} : { notBefore: new Date(notBeforeMs).toISOString() }),
      ...(migrateTo === undefined ? {} : { migrateTo }),
      vms,
    })),
  })),
  refused: refused.map(({ hostId, faultDomain, reason, vms }) => ({
    hostId,
    faultDomain,
    reason,
    vms,
  })),
});

/** For people: numbered waves, then what was refused and why. */
export function planTable({ waves, refused }: FleetPlan): string {
  const table = new Table({
    head: ['wave', 'host', 'fault domain', 'VMs', 'why here'],
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [6, null, null, null, 60],
  });
  for (const { number, hosts } of waves)
    for (const host of hosts)
      table.push([String(number), host.hostId, host.faultDomain, verdicts(host), host.reason]);
  const planned = waves.reduce((sum, wave) => sum + wave.hosts.length, 0);
  return [
    ...(planned === 0 ? [] : [table.toString()]),
    `${String(planned)} hosts in ${String(waves.length)} waves, ${String(refused.length)} refused.`,
    ...refused.map((host) => `refused: ${host.hostId} (${host.faultDomain}): ${host.reason}`),
  ].join('\n');
}

/** `4 keep`, or each kind with its number; then how dark they will be, where the hosts were asked. */
function verdicts({ vms, migrateTo }: PlannedHost): string {
  const kinds = [...new Set(vms.map((vm) => vm.verdict))];
  const dark = vms.flatMap(({ blackout }) => blackout ?? []);
  const longestMs = Math.max(...dark.map(({ likelyMs }) => likelyMs));
  const how = dark.some(({ together }) => together) ? 'all together' : 'one by one';
  const counts = kinds
    .map((kind) => {
      const to = kind === 'migrate' && migrateTo !== undefined ? ` to ${migrateTo.join(', ')}` : '';
      return `${String(vms.filter((vm) => vm.verdict === kind).length)} ${kind}${to}`;
    })
    .join(', ');
  return dark.length === 0 ? counts : `${counts}; dark ${how}, about ${longestMs} ms`;
}
