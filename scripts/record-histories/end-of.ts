import type { End } from './scenario';
import type { Recorded } from './stage';

/** How a run ended, from the last event of its history. */
export function endOf({ events }: Recorded): End {
  const last = events?.at(-1);
  if (last?.workflowExecutionCompletedEventAttributes) return 'completed';
  if (last?.workflowExecutionCanceledEventAttributes) return 'cancelled';
  if (last?.workflowExecutionContinuedAsNewEventAttributes) return 'continuedAsNew';
  const failure = last?.workflowExecutionFailedEventAttributes?.failure;
  if (failure) return failure.applicationFailureInfo?.type ?? 'an untyped failure';
  return `with event ${String(last?.eventType)}`;
}
