import type { WorkflowInterceptors } from '@temporalio/workflow';

declare global {
  /** The activity at which a debugger stops; set in front of the workflow code by `scripts/replay/break-at.ts`. */
  var holdfastBreakAt: string | undefined;
}

/** In the code that is replayed under a debugger, and in no other: stops it where it asks for a step. */
export function interceptors(): WorkflowInterceptors {
  const stopAt = (activityType: string) => {
    // The workflow that asks is further down the call stack.
    // eslint-disable-next-line no-debugger
    if (activityType === globalThis.holdfastBreakAt) debugger;
  };
  return {
    outbound: [
      {
        scheduleActivity: (input, next) => {
          stopAt(input.activityType);
          return next(input);
        },
      },
    ],
  };
}
