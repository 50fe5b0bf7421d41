import { ApplicationFailure, ContinueAsNew } from '@temporalio/workflow';
import { failure, failureMessage, failureType, isCancellation } from './failures';
import { StepFailed } from './vm-operation';
import { showCancelled, showFailure } from './visibility';

function typed(error: unknown): unknown {
  if (error instanceof ApplicationFailure || isCancellation(error)) return error;
  const cause = error instanceof StepFailed ? error.cause : error;
  return failure(
    failureType(cause),
    error instanceof StepFailed ? error.message : failureMessage(cause),
    { cause },
  );
}

/**
 * Makes every end of a workflow one that people can read: a step's failure leaves as a typed one, outcome, last failure
 * and next action stand in search attributes, memo and details. A plain `Error` would retry the workflow task for ever.
 */
export function endsTyped<Arguments extends unknown[], Result>(
  flow: (...given: Arguments) => Promise<Result>,
): (...given: Arguments) => Promise<Result> {
  return async (...given) => {
    try {
      return await flow(...given);
    } catch (error) {
      if (error instanceof ContinueAsNew) throw error;
      const ended = typed(error);
      if (isCancellation(ended)) showCancelled(failureMessage(ended));
      else showFailure(failureType(ended), ended);
      throw ended;
    }
  };
}
