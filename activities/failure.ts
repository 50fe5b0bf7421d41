import { ApplicationFailure } from '@temporalio/common';
import { FAILURES, HoldfastError } from '../contract/failures';

/** Puts a host's failure on the wire, with its type, whether another attempt may help, and its facts. */
export function toApplicationFailure(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) return error;
  return ApplicationFailure.create({
    type: error.type,
    message: error.message,
    nonRetryable: !FAILURES[error.type].retryable,
    details: [error.facts],
    // Expected answers of a host are not worth an error line with a stack in every worker's log.
    category: 'BENIGN',
    cause: error,
  });
}
