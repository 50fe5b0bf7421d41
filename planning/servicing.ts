import { toMs } from '../contract/durations';
import type { HostDescription, ServicingOrder } from '../contract/host';
import { isPerVm, type Rolling, type ServiceHostSettings, type Update } from '../contract/inputs';
import type {
  HostOutcome,
  MigratedVm,
  NoticeResult,
  ServiceHostResult,
  ServicedVm,
  VmFacts,
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
    ...(isPerVm(input.update.component) ? { rolling: forTheHost(input.rolling) } : {}),
    ...(input.notice?.guests === true ? { guestNoticeMs: toMs(input.notice.waitUpTo) } : {}),
    parallelism: input.parallelism,
    faults: input.faults,
  };
}

const forTheHost = ({ parallelism, onSaveFailure, allowThirdVersion }: Rolling) => ({
  ...{ parallelism, onSaveFailure, allowThirdVersion },
});

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
    const taken = steps.get(vm.vmId) ?? [];
    return {
      vmId: vm.vmId,
      mode: verdict === 'conventional' ? 'conventional' : 'modified',
      facts: taken.length === 0 && vm.facts.running ? untouched(vm.facts) : vm.facts,
      steps: taken,
    };
  });
  return {
    hostId: input.hostId,
    outcome: hostOutcome(reached(input.update, after), vms, reason ?? lostOnTheWay(migrated)),
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

/** Of a VM that this run has done nothing to: what its host has measured is of an earlier one. */
function untouched(facts: VmFacts): VmFacts {
  const nothing = { vfOutageMs: 0, guestVisibleEvents: 0, droppedPackets: 0 };
  const asItIs = { ...nothing, path: 'kept', pathReason: null } as const;
  const { identityAfter, adapters } = facts;
  return {
    ...{ ...facts, ...asItIs, blackoutMs: 0, withinBudget: true, identityBefore: identityAfter },
    ...(adapters === undefined
      ? {}
      : {
          adapters: adapters.map((each) => ({
            ...{ ...each, ...asItIs, identityBefore: each.identityAfter },
          })),
        }),
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

/** How far an update has got: by what every worker process says that it is, where each VM has its own. */
export function reached(
  { component, version }: Update,
  { versions, vms }: HostDescription,
): 'all' | 'some' | 'none' {
  const isDefault = versions[component] === version;
  if (!isPerVm(component)) return isDefault ? 'all' : 'none';
  const there = vms.filter((vm) => vm.facts.stackVersion === version).length;
  if (there === vms.length && isDefault) return 'all';
  return there > 0 || isDefault ? 'some' : 'none';
}

/** The worst that happened names the outcome. A conventional VM is expected to get a new VF; a modified one is not. */
export function hostOutcome(
  updated: 'all' | 'some' | 'none',
  vms: readonly Pick<ServicedVm, 'mode' | 'facts'>[],
  reason: string | null,
): HostOutcome {
  const paths = vms.map((vm) => vm.facts.path);
  if (paths.includes('stranded') || vms.some((vm) => !vm.facts.running)) return 'stranded';
  if (paths.includes('restarted')) return 'restarted';
  if (updated === 'none') return 'notUpdated';
  if (updated === 'some') return 'mixed';
  const asExpected = vms.every(({ mode, facts }) =>
    mode === 'modified'
      ? facts.path === 'kept'
      : facts.path === 'kept' || facts.path === 'reattached',
  );
  return asExpected && reason === null ? 'updated' : 'degraded';
}
