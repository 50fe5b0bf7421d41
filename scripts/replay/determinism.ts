import { DeterminismViolationError } from '@temporalio/workflow';
import { CannotReplay, EXIT } from './ended';
import { likelyCause } from './likely-cause';
import type { History } from '../recorded-runs/recorded-run';
import { eventTypeText } from './values';

/** Whether today's workflow code asks for what the history has. */
export type Verdict =
  | { readonly deterministic: true }
  | {
      readonly deterministic: false;
      /** In words: what the history has, what the code asked for. */
      readonly explanation: string;
      /** Which commit it may come from; null where the build that recorded it does not say. */
      readonly likelyCause: string | null;
      /** What the SDK said. */
      readonly message: string;
    };

/** Turns what a replay threw into words. */
export function verdictOn(error: Error, history: History, buildIds: readonly string[]): Verdict {
  const message = innerMessage(error.message);
  if (/no such function is exported by the workflow bundle/.test(message)) {
    const type =
      history.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowType?.name ?? '';
    throw new CannotReplay(
      `The workflow code has no workflow "${type}" (see workflows/index.ts), so this history cannot be replayed against it.`,
      EXIT.badInput,
      { cause: error },
    );
  }
  const violation = error instanceof DeterminismViolationError || message.includes('TMPRL1100');
  return {
    deterministic: false,
    message,
    likelyCause: likelyCause(buildIds),
    explanation: violation
      ? `${explain(message, history)} This is a non-determinism (TMPRL1100).`
      : `The workflow code fails at a point that the history has passed: ${message}`,
  };
}

/** The SDK wraps the message in the debug form of its own structures. */
function innerMessage(text: string): string {
  const inner = /message: "((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
  return inner === undefined ? text : inner.replaceAll('\\"', '"').replaceAll('\\n', '\n');
}

function explain(message: string, history: History): string {
  const renamed = /(\S.*) type of scheduled event '(.*)' does not match .* '(.*)'/.exec(
    message.replace('[TMPRL1100] Nondeterminism error: ', ''),
  );
  if (renamed) {
    const [, kind = '', recorded = '', asked = ''] = renamed;
    return `The history has the ${kind.toLowerCase()} "${recorded}", the code asks for "${asked}" instead.`;
  }
  const unhandled =
    /(?:(.*) machine does not handle this event|No command scheduled for event).*HistoryEvent\(id: (\d+)/.exec(
      message,
    );
  if (unhandled) {
    const machine = unhandled[1]?.replace(/.*Nondeterminism error: /, '').toLowerCase();
    return `The history has ${eventText(Number(unhandled[2]), history)}, the code asks for ${machine === undefined ? 'nothing there' : `something else there (${machine})`}.`;
  }
  return `The history and the code part: ${message.replace(/^\[TMPRL1100\] /, '')}.`;
}

/** Event 12 (ActivityTaskScheduled "saveVm"). */
function eventText(eventId: number, history: History): string {
  const event = history.events?.[eventId - 1];
  const name =
    event?.activityTaskScheduledEventAttributes?.activityType?.name ??
    event?.startChildWorkflowExecutionInitiatedEventAttributes?.workflowType?.name;
  return `event ${eventId} (${eventTypeText(event?.eventType)}${name === undefined ? '' : ` "${name}"`})`;
}
