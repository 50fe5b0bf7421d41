import { randomUUID } from 'node:crypto';
import type { Intent, Objects } from './state';

/** Tells this process from an earlier one that had the same pid, as the first process of a container always does. */
const THIS_PROCESS = randomUUID();

/** A new attempt of a step; `previous` is the attempt it supersedes, whose outcome is unknown. */
export function newIntent(
  key: string,
  step: string,
  nowMs: number,
  previous: Intent | null,
): Intent {
  return {
    key,
    step,
    token: randomUUID(),
    pid: process.pid,
    instance: THIS_PROCESS,
    ended: false,
    lastFailure: previous?.lastFailure ?? null,
    startedAtMs: nowMs,
    attempts: (previous?.attempts ?? 0) + 1,
    spentMs: previous === null ? 0 : previous.spentMs + (nowMs - previous.startedAtMs),
  };
}

/** Whether nobody performs the intent any more: the attempt failed, or its process died before it had a result. */
export function isAbandoned(intent: Intent): boolean {
  if (intent.ended) return true;
  if (intent.pid === process.pid) return intent.instance !== THIS_PROCESS;
  try {
    process.kill(intent.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** The PFs that the VM's VFs are of. */
const pfsOf = ({ pfs, vm }: Objects) =>
  pfs.filter(({ pfId }) => vm.adapters.some((adapter) => adapter.pfId === pfId));

/** Whether another operation is under way that this one must wait for. */
export function isBlocked(o: Objects, key: string, usesPf: boolean): boolean {
  const boxes = [o.vm.mailbox, ...(usesPf ? pfsOf(o).map(({ mailbox }) => mailbox) : [])];
  return boxes.some((box) => box !== null && box.key !== key && !isAbandoned(box));
}

/**
 * One operation at a time for each VM and each PF. The mailbox lives in the store, so it holds across processes and
 * outlives them: a repeat of the same key supersedes its earlier attempt, whose late completion has no effect.
 * Answers `undefined` while another operation is under way.
 */
export function takeMailboxes(
  o: Objects,
  key: string,
  step: string,
  usesPf: boolean,
): { intent: Intent; unknownOutcome: boolean } | undefined {
  if (isBlocked(o, key, usesPf)) return undefined;
  const previous = o.vm.mailbox?.key === key ? o.vm.mailbox : null;
  const intent = newIntent(key, step, o.nowMs, previous);
  o.vm.mailbox = intent;
  if (usesPf) for (const pf of pfsOf(o)) pf.mailbox = intent;
  return { intent, unknownOutcome: previous !== null };
}

export const ownsMailbox = (o: Objects, intent: Intent): boolean =>
  o.vm.mailbox?.token === intent.token;

/** Whatever is under way for the VM is over: it can have no effect, and nobody waits for it. */
export function emptyMailboxes(o: Objects): void {
  if (o.vm.mailbox !== null) leaveMailboxes(o, o.vm.mailbox);
}

export function leaveMailboxes(o: Objects, intent: Intent): void {
  if (o.vm.mailbox?.token === intent.token) o.vm.mailbox = null;
  leavePfs(o, intent);
}

/** The PFs have answered, whatever becomes of the step. */
export function leavePfs(o: Objects, intent: Intent): void {
  for (const pf of o.pfs) if (pf.mailbox?.token === intent.token) pf.mailbox = null;
}
