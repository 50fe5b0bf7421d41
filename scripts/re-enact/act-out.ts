import { join } from 'node:path';
import { WorkflowFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import { reasonOf } from '../../tools/reason';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { firstOf, type Chosen } from './chosen-run';
import { endOfRuns, type RunEnd } from './compared';
import { intervene } from './intervene';
import { interventionsIn } from './interventions';
import { rebuildHost, type Rebuild, type RebuiltHost } from './rebuilt-host';
import type { RecordedRun } from '../recorded-runs/recorded-run';
import { runsOnServer } from '../recorded-runs/server-runs';
import { CannotReplay } from '../replay/ended';
import { hasWebhook, standInWebhook, withWebhook } from './webhook';

/** Workflow code that decides in a run that is acted out. */
export interface ActingCode {
  readonly code: 'recorded' | 'present';
  readonly buildId: string;
  /** The bundle, with its stamp beside it. */
  readonly path: string;
}

export interface ActedOut {
  readonly by: ActingCode;
  readonly end: RunEnd;
  /** What was not as in the recorded run, in sentences. */
  readonly notes: readonly string[];
}

/** A run that goes another way may take longer; one that does not end is given up. A timer has 24 days at most. */
const longest = (recordedMs: number): number =>
  Math.min(Math.ceil(3 * recordedMs) + 60_000, 2 ** 31 - 1);

export interface Acting {
  /** How the recorded run ended. */
  readonly recorded: RunEnd;
  /** For all that is left behind. */
  readonly directory: string;
  /** Aborted when the person stops it. */
  readonly interrupted: AbortSignal;
  readonly say: (line: string) => void;
}

/** Acts the run out on a host made anew, and stops all that it started. If it is stopped it fails with the signal's reason. */
export async function actOut(chosen: Chosen, by: ActingCode, acting: Acting): Promise<ActedOut> {
  const { args, atMs } = firstOf(chosen);
  const webhook = hasWebhook(args) ? await standInWebhook(chosen.runs) : null;
  try {
    const host = await rebuilt({
      directory: join(acting.directory, `${by.code}-code`),
      simulation: chosen.simulation,
      recordedAtMs: atMs,
      workflowBundle: by.path,
      env: webhook === null ? {} : { HOLDFAST_WEBHOOK_SECRET: webhook.secret },
      say: acting.say,
    });
    try {
      if (webhook !== null)
        acting.say('the webhook of its notice is not called: an address of this machine answers');
      return await acted(host.stack.client, chosen, by, webhook?.url ?? null, acting);
    } finally {
      await host.stop();
    }
  } finally {
    await webhook?.close();
  }
}

/** Workers that do not start, because the code does not fit their SDK, say, are no fault of the run. */
async function rebuilt(rebuild: Rebuild): Promise<RebuiltHost> {
  try {
    return await rebuildHost(rebuild);
  } catch (cause) {
    throw new CannotReplay(
      `The run cannot be acted out, since its host did not start: ${reasonOf(cause)} The logs are in ${rebuild.directory}.`,
      undefined,
      { cause },
    );
  }
}

async function acted(
  client: Client,
  chosen: Chosen,
  by: ActingCode,
  webhookUrl: string | null,
  { recorded, interrupted }: Acting,
): Promise<ActedOut> {
  interrupted.throwIfAborted();
  const limitMs = longest(recorded.tookMs ?? 0);
  const tooLong = AbortSignal.timeout(limitMs);
  const handle = await start(client, chosen, webhookUrl);
  const over = new AbortController();
  const stop = AbortSignal.any([interrupted, tooLong, over.signal]);
  const [missed, hasEnded] = await Promise.all([
    intervene(client, interventionsIn(chosen.runs), stop),
    end(client, handle, stop).finally(() => {
      over.abort();
    }),
  ]);
  interrupted.throwIfAborted();
  const runs: RecordedRun[] = [];
  const { workflowId, firstExecutionRunId } = handle;
  for await (const run of runsOnServer(client, workflowId, firstExecutionRunId)) runs.push(run);
  const gaveUp = `It was given up after ${limitMs} ms: three times as long as the recorded run took, and a minute.`;
  return { by, end: endOfRuns(runs), notes: [...(hasEnded ? [] : [gaveUp]), ...missed] };
}

/** As it was started then. */
async function start(
  client: Client,
  chosen: Chosen,
  webhookUrl: string | null,
): Promise<WorkflowHandle & { readonly firstExecutionRunId: string }> {
  const { args, timeouts } = firstOf(chosen);
  return client.workflow.start(chosen.type, {
    workflowId: chosen.workflowId,
    taskQueue: HOLDFAST_QUEUE,
    args: [webhookUrl === null ? args : withWebhook(args, webhookUrl)],
    ...timeouts,
  });
}

/** Whether it has ended, however it did, before the signal said stop. */
async function end(client: Client, handle: WorkflowHandle, stop: AbortSignal): Promise<boolean> {
  try {
    await client.withAbortSignal(stop, () => handle.result());
    return true;
  } catch (error) {
    if (error instanceof WorkflowFailedError) return true;
    if (stop.aborted) return false;
    throw error;
  }
}
