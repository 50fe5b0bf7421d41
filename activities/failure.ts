import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { FAILURES, HoldfastError } from '../contract/failures';

/**
 * Puts a host's failure on the wire, with its type, whether another attempt may help, and its facts. Which attempt of
 * which activity it was goes along: a workflow sees no attempts.
 */
export function toApplicationFailure(
  error: unknown,
  of: { readonly step?: string; readonly attempt?: number } = {},
): unknown {
  if (!(error instanceof HoldfastError)) return error;
  return ApplicationFailure.create({
    type: error.type,
    message: error.message,
    nonRetryable: error.isForGood || !FAILURES[error.type].retryable,
    // Of a step that the host itself has tried again, it says how often.
    details: [{ ...of, ...error.facts }],
    // Expected answers of a host are not worth an error line with a stack in every worker's log.
    category: 'BENIGN',
    cause: error,
  });
}

/** An answer of a host, or its failure as it goes on the wire. */
export async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const { activityType: step, attempt } = Context.current().info;
    throw toApplicationFailure(error, { step, attempt });
  }
}
