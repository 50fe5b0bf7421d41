import { WorkflowNotFoundError, isGrpcServiceError, type Client } from '@temporalio/client';
import { reasonOf } from '../../tools/reason';
import {
  continuedAs,
  runsChildren,
  started,
  type History,
  type RecordedRun,
  type RunRef,
} from './recorded-run';

/** The server does not have the run that was asked for. */
export class NoSuchRun extends Error {
  override readonly name = 'NoSuchRun';
}

/** Where a run is in its tree. */
type Place = Pick<RecordedRun, 'parentRunId' | 'depth'>;
const ROOT: Place = { parentRunId: null, depth: 0 };

/**
 * A run and everything below it, as the server has it: parents before their children, continued runs in their order.
 * One history of each depth is held at a time, so that a fleet of any size can be read. What is gone by now below the
 * root, or before it, is missing; the root must be there, or this fails with `NoSuchRun`.
 */
export async function* runsOnServer(
  client: Client,
  workflowId: string,
  runId?: string,
): AsyncGenerator<RecordedRun> {
  const asked = await found(client, workflowId, runId);
  const first = started(asked.history)?.firstExecutionRunId || asked.runId;
  for await (const run of chain(client, { workflowId, runId: first }, ROOT)) {
    yield run;
    // The first runs of a long chain are the first to be deleted: it is read from the one that was asked for, then.
    if (run.depth === 0 && run.history === null)
      yield* chain(client, { workflowId, runId: asked.runId }, ROOT);
  }
}

/** A run, its children, and the runs that it continued as with theirs. */
async function* chain(client: Client, first: RunRef, place: Place): AsyncGenerator<RecordedRun> {
  const { workflowId } = first;
  for (let next: string | undefined = first.runId; next !== undefined;) {
    const run: RunRef = { workflowId, runId: next };
    const history = await historyOf(client, run);
    if (history === null) {
      yield { ...run, ...place, history, missing: 'the server does not have it any more' };
      return;
    }
    yield { ...run, ...place, history, missing: null };
    for (const child of runsChildren(history)) {
      yield* chain(client, child, { parentRunId: run.runId, depth: place.depth + 1 });
    }
    next = continuedAs(history);
  }
}

/** The run that is named, or the latest of this id. */
async function found(
  client: Client,
  workflowId: string,
  runId?: string,
): Promise<{ readonly runId: string; readonly history: History }> {
  try {
    const handle = client.workflow.getHandle(workflowId, runId);
    const { runId: named } = runId === undefined ? await handle.describe() : { runId };
    return { runId: named, history: await handle.fetchHistory() };
  } catch (cause) {
    if (!isNotFound(cause)) throw cause;
    const which = runId === undefined ? '' : ` with run id ${runId}`;
    throw new NoSuchRun(`There is no workflow "${workflowId}"${which}: ${reasonOf(cause)}.`, {
      cause,
    });
  }
}

async function historyOf(client: Client, { workflowId, runId }: RunRef): Promise<History | null> {
  try {
    return await client.workflow.getHandle(workflowId, runId).fetchHistory();
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** Status codes of gRPC (https://grpc.io/docs/guides/status-codes): a run id that is none is an invalid argument. */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
function isNotFound(error: unknown): boolean {
  if (error instanceof WorkflowNotFoundError) return true;
  const code = isGrpcServiceError(error) ? Number(error.code) : undefined;
  return code === NOT_FOUND || code === INVALID_ARGUMENT;
}
