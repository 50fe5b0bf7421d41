import { HoldfastError } from '../../contract/failures';
import { refused } from './refused';
import type { CoreHost, CoreObjects, CoreVm, ServicingState } from './state';

/**
 * The gates of a servicing run, kept by the host so that no hop of the durable engine lies between the VMs:
 * all prepared → all pause; all saved → all cross; update decided → all restore, darkest first. A rolling run has one gate
 * only: the turn of a VM to go dark.
 */
export function memberOf(o: Pick<CoreObjects, 'host' | 'vm'>): ServicingState | undefined {
  const { servicing } = o.host;
  return servicing?.members.includes(o.vm.vmId) === true ? servicing : undefined;
}

/** Each VM is updated by itself, since each has one of its own of what is updated. */
export const isRolling = ({ order }: ServicingState): boolean => order.rolling !== undefined;

const reached =
  (stage: 'quiet' | 'armed' | 'restoreWaiting' | 'paused' | 'saved' | 'admitted' | 'resumed') =>
  (host: CoreHost, vmId: string): void => {
    const { servicing } = host;
    if (servicing?.members.includes(vmId) === true && !servicing[stage].includes(vmId)) {
      servicing[stage].push(vmId);
    }
  };
/** The save has the network optimizations off. */
export const markQuiet = reached('quiet');
/** At most `parallelism` VMs are prepared at a time, in the order in which the run names them. */
export function isNextToPrepare(o: Pick<CoreObjects, 'host' | 'vm'>): boolean {
  const servicing = memberOf(o);
  if (servicing === undefined || servicing.aborted !== null || isRolling(servicing)) return true;
  const { order, members, quiet } = servicing;
  const waiting = order.vms.filter(({ vmId }) => members.includes(vmId) && !quiet.includes(vmId));
  return waiting.slice(0, order.parallelism).some(({ vmId }) => vmId === o.vm.vmId);
}

/** Whether the host knows that the VM is quiet, or does not ask. A take-over finds a VM quiet that the run has not noted. */
export const isNotedQuiet = (o: Pick<CoreObjects, 'host' | 'vm'>): boolean =>
  memberOf(o)?.quiet.includes(o.vm.vmId) !== false;

/** All steps of the save wait on the host, and the VM is quiet. */
export const markArmed = reached('armed');
/** The restore has prepared all it can, and all its steps wait on the host. */
export const markRestoreWaiting = reached('restoreWaiting');
export const markPaused = reached('paused');
export const markSaved = reached('saved');
/** Its restore goes ahead: through the gate, or by a way back that does not pass it and must not hold the others up. */
export const markAdmitted = reached('admitted');
const markBack = reached('resumed');
/** The VM runs again, or nobody waits for it any more: its turn is over. */
export function markResumed(host: CoreHost, vmId: string): void {
  markBack(host, vmId);
  endTurn(host, vmId);
}

export function endTurn({ servicing }: CoreHost, vmId: string): void {
  if (servicing !== null) servicing.turns = servicing.turns.filter((turn) => turn.vmId !== vmId);
}

/** Why the VM is not to be saved in its run any more; null: it is. */
export const whyNot = ({ aborted, left }: ServicingState, vmId: string): string | null =>
  aborted ?? (left.includes(vmId) ? 'its save or its restore has failed already' : null);

export const hasTurn = ({ turns }: ServicingState, vmId: string): boolean =>
  turns.some((turn) => turn.vmId === vmId);

/**
 * In a rolling run a VM goes dark when its own restore waits for it, not too many are dark, and none that a device of its
 * own would have to serve besides.
 */
export function isNextToPause(
  vmId: string,
  s: ServicingState,
  devices: readonly string[],
): boolean {
  const others = s.turns.filter((turn) => turn.vmId !== vmId);
  const isPrepared = s.armed.includes(vmId) && s.restoreWaiting.includes(vmId);
  const isRoom = others.length < (s.order.rolling?.parallelism ?? 1);
  return (
    isPrepared && isRoom && !others.some((turn) => turn.devices.some((d) => devices.includes(d)))
  );
}

/** With the intent of the step that waits for it, so that no two VMs take one turn. */
export function takeTurn(s: ServicingState, vmId: string, devices: readonly string[]): void {
  if (isRolling(s) && !hasTurn(s, vmId)) s.turns.push({ vmId, devices });
}

/** Nothing is left that could be done while the VMs still run: all saves, restores and the commit wait on the host. */
export const isPrepared = (s: ServicingState): boolean =>
  s.commitArmedBy !== null && allIn(s, s.armed) && allIn(s, s.restoreWaiting);

/** How long VMs may begin to pause once a live call has opened the gate, ms. */
export const PAUSE_WITHIN_MS = 30_000;

/** Nobody pauses a VM that nobody asks for any more: the live call that opened its gate was not long ago. */
export function refuseIfTooLate(o: Pick<CoreObjects, 'host' | 'vm' | 'nowMs'>): void {
  const untilMs = memberOf(o)?.pauseUntilMs ?? null;
  if (untilMs === null || o.nowMs <= untilMs) return;
  const why = `the gate was opened ${((o.nowMs - untilMs + PAUSE_WITHIN_MS) / 1_000).toFixed(1)} s ago`;
  throw new HoldfastError('BarrierBroken', `${o.vm.vmId} does not pause: ${why}.`);
}

/** The VM is down: from here the lease is its restore's. */
export function markDown(host: CoreHost, vm: CoreVm): void {
  const { servicing } = host;
  if (servicing?.members.includes(vm.vmId) === true && !servicing.down.includes(vm.vmId)) {
    servicing.down.push(vm.vmId);
  }
  if (vm.nextLease !== null) {
    vm.lease =
      vm.lease === null ? vm.nextLease : { ...vm.nextLease, handedOnBy: vm.lease.generation };
    vm.nextLease = null;
  }
}

export const isDecided = (s: ServicingState): boolean =>
  s.update === 'committed' || s.update === 'notUpdated';

export function servicingOfHost({ hostId, servicing }: CoreHost): ServicingState {
  if (servicing === null) throw refused(`Host ${hostId} has no servicing run.`);
  return servicing;
}

export const updateIdOf = (hostId: string, { generation }: ServicingState): string =>
  `${hostId}/${String(generation)}`;

/** Puts the stack back that the run's update has replaced, if it has. */
export function flipBack(host: CoreHost): void {
  const { servicing, previous } = host;
  if (servicing === null || previous?.updateId !== updateIdOf(host.hostId, servicing)) return;
  host.versions[previous.component] = previous.version;
  host.previous = null;
}

/** An update that is not decided is given up: the gates open for the old stack, also if the new one was just to start. */
export function giveUpUpdate(host: CoreHost): void {
  const { servicing } = host;
  if (servicing === null || isDecided(servicing) || isRolling(servicing)) return;
  flipBack(host);
  servicing.update = 'notUpdated';
}

/** The version that the VM's next worker process is to have, by the one that it has. */
export const nextVersion = ({ versions }: CoreVm, now: string): string =>
  versions === undefined ? now : versions.retreated ? versions.fallback : versions.target;

/** Whether its restore may go back to the version that wrote its record. */
export const canRetreat = ({ versions }: CoreVm): boolean => versions?.retreated === false;

/** The VM goes back to the version that wrote its record; by policy no other VM of its run goes on from there. */
export function markRetreated(host: CoreHost, vm: CoreVm, now: string): void {
  const { target = now, fallback = now } = vm.versions ?? {};
  vm.versions = { target, fallback, retreated: true };
  if (target !== fallback) stopRolling(host, vm.vmId, `went back to ${fallback}`);
}

/** Part of a blackout budget that is kept for the restore: by then the update must have come, and the save have crossed. */
const RESTORE_RESERVE = { share: 0.2, atMostMs: 2000 };

/** Until when the update is waited for: later it would leave too little of the VM's budget for its restore. */
export function updateDueByMs({ deadlineMs, lease }: CoreVm): number | null {
  if (deadlineMs === null) return null;
  const budgetMs = lease?.settings.blackoutBudgetMs ?? 0;
  return deadlineMs - Math.min(RESTORE_RESERVE.atMostMs, budgetMs * RESTORE_RESERVE.share);
}

/** At most `parallelism` restores at a time, in the order in which the VMs went dark. */
export function isNextToRestore(o: CoreObjects, s: ServicingState): boolean {
  return s.admitted.includes(o.vm.vmId) || nextToRestore(s).includes(o.vm.vmId);
}

function nextToRestore(s: ServicingState): readonly string[] {
  const underWay = s.admitted.filter((id) => !s.resumed.includes(id)).length;
  const darkest = s.paused.filter((id) => s.down.includes(id) && !s.admitted.includes(id));
  return darkest.slice(0, Math.max(0, s.order.parallelism - underWay));
}

/** What those who wait at a gate wait for: they are woken when it changes, and by nothing else. */
export const GATES = {
  /** A turn to be prepared. */
  prepare: ({ quiet, members, aborted }) => `${quiet.length} ${members.length} ${aborted !== null}`,
  pause: (s) =>
    isRolling(s)
      ? `${s.armed.length} ${s.restoreWaiting.length} ${s.turns.map((t) => t.vmId).join()} ${s.left.length} ${s.aborted !== null}`
      : `${isPrepared(s)} ${s.pauseUntilMs} ${s.aborted !== null}`,
  cross: (s) => `${s.crossed} ${isSaved(s)} ${s.aborted !== null}`,
  commit: (s) =>
    `${s.update} ${isDown(s)} ${isResumed(s)} ${s.members.length} ${s.aborted !== null}`,
  /** The update, and a turn to be restored. */
  restore: (s) =>
    `${s.update} ${s.aborted !== null} ${s.left.length} ${isDecided(s) ? nextToRestore(s).join() : ''}`,
} as const satisfies Record<string, (s: ServicingState) => string>;
export type Gate = keyof typeof GATES;

const allIn = ({ members }: ServicingState, reached: readonly string[]): boolean =>
  // Asked at each write of the host: most times too few have come that far.
  reached.length >= members.length && members.every((id) => reached.includes(id));
export const isSaved = (s: ServicingState) => allIn(s, s.saved);
export const isDown = (s: ServicingState) => allIn(s, s.down);
export const isResumed = (s: ServicingState) => allIn(s, s.resumed);

/**
 * A VM that has not crossed cannot be saved. Then no VM of its host crosses; in a rolling run, by policy, no other goes dark.
 * Where the run has crossed it changes nothing.
 */
export function breakBarrier(host: CoreHost, vm: CoreVm, reason: string): void {
  const { servicing } = host;
  if (servicing === null || servicing.crossed || !servicing.members.includes(vm.vmId)) return;
  if (vm.pointOfNoReturn !== null) return;
  if (isRolling(servicing)) {
    servicing.left.push(vm.vmId);
    stopRolling(host, vm.vmId, `could not be saved: ${reason}`);
  } else servicing.aborted ??= `${vm.vmId} could not be saved: ${reason}`;
}

function stopRolling({ servicing }: CoreHost, vmId: string, why: string): void {
  if (servicing?.order.rolling?.onSaveFailure === 'stop' && servicing.members.includes(vmId))
    servicing.aborted ??= `the run stopped at ${vmId}, which ${why}`;
}
