import type { WorkflowHandle } from '@temporalio/client';
import { timeMs } from '../../scripts/replay/values';

/**
 * How long a run waited, by the server's clock, for each of its questions that nobody took, ms. How long the run took in
 * all says less: on a busy machine everything else takes longer too.
 */
export async function waitedInVainMs(run: WorkflowHandle): Promise<number[]> {
  const { events } = await run.fetchHistory();
  const atMs = new Map(
    events?.map(({ eventId, eventTime }) => [String(eventId), timeMs(eventTime) ?? NaN]),
  );
  return (events ?? []).flatMap(({ eventId, activityTaskTimedOutEventAttributes: timedOut }) => {
    if (timedOut == null) return [];
    const askedAtMs = atMs.get(String(timedOut.scheduledEventId)) ?? NaN;
    return [(atMs.get(String(eventId)) ?? NaN) - askedAtMs];
  });
}
