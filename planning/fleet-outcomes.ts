import type { FailureType } from '../contract/failures';
import type { FleetHost, FleetHostOutcome } from '../contract/fleet-results';
import { isPerVm } from '../contract/inputs';
import type { ServiceHostResult } from '../contract/results';

const REASON_CHARACTERS = 300;

/** Longer reasons are for the host's own run; a fleet's result has room for the beginning. */
export const shortReason = (text: string): string =>
  text.length <= REASON_CHARACTERS ? text : `${text.slice(0, REASON_CHARACTERS - 1)}…`;

/** What became of a host, from the result of its servicing run. */
export function servicedHost(
  wave: number,
  result: ServiceHostResult,
  reason: string | null,
): FleetHost {
  return {
    hostId: result.hostId,
    wave,
    outcome: result.outcome,
    reason: reason === null ? null : shortReason(reason),
    versionBefore: result.versionBefore,
    versionAfter: result.versionAfter,
    longestBlackoutMs: Math.max(0, ...result.vms.map((vm) => vm.facts.blackoutMs)),
    vms: result.vms.length,
    vmsKept: result.vms.filter((vm) => vm.facts.path === 'kept').length,
    vmsUpdated: updatedVms(result),
  };
}

/** And of one whose run ended without a result: nothing, or not all, of it was done. */
export function unservicedHost(
  hostId: string,
  wave: number,
  outcome: FleetHostOutcome,
  reason: string,
): FleetHost {
  return {
    hostId,
    wave,
    outcome,
    reason: shortReason(reason),
    versionBefore: null,
    versionAfter: null,
    longestBlackoutMs: null,
    vms: 0,
    vmsKept: 0,
    vmsUpdated: 0,
  };
}

function updatedVms({ component, versionBefore, versionAfter, vms }: ServiceHostResult): number {
  if (!isPerVm(component)) return versionAfter === versionBefore ? 0 : vms.length;
  return vms.filter(({ facts }) => facts.stackVersion !== versionBefore).length;
}

/** How a servicing run that failed without a result counts. What only a host that was touched can say is `notUpdated`. */
export function outcomeOf(type: FailureType): FleetHostOutcome {
  switch (type) {
    case 'HostBusy':
      return 'busy';
    case 'HostUnreachable':
    case 'UnknownHost':
      return 'unreachable';
    case 'InvalidInput':
    case 'EmptyHost':
    case 'UnknownVm':
    case 'NotRunning':
    case 'CannotKeep':
    case 'BlackoutAllowanceSpent':
    case 'HostQuarantined':
    case 'FaultsNotSupported':
    case 'ThirdVersion':
      return 'refused';
    case 'VmStranded':
      return 'stranded';
    case 'VmRestarted':
      return 'restarted';
    default:
      return 'notUpdated';
  }
}

/** VMs that were dark for longer than their budget: a breach stops the wave, whatever became of the host. */
export function budgetBreach({ hostId, vms }: ServiceHostResult): string | null {
  const over = vms.filter((vm) => !vm.facts.withinBudget);
  if (over.length === 0) return null;
  const each = over.map((vm) => `${vm.vmId} ${(vm.facts.blackoutMs / 1000).toFixed(1)} s`);
  return `on ${hostId} the blackout budget was exceeded: ${each.join(', ')}`;
}

/** Failures count towards the limit; a host that was left out on purpose does not. */
export const isFailed = (outcome: FleetHostOutcome, onBusy: 'skip' | 'wait' | 'fail'): boolean =>
  outcome === 'busy'
    ? onBusy === 'fail'
    : !(['updated', 'skipped', 'notStarted', 'rolledBack'] as FleetHostOutcome[]).includes(outcome);
