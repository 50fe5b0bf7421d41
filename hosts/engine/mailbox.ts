import { randomUUID } from 'node:crypto';
import { THIS_PROCESS, hasEnded } from './process-identity';
import type { Intent, Mailbox } from './state';

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
    owner: THIS_PROCESS,
    ended: false,
    lastFailure: previous?.lastFailure ?? null,
    startedAtMs: nowMs,
    attempts: (previous?.attempts ?? 0) + 1,
    spentMs: previous === null ? 0 : previous.spentMs + (nowMs - previous.startedAtMs),
  };
}

/** Whether nobody performs the intent any more: the attempt failed, or its process died before it had a result. */
export const isAbandoned = (intent: Intent): boolean => intent.ended || hasEnded(intent.owner);

/** Whether another operation is under way at one of these that this one must wait for. */
export const isBlocked = (boxes: readonly Mailbox[], key: string): boolean =>
  boxes.some(({ mailbox }) => mailbox !== null && mailbox.key !== key && !isAbandoned(mailbox));

/**
 * One operation at a time for each VM and each device. The mailboxes live in the store, so they hold across processes and
 * outlive them: a repeat of the same key supersedes its earlier attempt, whose late completion has no effect.
 */
export function takeMailboxes(
  boxes: readonly Mailbox[],
  key: string,
  step: string,
  nowMs: number,
): { readonly intent: Intent; readonly unknownOutcome: boolean } {
  const own = boxes[0]?.mailbox ?? null;
  const previous = own?.key === key ? own : null;
  const intent = newIntent(key, step, nowMs, previous);
  for (const box of boxes) box.mailbox = intent;
  return { intent, unknownOutcome: previous !== null };
}

export const owns = ({ mailbox }: Mailbox, { token }: Intent): boolean => mailbox?.token === token;

export function leaveMailboxes(boxes: readonly Mailbox[], intent: Intent): void {
  for (const box of boxes) if (owns(box, intent)) box.mailbox = null;
}
