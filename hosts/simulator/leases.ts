import { HARD_BLACKOUT_LIMIT } from '../../contract/inputs';
import { toMs } from '../../contract/durations';
import { HoldfastError } from '../../contract/failures';
import type { Operation, VmPhase } from '../../contract/host';
import { DEAD_MAN, type Holder } from '../../contract/ids';
import type { BeginRequest } from '../host-driver';
import { firstIdentityBefore, identityOf } from './identity';
import { emptyMailboxes } from './mailbox';
import { eachAdapter } from './operations/each-adapter';
import { breakBarrier, giveUpUpdate, leavesOut, markAdmitted } from './servicing';
import type { HostState, Lease, Objects, ServicingState, VmState } from './state';

export const sameHolder = (a: Holder | null | undefined, b: Holder | null | undefined): boolean =>
  a != null && b != null && a.workflowId === b.workflowId && a.runId === b.runId;

export const describeHolder = (h: Holder) => `workflow ${h.workflowId}, run ${h.runId}`;

/** Where the VM stands, from the objects alone: the same answer whoever asks and whatever was lost. */
export function phaseOf(vm: VmState): VmPhase {
  if (vm.stranded !== null) return 'stranded';
  if (vm.partition.state === 'running') return vm.lease === null ? 'running' : 'preparing';
  if (vm.lease?.kind === 'recovery') return 'recovering';
  if (vm.record?.state === 'claimed') return 'restoring';
  if (vm.pointOfNoReturn === null) return 'paused';
  return vm.workerProcess.state === 'exited' ? 'saved' : 'crossed';
}

export const darkForMs = (vm: VmState, nowMs: number): number =>
  vm.partition.pausedAtMs === null ? 0 : nowMs - vm.partition.pausedAtMs;

export function operationOf(o: Objects, lease: Lease): Operation {
  const { servicing } = o.host;
  const inServicing = servicing?.members.includes(o.vm.vmId) === true;
  return {
    generation: lease.generation,
    settings: lease.settings,
    inServicing,
    mayBeLeftOut: inServicing && leavesOut(servicing),
    identity: firstIdentityBefore(o.vm),
    darkForMs: darkForMs(o.vm, o.nowMs),
    crossed: o.vm.pointOfNoReturn !== null,
    phase: phaseOf(o.vm),
    ...(lease.adopted === undefined ? {} : { adopted: lease.adopted }),
  };
}

/** The servicing run that the requester is a child of, with this VM among its members. */
function servicingOf(o: Objects, request: BeginRequest): ServicingState | undefined {
  const { servicing, lease } = o.host;
  if (lease !== null && !sameHolder(lease.holder, request.parent)) {
    throw new HoldfastError(
      'HostBusy',
      `Host ${o.host.hostId} is held by ${describeHolder(lease.holder)}.`,
      {
        holder: lease.holder,
      },
    );
  }
  return servicing?.members.includes(o.vm.vmId) === true ? servicing : undefined;
}

function refuseIfHeld(vm: VmState, request: BeginRequest): void {
  const holder = vm.lease?.holder;
  if (holder === undefined || sameHolder(holder, request.holder)) return;
  if (sameHolder(holder, request.takeOverFrom) && !sameHolder(holder, DEAD_MAN)) return;
  throw new HoldfastError('VmBusy', `${vm.vmId} is held by ${describeHolder(holder)}.`, { holder });
}

/** Why the host takes no more work, if so: a breach, or VMs that are held and paused with no safe way forward. */
export function quarantineOf({ quarantine, stranded }: HostState): string | null {
  if (quarantine !== null) return quarantine;
  return stranded.length === 0 ? null : `${stranded.join(', ')} stranded: held and paused`;
}

export function refuseQuarantined(host: HostState): void {
  const reason = quarantineOf(host);
  if (reason === null) return;
  throw new HoldfastError('HostQuarantined', `Host ${host.hostId} is quarantined: ${reason}.`);
}

export function issueLease(o: Objects, request: BeginRequest, kind: Lease['kind']): Lease {
  const { vm } = o;
  vm.generation += 1;
  const order = servicingOf(o, request)?.order;
  const member = order?.vms.find((v) => v.vmId === vm.vmId);
  const settings =
    order === undefined || member === undefined
      ? request.settings
      : { ...order.settings, mode: member.mode };
  if (order === undefined)
    vm.faults = [...request.faults.filter((f) => (f.vmId ?? vm.vmId) === vm.vmId)];
  return { generation: vm.generation, holder: request.holder, kind, settings };
}

export function refuseUnready({ vmId, adapters }: VmState): void {
  for (const { guest, vpci } of adapters) {
    if (!guest.dataPathSwitchPending && !vpci.deviceResetPending) continue;
    throw new HoldfastError(
      'NotReady',
      `${vmId} has a pending ${guest.dataPathSwitchPending ? 'data-path switch' : 'device reset'}.`,
    );
  }
}

export function beginSave(o: Objects, request: BeginRequest): Operation {
  const { vm, host } = o;
  if (vm.lease !== null && sameHolder(vm.lease.holder, request.holder))
    return operationOf(o, vm.lease);
  servicingOf(o, request);
  refuseQuarantined(host);
  const phase = phaseOf(vm);
  if (
    phase === 'saved' ||
    phase === 'crossed' ||
    (phase === 'recovering' && vm.pointOfNoReturn !== null)
  ) {
    throw new HoldfastError('AlreadySaved', `${vm.vmId} is saved already.`);
  }
  refuseIfHeld(vm, request);
  const interrupted = phase === 'paused' || phase === 'recovering';
  if (vm.partition.state !== 'running' && !interrupted) {
    throw new HoldfastError('NotRunning', `${vm.vmId} is ${phase}, so it cannot be saved.`);
  }
  refuseUnready(vm);
  // What a closed run left under way is over; what the restore of the same servicing run prepares goes on.
  if (vm.nextLease === null) emptyMailboxes(o);
  vm.lease = issueLease(o, request, 'save');
  if (!interrupted) noteBefore(o);
  return operationOf(o, vm.lease);
}

/** Where a save begins from: what is compared with it afterwards, and nothing left of an earlier one. */
export function noteBefore(o: Objects): void {
  const { vm } = o;
  for (const of of eachAdapter(o)) {
    const { adapter } = of;
    // Re-adoption of this very VF is authorised here, so that a policy that is down later cannot strand a paused VM.
    adapter.identityBefore = identityOf(of);
    adapter.before = {
      events: adapter.guest.events.length,
      vfOutageMs: adapter.guest.vfOutageMs,
      droppedPackets: adapter.guest.droppedPackets,
    };
    adapter.vfStateRestored = false;
    adapter.vfAbandoned = null;
    adapter.path = 'kept';
    adapter.pathReason = null;
  }
  vm.record = null;
  if (vm.nextLease === null) vm.successor = null;
  vm.vmStateRestored = false;
  vm.functionsGivenUpBy = null;
  vm.blackoutMs = 0;
  vm.withinBudget = true;
  vm.path = 'kept';
  vm.pathReason = null;
}

export function beginRestore(o: Objects, request: BeginRequest): Operation {
  const { vm, nowMs } = o;
  for (const lease of [vm.lease, vm.nextLease]) {
    if (lease !== null && sameHolder(lease.holder, request.holder)) return operationOf(o, lease);
  }
  const servicing = servicingOf(o, request);
  if (servicing !== undefined && vm.record?.state !== 'committed' && vm.pointOfNoReturn === null) {
    // The save still holds the VM; this lease prepares and takes over when the VM is down.
    if (servicing.aborted !== null) {
      throw new HoldfastError('BarrierBroken', `${vm.vmId} is not restored: ${servicing.aborted}.`);
    }
    vm.nextLease = issueLease(o, request, 'restore');
    // The save begins after the preparation, with an older generation: its lease is not fenced by this one.
    return operationOf(o, vm.nextLease);
  }
  const phase = phaseOf(vm);
  if (vm.partition.state === 'running') {
    throw new HoldfastError('NoRecord', `${vm.vmId} runs, so there is nothing to restore.`);
  }
  refuseIfHeld(vm, request);
  const restorable = vm.record?.state === 'committed' || vm.record?.state === 'claimed';
  if (!restorable && phase !== 'paused' && phase !== 'recovering') {
    throw new HoldfastError('NoRecord', `${vm.vmId} is ${phase} without a committed record.`);
  }
  const lease = issueLease(o, request, 'restore');
  emptyMailboxes(o);
  vm.lease = {
    ...lease,
    settings: { ...lease.settings, mode: vm.record?.mode ?? lease.settings.mode },
  };
  endStranding(vm);
  vm.deadlineMs = nowMs + lease.settings.blackoutBudgetMs;
  return operationOf(o, vm.lease);
}

/** Somebody tries again. The host stays quarantined until the VM is back. */
export function endStranding(vm: VmState): void {
  if (vm.stranded === null) return;
  vm.stranded = null;
  vm.path = 'kept';
  vm.pathReason = null;
}

/** How long a holder that fenced has to finish its way back before the dead-man takes over. */
const FENCE_EXTENSION_MS = 5_000;

/**
 * A new generation for whoever holds the VM. Whatever still runs under the old one loses its mailbox and can have no
 * effect any more. Before the host-wide barrier this also breaks it.
 */
export function fence(o: Objects, holder: Holder, reason: string): Operation {
  const { vm, host, nowMs } = o;
  const held = [vm.lease, vm.nextLease].find((l) => sameHolder(l?.holder, holder));
  if (held == null) {
    const by = vm.lease === null ? 'nobody' : describeHolder(vm.lease.holder);
    throw new HoldfastError(
      'Fenced',
      `${vm.vmId} is held by ${by} now, not by ${describeHolder(holder)}.`,
      {
        phase: phaseOf(vm),
      },
    );
  }
  const { settings } = held;
  vm.generation += 1;
  emptyMailboxes(o);
  const kind = vm.partition.state === 'running' ? held.kind : 'recovery';
  vm.lease = { generation: vm.generation, holder, kind, settings };
  // Past the mark the save only goes forward, so its restore still follows.
  if (vm.pointOfNoReturn === null) vm.nextLease = null;
  if (vm.deadlineMs !== null) vm.deadlineMs = Math.max(vm.deadlineMs, nowMs + FENCE_EXTENSION_MS);
  breakBarrier(host, vm.vmId, reason);
  if (vm.pointOfNoReturn !== null) markAdmitted(host, vm.vmId);
  return operationOf(o, vm.lease);
}

/** The dead-man's fence: it takes the VM from whoever holds it, unless that one was in time after all. */
export function takeForDeadMan(o: Objects): Operation {
  const { vm, host, nowMs } = o;
  if (vm.deadlineMs === null || vm.deadlineMs > nowMs) {
    throw new HoldfastError('Fenced', `${vm.vmId} is not overdue any more.`, {
      phase: phaseOf(vm),
    });
  }
  const settings = vm.lease?.settings ?? { ...NO_SETTINGS, mode: vm.record?.mode ?? 'modified' };
  vm.generation += 1;
  emptyMailboxes(o);
  vm.nextLease = null;
  vm.lease = { generation: vm.generation, holder: DEAD_MAN, kind: 'recovery', settings };
  vm.deadlineMs = nowMs + toMs(HARD_BLACKOUT_LIMIT);
  vm.pathReason = 'brought back by the host’s dead-man: the deadline had passed';
  breakBarrier(host, vm.vmId, 'its deadline passed');
  if (vm.pointOfNoReturn !== null) markAdmitted(host, vm.vmId);
  return operationOf(o, vm.lease);
}
const NO_SETTINGS = {
  holdMode: 'instruct-skip',
  stepPlacement: 'in-place',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: toMs(HARD_BLACKOUT_LIMIT),
  maxSavedForMs: toMs('5m'),
} as const;

export function acquireHost(host: HostState, holder: Holder, takeOverFrom?: Holder): number {
  if (host.lease !== null && sameHolder(host.lease.holder, holder)) return host.lease.generation;
  refuseQuarantined(host);
  if (host.lease !== null && !sameHolder(host.lease.holder, takeOverFrom)) {
    throw new HoldfastError(
      'HostBusy',
      `Host ${host.hostId} is held by ${describeHolder(host.lease.holder)}.`,
      {
        holder: host.lease.holder,
      },
    );
  }
  host.generation += 1;
  host.lease = { generation: host.generation, holder };
  stopServicing(host, 'its run was taken over');
  return host.generation;
}

/** Before the host-wide barrier no VM crosses any more; after it an update that has not come is given up. */
export function stopServicing(host: HostState, reason: string): void {
  const { servicing } = host;
  if (servicing === null) return;
  if (servicing.crossed) giveUpUpdate(host);
  else servicing.aborted ??= reason;
}
