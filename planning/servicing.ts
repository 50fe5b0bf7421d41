import { toMs } from '../contract/durations';
import type { HostDescription, ServicingOrder } from '../contract/host';
import type { ServiceHostSettings } from '../contract/inputs';
import type {
  HostOutcome,
  MigratedVm,
  NoticeResult,
  ServiceHostResult,
  ServicedVm,
  VmVerdict,
} from '../contract/results';
import type { StepReport } from '../contract/steps';
import { modeOf, staysHere } from './preflight';

/** What the host is told before the first VM pauses. */
export function servicingOrder(
  input: ServiceHostSettings,
  verdicts: readonly VmVerdict[],
): ServicingOrder {
  return {
    update: input.update,
    vms: verdicts.filter(staysHere).map(({ vmId, verdict }) => ({ vmId, mode: modeOf(verdict) })),
    settings: {
      holdMode: input.holdMode,
      virtualFunctionRestore: input.virtualFunctionRestore,
      blackoutBudgetMs: toMs(input.blackoutBudget),
      maxSavedForMs: toMs('5m'),
    },
    onSaveFailure: input.onSaveFailure,
    ...(input.notice?.guests === true ? { guestNoticeMs: toMs(input.notice.waitUpTo) } : {}),
    parallelism: input.parallelism,
    faults: input.faults,
  };
}

/** What became of a host, from what the host itself says afterwards and the steps that were taken. */
export function servicingResult(
  input: ServiceHostSettings,
  before: HostDescription,
  after: HostDescription,
  steps: ReadonlyMap<string, readonly StepReport[]>,
  verdicts: readonly VmVerdict[],
  reason: string | null,
  notice: NoticeResult | null = null,
  migrated: readonly MigratedVm[] = [],
): ServiceHostResult {
  const { component } = input.update;
  const vms = after.vms.map((vm): ServicedVm => {
    const verdict = verdicts.find((v) => v.vmId === vm.vmId)?.verdict;
    return {
      vmId: vm.vmId,
      mode: verdict === 'conventional' ? 'conventional' : 'modified',
      facts: vm.facts,
      steps: steps.get(vm.vmId) ?? [],
    };
  });
  const updated = after.versions[component] === input.update.version;
  return {
    hostId: input.hostId,
    outcome: hostOutcome(updated, vms, reason ?? lostOnTheWay(migrated)),
    reason: reason ?? lostOnTheWay(migrated),
    component,
    versionBefore: before.versions[component],
    versionAfter: after.versions[component],
    vms,
    ...(migrated.length === 0 ? {} : { migrated }),
    notice,
    forbiddenCommands: after.forbiddenCommands - before.forbiddenCommands,
    invariants: {
      checked: after.invariants.checked - before.invariants.checked,
      violated: after.invariants.violated - before.invariants.violated,
    },
  };
}

/** VMs that run at their new host, but not as they should. */
function lostOnTheWay(migrated: readonly MigratedVm[]): string | null {
  const degraded = migrated.filter(({ outcome }) => outcome === 'degraded');
  if (degraded.length === 0) return null;
  return degraded
    .map(({ vmId, toHostId, reason }) => `${vmId}, now on ${toHostId}: ${reason ?? 'degraded'}`)
    .join('; ');
}

/** The worst that happened names the outcome. A conventional VM is expected to get a new VF; a modified one is not. */
export function hostOutcome(
  updated: boolean,
  vms: readonly Pick<ServicedVm, 'mode' | 'facts'>[],
  reason: string | null,
): HostOutcome {
  const paths = vms.map((vm) => vm.facts.path);
  if (paths.includes('stranded') || vms.some((vm) => !vm.facts.running)) return 'stranded';
  if (paths.includes('restarted')) return 'restarted';
  if (!updated) return 'notUpdated';
  const asExpected = vms.every(({ mode, facts }) =>
    mode === 'modified'
      ? facts.path === 'kept'
      : facts.path === 'kept' || facts.path === 'reattached',
  );
  return asExpected && reason === null ? 'updated' : 'degraded';
}
