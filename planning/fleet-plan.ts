import { waveHosts } from '../contract/amounts';
import type { UpdateFleetSettings } from '../contract/fleet-input';
import type { Surveyed } from '../contract/fleet-plan';
import type { FleetPlan, PlannedHost, PlannedWave, RefusedHost } from '../contract/fleet-results';
import type { InventoryHost } from '../contract/inventory';
import type { VmVerdict } from '../contract/results';
import { blockedOver, overAllowance } from './blackout-allowance';
import { findDestinations } from './destinations';
import { isUpToDate, preflight, thirdVersion } from './preflight';

/** A host that has a place, before it is known which one. */
interface Accepted {
  readonly host: InventoryHost;
  readonly vms: readonly VmVerdict[];
  readonly deferred: { readonly untilMs: number; readonly reason: string } | null;
}

/**
 * Every selected host gets a place in a wave, with why, or is refused, with why. Nothing is touched, and the same hosts,
 * surveys and settings make the same plan. A host without a survey counts as unreachable.
 */
export function planFleet(
  hosts: readonly InventoryHost[],
  surveys: ReadonlyMap<string, Surveyed>,
  settings: UpdateFleetSettings,
): FleetPlan {
  const accepted: Accepted[] = [];
  const refused: RefusedHost[] = [];
  for (const host of hosts) {
    const survey = surveys.get(host.hostId) ?? {
      hostId: host.hostId,
      unreachable: 'it was not asked',
    };
    const judged = judge(host, survey, settings);
    if ('why' in judged) refused.push(judged);
    else accepted.push(judged);
  }
  if (settings.strategy.order === 'fewest-vms-first') {
    accepted.sort((a, b) => a.vms.length - b.vms.length);
  }
  return withDestinations(hosts, accepted, refused, surveys, settings);
}

/** Hosts with a VM that must leave and has nowhere to go lose their place, and the others close up. */
function withDestinations(
  hosts: readonly InventoryHost[],
  accepted: readonly Accepted[],
  refused: readonly RefusedHost[],
  surveys: ReadonlyMap<string, Surveyed>,
  settings: UpdateFleetSettings,
): FleetPlan {
  const waves = placed(accepted, settings);
  if (settings.servicing.onCannotKeep !== 'migrate') return { waves, refused };
  const faultDomains = new Map(hosts.map(({ hostId, faultDomain }) => [hostId, faultDomain]));
  const { migrateTo, nowhere } = findDestinations(waves, surveys, faultDomains, settings.update);
  if (nowhere.size > 0) {
    const stays = ({ host }: Accepted) => !nowhere.has(host.hostId);
    const lost = accepted
      .filter((a) => !stays(a))
      .map(({ host, vms }) => ({
        ...{ hostId: host.hostId, faultDomain: host.faultDomain, why: 'blocked' as const },
        ...{ reason: nowhere.get(host.hostId) ?? '', vms },
      }));
    return withDestinations(
      hosts,
      accepted.filter(stays),
      [...refused, ...lost],
      surveys,
      settings,
    );
  }
  return {
    waves: waves.map((wave) => ({
      ...wave,
      hosts: wave.hosts.map((host) => {
        const destinations = migrateTo.get(host.hostId);
        return destinations === undefined ? host : { ...host, migrateTo: destinations };
      }),
    })),
    refused,
  };
}

function judge(
  host: InventoryHost,
  survey: Surveyed,
  settings: UpdateFleetSettings,
): Accepted | RefusedHost {
  const refuse = (
    why: RefusedHost['why'],
    reason: string,
    vms: readonly VmVerdict[] = [],
  ): RefusedHost => ({ hostId: host.hostId, faultDomain: host.faultDomain, why, reason, vms });

  if ('unreachable' in survey) return refuse('unreachable', survey.unreachable);
  const { component, version } = settings.update;
  if (isUpToDate(survey, settings.update)) {
    return refuse('upToDate', `runs ${component} ${version} already`);
  }
  if (survey.quarantine !== null) return refuse('quarantined', survey.quarantine);
  // Where VMs are to go away from hosts, one without any is there to be updated, and to take some.
  if (survey.vms.length === 0 && settings.servicing.onCannotKeep !== 'migrate')
    return refuse('empty', 'the host has no VM, so there is nothing to keep');
  const { mode, onCannotKeep } = settings.servicing;
  const vms = preflight(survey, { update: settings.update, mode, onCannotKeep });
  const blocked = vms.filter((vm) => vm.verdict === 'blocked');
  if (blocked.length > 0) {
    return refuse('blocked', blocked.map((vm) => `${vm.vmId}: ${vm.reason}`).join('; '), vms);
  }
  const third = thirdVersion(survey, {
    update: settings.update,
    rolling: settings.servicing.rolling,
  });
  if (third !== null) return refuse('blocked', third, vms);
  const { blackoutAllowance, servicing } = settings;
  const over = overAllowance(survey, blackoutAllowance, servicing.blackoutBudget);
  if (over.size === 0) return { host, vms, deferred: null };
  const reason = [...over].map(([vmId, vm]) => `${vmId} ${vm.reason}`).join('; ');
  const free = [...over.values()].map((vm) => vm.freeAgainAtMs);
  const isLasting = free.includes(null);
  return blackoutAllowance.whenSpent === 'defer' && !isLasting
    ? { host, vms, deferred: { untilMs: Math.max(...free.map((at) => at ?? 0)), reason } }
    : refuse('allowanceSpent', reason, blockedOver(vms, over));
}

/** Canary first, then waves of the given sizes, of which the last one repeats; deferred hosts make a last wave. */
function placed(accepted: readonly Accepted[], { strategy }: UpdateFleetSettings): PlannedWave[] {
  const now = accepted.filter((a) => a.deferred === null);
  const later = accepted
    .filter((a) => a.deferred !== null)
    .sort((a, b) => (a.deferred?.untilMs ?? 0) - (b.deferred?.untilMs ?? 0));
  const total = accepted.length;
  const waves: PlannedWave[] = [];
  let next = 0;
  const add = (size: number, canary: boolean, why: (place: number, of: number) => string) => {
    const members = now.slice(next, next + size);
    next += members.length;
    if (members.length === 0) return;
    waves.push({
      number: waves.length + 1,
      canary,
      hosts: members.map((a, index) => plannedHost(a, why(index + 1, members.length))),
    });
  };
  const order = strategy.order === 'as-given' ? 'in the order given' : 'fewest VMs first';
  const size = (value: (typeof strategy.waves)[number]) =>
    typeof value === 'number' ? String(value) : `${value} of ${total} hosts, rounded up`;
  add(
    waveHosts(strategy.canary, total),
    true,
    (place, of) => `canary, host ${place} of ${of} (${size(strategy.canary)}), ${order}`,
  );
  for (let step = 0; next < now.length; step += 1) {
    const value = strategy.waves[Math.min(step, strategy.waves.length - 1)] ?? '100%';
    const number = waves.length + 1;
    add(
      waveHosts(value, total),
      false,
      (place, of) => `wave ${number}, host ${place} of ${of} (${size(value)}), ${order}`,
    );
  }
  if (later.length > 0) {
    waves.push({
      number: waves.length + 1,
      canary: false,
      hosts: later.map((a) => plannedHost(a, `deferred: ${a.deferred?.reason ?? ''}`)),
    });
  }
  return waves;
}

function plannedHost({ host, vms, deferred }: Accepted, reason: string): PlannedHost {
  const { hostId, faultDomain, availabilityGroups } = host;
  return {
    hostId,
    faultDomain,
    availabilityGroups,
    reason,
    ...(deferred === null ? {} : { notBeforeMs: deferred.untilMs }),
    vms,
  };
}
