import { toMs } from '../../contract/durations';
import { HoldfastError } from '../../contract/failures';
import type { BeginRequest, Operation } from '../../contract/host';
import { DEAD_MAN, type Holder } from '../../contract/ids';
import { HARD_BLACKOUT_LIMIT } from '../../contract/inputs';
import {
  breakBarrier,
  canRetreat,
  endTurn,
  giveUpUpdate,
  isRolling,
  markAdmitted,
  markPaused,
  markResumed,
  refuseIfTooLate,
} from './gates';
import { leaveMailboxes } from './mailbox';
import { darkForMs, describeHolder, phaseOf, sameHolder } from './phase';
import type { Port } from './port';
import type { CoreHost, CoreObjects, CoreVm, Lease, ServicingState } from './state';

/** The answer to whoever holds this lease. */
export function operationOf<O extends CoreObjects>(port: Port<O>, o: O, lease: Lease): Operation {
  const { host, vm, nowMs } = o;
  const image = port.image(vm);
  return {
    generation: lease.generation,
    settings: lease.settings,
    inServicing: host.servicing?.members.includes(vm.vmId) === true,
    canRetreat: lease.kind !== 'save' && canRetreat(vm),
    identity: port.identityBefore(vm),
    darkForMs: darkForMs(image, nowMs),
    crossed: vm.pointOfNoReturn !== null,
    phase: phaseOf(vm, image),
    ...(lease.adopted === undefined ? {} : { adopted: lease.adopted }),
  };
}

/** Whatever is under way for the VM is over: it can have no effect, and nobody waits for it. */
export function emptyMailboxes<O extends CoreObjects>(port: Port<O>, o: O): void {
  const { mailbox } = o.vm;
  if (mailbox !== null) leaveMailboxes([o.vm, ...(port.devices?.(o) ?? [])], mailbox);
}

/** The servicing run that the requester is a child of, with this VM among its members. */
export function servicingOf(
  o: Pick<CoreObjects, 'host' | 'vm'>,
  request: Pick<BeginRequest, 'parent'>,
): ServicingState | undefined {
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

export function refuseIfHeld(
  vm: CoreVm,
  request: Pick<BeginRequest, 'holder' | 'takeOverFrom'>,
): void {
  const holder = vm.lease?.holder;
  if (holder === undefined || sameHolder(holder, request.holder)) return;
  if (sameHolder(holder, request.takeOverFrom) && !sameHolder(holder, DEAD_MAN)) return;
  throw new HoldfastError('VmBusy', `${vm.vmId} is held by ${describeHolder(holder)}.`, { holder });
}

/** Why the host takes no more work, if so: a breach, or VMs that are held and paused with no safe way forward. */
export function quarantineOf({ quarantine, stranded }: CoreHost): string | null {
  if (quarantine !== null) return quarantine;
  return stranded.length === 0 ? null : `${stranded.join(', ')} stranded: held and paused`;
}

export function refuseQuarantined(host: CoreHost): void {
  const reason = quarantineOf(host);
  if (reason === null) return;
  throw new HoldfastError('HostQuarantined', `Host ${host.hostId} is quarantined: ${reason}.`);
}

export function issueLease(
  o: Pick<CoreObjects, 'host' | 'vm'>,
  request: Pick<BeginRequest, 'holder' | 'parent' | 'settings' | 'faults'>,
  kind: Lease['kind'],
): Lease {
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
  const servicing = order === undefined ? {} : { servicing: o.host.servicing?.generation ?? 0 };
  return { generation: vm.generation, holder: request.holder, kind, settings, ...servicing };
}

export function beginSave<O extends CoreObjects>(
  port: Port<O>,
  o: O,
  request: BeginRequest,
): Operation {
  const { vm, host } = o;
  if (vm.lease !== null && sameHolder(vm.lease.holder, request.holder))
    return operationOf(port, o, vm.lease);
  const servicing = servicingOf(o, request);
  refuseQuarantined(host);
  const image = port.image(vm);
  const phase = phaseOf(vm, image);
  if (
    phase === 'saved' ||
    phase === 'crossed' ||
    (phase === 'recovering' && vm.pointOfNoReturn !== null)
  ) {
    throw new HoldfastError('AlreadySaved', `${vm.vmId} is saved already.`);
  }
  refuseIfHeld(vm, request);
  port.refuseElsewhere?.(vm);
  const interrupted = phase === 'paused' || phase === 'recovering';
  if (!image.running && !interrupted) {
    throw new HoldfastError('NotRunning', `${vm.vmId} is ${phase}, so it cannot be saved.`);
  }
  port.refuseUnready?.(vm);
  // What a closed run left under way is over; what the restore of the same servicing run prepares goes on.
  if (vm.nextLease?.servicing !== servicing?.generation) vm.nextLease = null;
  if (vm.nextLease === null) {
    emptyMailboxes(port, o);
    delete vm.versions;
  }
  vm.lease = issueLease(o, request, 'save');
  if (!interrupted) noteBefore(port, o);
  return operationOf(port, o, vm.lease);
}

/** Where a save begins from: nothing is left of an earlier operation. */
export function noteBefore<O extends CoreObjects>(port: Port<O>, o: O): void {
  const { vm } = o;
  if (vm.nextLease === null) port.discardSuccessor(vm);
  port.noteBefore(o);
  vm.blackoutMs = 0;
  vm.withinBudget = true;
  vm.path = 'kept';
  vm.pathReason = null;
}

export function beginRestore<O extends CoreObjects>(
  port: Port<O>,
  o: O,
  request: BeginRequest,
): Operation {
  const { vm, nowMs } = o;
  for (const lease of [vm.lease, vm.nextLease]) {
    if (lease !== null && sameHolder(lease.holder, request.holder))
      return operationOf(port, o, lease);
  }
  const servicing = servicingOf(o, request);
  const image = port.image(vm);
  const { record, running } = image;
  if (servicing !== undefined && record?.state !== 'committed' && vm.pointOfNoReturn === null) {
    // The save still holds the VM; this lease prepares and takes over when the VM is down.
    if (servicing.aborted !== null) {
      throw new HoldfastError('BarrierBroken', `${vm.vmId} is not restored: ${servicing.aborted}.`);
    }
    vm.nextLease = issueLease(o, request, 'restore');
    if (isRolling(servicing)) {
      const target = servicing.order.update.version;
      vm.versions = { target, fallback: image.version, retreated: false };
    }
    // The save begins after the preparation, with an older generation: its lease is not fenced by this one.
    return operationOf(port, o, vm.nextLease);
  }
  const phase = phaseOf(vm, image);
  if (running) {
    throw new HoldfastError('NoRecord', `${vm.vmId} runs, so there is nothing to restore.`);
  }
  refuseIfHeld(vm, request);
  port.refuseElsewhere?.(vm);
  const restorable = record?.state === 'committed' || record?.state === 'claimed';
  if (!restorable && phase !== 'paused' && phase !== 'recovering') {
    throw new HoldfastError('NoRecord', `${vm.vmId} is ${phase} without a committed record.`);
  }
  const lease = issueLease(o, request, 'restore');
  emptyMailboxes(port, o);
  vm.lease = {
    ...lease,
    settings: { ...lease.settings, mode: record?.mode ?? lease.settings.mode },
  };
  endStranding(vm);
  // The run that wanted the new version is over.
  if (vm.versions !== undefined && record?.state === 'committed' && servicing === undefined)
    vm.versions = { ...vm.versions, retreated: true };
  vm.deadlineMs = nowMs + lease.settings.blackoutBudgetMs;
  return operationOf(port, o, vm.lease);
}

/** Somebody tries again. The host stays quarantined until the VM is back. */
export function endStranding(vm: CoreVm): void {
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
export function fence<O extends CoreObjects>(
  port: Port<O>,
  o: O,
  holder: Holder,
  reason: string,
): Operation {
  const { vm, host, nowMs } = o;
  const image = port.image(vm);
  const held = [vm.lease, vm.nextLease].find((l) => sameHolder(l?.holder, holder));
  if (held == null) {
    const by = vm.lease === null ? 'nobody' : describeHolder(vm.lease.holder);
    throw new HoldfastError(
      'Fenced',
      `${vm.vmId} is held by ${by} now, not by ${describeHolder(holder)}.`,
      { phase: phaseOf(vm, image) },
    );
  }
  const { settings, servicing } = held;
  vm.generation += 1;
  emptyMailboxes(port, o);
  const kind = image.running ? held.kind : 'recovery';
  vm.lease = {
    ...{ generation: vm.generation, holder, kind, settings },
    ...(servicing === undefined ? {} : { servicing }),
  };
  // Past the mark the save only goes forward, so its restore still follows.
  if (vm.pointOfNoReturn === null) {
    vm.nextLease = null;
    delete vm.versions;
  }
  if (vm.deadlineMs !== null) vm.deadlineMs = Math.max(vm.deadlineMs, nowMs + FENCE_EXTENSION_MS);
  breakBarrier(host, vm, reason);
  if (vm.pointOfNoReturn !== null) markAdmitted(host, vm.vmId);
  // Its turn to be dark is over before it was.
  if (image.running) endTurn(host, vm.vmId);
  return operationOf(port, o, vm.lease);
}

/** The dead-man's fence: it takes the VM from whoever holds it, unless that one was in time after all. */
export function takeForDeadMan<O extends CoreObjects>(port: Port<O>, o: O): Operation {
  const { vm, host, nowMs } = o;
  const image = port.image(vm);
  const isItsOwn = sameHolder(vm.lease?.holder, DEAD_MAN);
  if (vm.deadlineMs === null || (vm.deadlineMs > nowMs && !isItsOwn)) {
    throw new HoldfastError('Fenced', `${vm.vmId} is not overdue any more.`, {
      phase: phaseOf(vm, image),
    });
  }
  const settings = vm.lease?.settings ?? { ...NO_SETTINGS, mode: image.record?.mode ?? 'modified' };
  vm.generation += 1;
  emptyMailboxes(port, o);
  vm.nextLease = null;
  if (vm.pointOfNoReturn === null) delete vm.versions;
  vm.lease = { generation: vm.generation, holder: DEAD_MAN, kind: 'recovery', settings };
  vm.deadlineMs = nowMs + toMs(HARD_BLACKOUT_LIMIT);
  vm.pathReason = 'brought back by the host’s dead-man: the deadline had passed';
  breakBarrier(host, vm, 'its deadline passed');
  if (vm.pointOfNoReturn !== null) markAdmitted(host, vm.vmId);
  return operationOf(port, o, vm.lease);
}

/** The blackout begins: its clock, and the deadline by which the dead-man would end it. Answers the deadline. */
export function blackoutBegins(o: CoreObjects): number {
  refuseIfTooLate(o);
  const { host, vm, nowMs } = o;
  markPaused(host, vm.vmId);
  const deadlineMs = nowMs + (vm.lease?.settings.blackoutBudgetMs ?? 0);
  vm.deadlineMs = deadlineMs;
  return deadlineMs;
}

/** How many past blackouts a VM's ledger keeps. */
const LEDGER = 64;

/** The VM runs again after so long: that is what it is measured by. */
export function blackoutEnds({ host, vm }: CoreObjects, blackoutMs: number): void {
  vm.blackoutMs = blackoutMs;
  vm.withinBudget = blackoutMs <= (vm.lease?.settings.blackoutBudgetMs ?? Infinity);
  vm.blackouts = [...(vm.blackouts ?? []), { endedAtMs: Date.now(), ms: blackoutMs }].slice(
    -LEDGER,
  );
  // The dead-man keeps its deadline until it has given the lease back: it may die before that.
  if (!sameHolder(vm.lease?.holder, DEAD_MAN)) vm.deadlineMs = null;
  vm.pointOfNoReturn = null;
  markResumed(host, vm.vmId);
}

const NO_SETTINGS = {
  holdMode: 'instruct-skip',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: toMs(HARD_BLACKOUT_LIMIT),
  maxSavedForMs: toMs('5m'),
} as const;

export function acquireHost(host: CoreHost, holder: Holder, takeOverFrom?: Holder): number {
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
export function stopServicing(host: CoreHost, reason: string): void {
  const { servicing } = host;
  if (servicing === null) return;
  if (servicing.crossed) giveUpUpdate(host);
  else servicing.aborted ??= reason;
  // Whose turn it is, and is not dark yet, is not let pause any more.
  servicing.turns = servicing.turns.filter(({ vmId }) => servicing.paused.includes(vmId));
}
