import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { reasonOf } from '../../tools/reason';
import type { RunRef } from '../recorded-runs/recorded-run';
import { isLandmark, type Intervention } from './interventions';

type Event = temporal.api.history.v1.IHistoryEvent;

const LOOK_AGAIN_MS = 10;

/**
 * Issues again what came from outside, when the runs have come as far as the recorded ones had. Ends when all is issued
 * or the signal says that the run has ended. Answers what it could not issue, and why.
 */
export async function intervene(
  client: Client,
  interventions: readonly Intervention[],
  ended: AbortSignal,
): Promise<string[]> {
  const over = new AbortController();
  const stop = AbortSignal.any([ended, over.signal]);
  // One for every run that is watched.
  setMaxListeners(0, stop);
  const reached = new Map<string, number>();
  const workflowIds = new Set(interventions.flatMap((each) => [...each.reached.keys()]));
  const watching = Promise.all([...workflowIds].map((id) => count(client, id, reached, stop))).then(
    () => undefined,
  );
  try {
    return await Promise.race([
      issueAll(client, interventions, reached, stop),
      // It ends first only by failing.
      watching.then(() => new Promise<never>(() => undefined)),
    ]);
  } finally {
    over.abort();
    await watching;
  }
}

async function issueAll(
  client: Client,
  interventions: readonly Intervention[],
  reached: ReadonlyMap<string, number>,
  stop: AbortSignal,
): Promise<string[]> {
  const missed: string[] = [];
  for (const intervention of interventions) {
    const { workflowId, what, issue } = intervention;
    if (!(await isDue(intervention, reached, stop))) {
      missed.push(`The ${what} was not issued: the run did not get that far.`);
      continue;
    }
    try {
      await issue(client.workflow.getHandle(workflowId));
    } catch (error) {
      missed.push(`The ${what} was issued in vain: ${reasonOf(error)}.`);
    }
  }
  return missed;
}

/**
 * The other runs are waited for as long as any of them gets on, however slowly. They may never come as far: other code may
 * take other steps, and of two steps of one VM the one may be first that was second then, and hold the other up.
 */
const patience = ({ longestPauseMs }: Intervention): number => 3 * longestPauseMs + 1_000;

/** Waits until its time has come; false if the signal comes first. */
async function isDue(
  intervention: Intervention,
  reached: ReadonlyMap<string, number>,
  stop: AbortSignal,
): Promise<boolean> {
  const { workflowId, afterAllMs } = intervention;
  const has = ([id, count]: readonly [string, number]) => (reached.get(id) ?? 0) >= count;
  const own = [...intervention.reached].filter(([id]) => id === workflowId);
  try {
    while (!own.every(has)) await delay(LOOK_AGAIN_MS, undefined, { signal: stop });
    let [seen, until] = [-1, 0];
    while (![...intervention.reached].every(has)) {
      const count = [...reached.values()].reduce((sum, each) => sum + each, 0);
      if (count > seen) [seen, until] = [count, Date.now() + patience(intervention)];
      if (Date.now() >= until) break;
      await delay(LOOK_AGAIN_MS, undefined, { signal: stop });
    }
    await delay(afterAllMs, undefined, { signal: stop });
    return true;
  } catch (error) {
    if (stop.aborted) return false;
    throw error;
  }
}

/** Counts the landmarks of all runs of a workflow id as they come, until the signal says stop. */
async function count(
  client: Client,
  workflowId: string,
  reached: Map<string, number>,
  stop: AbortSignal,
): Promise<void> {
  try {
    for await (const event of eventsOfRuns(client, workflowId, stop))
      if (isLandmark(event)) reached.set(workflowId, (reached.get(workflowId) ?? 0) + 1);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

/** Of every run of a workflow id, also one that starts after the last has ended. */
async function* eventsOfRuns(
  client: Client,
  workflowId: string,
  stop: AbortSignal,
): AsyncGenerator<Event> {
  let seen: string | undefined;
  for (;;) {
    const runId = await latestRunId(client, workflowId);
    if (runId === undefined || runId === seen) {
      await delay(LOOK_AGAIN_MS, undefined, { signal: stop });
      continue;
    }
    seen = runId;
    yield* eventsAsTheyCome(client, { workflowId, runId }, stop);
  }
}

/** Undefined if there is no run of this id yet. */
async function latestRunId(client: Client, workflowId: string): Promise<string | undefined> {
  try {
    const { runId } = await client.workflow.getHandle(workflowId).describe();
    return runId;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A long poll: the server answers when there is more, and has no next page when the run has ended. */
async function* eventsAsTheyCome(
  client: Client,
  execution: RunRef,
  stop: AbortSignal,
): AsyncGenerator<Event> {
  const { namespace } = client.options;
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await client.withAbortSignal(stop, () =>
      client.workflowService.getWorkflowExecutionHistory({
        namespace,
        execution,
        waitNewEvent: true,
        ...(nextPageToken === undefined ? {} : { nextPageToken }),
      }),
    );
    yield* page.history?.events ?? [];
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
}
