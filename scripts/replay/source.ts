import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { WorkflowNotFoundError, isGrpcServiceError } from '@temporalio/client';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import type { temporal } from '@temporalio/proto';
import { reasonOf } from '../../tools/reason';
import { TemporalUnreachable, connectClient, loadConnection } from '../../workers/connection';
import { isDecoded } from './decoded';
import { CannotReplay, EXIT } from './ended';

export type History = temporal.api.history.v1.IHistory;

/** A history that can be replayed, and where it came from. */
export interface Source {
  readonly workflowId: string;
  readonly history: History;
  readonly from: string;
}

export interface Wanted {
  readonly runId?: string;
  /** For a file that does not say whose history it is. */
  readonly workflowId?: string;
}

/** Reads a history from a file, if there is one of that name, or else fetches it from the server by workflow id. */
export async function readSource(what: string, wanted: Wanted): Promise<Source> {
  if (existsSync(what)) return fromFile(what, wanted);
  if (what.endsWith('.json')) throw new CannotReplay(`There is no file ${what}.`);
  return fromServer(what, wanted.runId);
}

const HOW_TO_GET_ONE =
  'Get one with "temporal workflow show -w <workflowId> --output json > history.json", or in the UI: Download → Encoded.';

function fromFile(file: string, { workflowId }: Wanted): Source {
  const json = parse(file);
  const events = (json as { readonly events?: unknown } | null)?.events;
  if (!Array.isArray(events) || events.length === 0) {
    throw new CannotReplay(`${file} is no workflow history: it has no "events". ${HOW_TO_GET_ONE}`);
  }
  if (isDecoded(events)) {
    throw new CannotReplay(
      `${file} is a decoded download: its inputs and results are plain values, and only the encoded history replays. ${HOW_TO_GET_ONE}`,
    );
  }
  let history: History;
  try {
    history = historyFromJSON(json);
  } catch (cause) {
    throw new CannotReplay(
      `${file} is no workflow history: ${reasonOf(cause)}. ${HOW_TO_GET_ONE}`,
      EXIT.badInput,
      { cause },
    );
  }
  refuseDamaged(file, history);
  const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
  return {
    workflowId: workflowId ?? (started?.workflowId || basename(file, '.json')),
    history,
    from: file,
  };
}

function parse(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CannotReplay(`${file} cannot be read: ${reasonOf(cause)}.`, EXIT.badInput, { cause });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CannotReplay(
      `${file} is no JSON: ${reasonOf(cause)}. ${HOW_TO_GET_ONE}`,
      EXIT.badInput,
      { cause },
    );
  }
}

/** A history must be whole from its first event on; the SDK would report a gap as an error of its own, or hang. */
function refuseDamaged(file: string, { events }: History): void {
  for (const [index, event] of (events ?? []).entries()) {
    if (Number(event.eventId) !== index + 1) {
      throw new CannotReplay(
        `${file} is damaged: event ${index + 1} is missing. ${HOW_TO_GET_ONE}`,
      );
    }
  }
  if (!events?.[0]?.workflowExecutionStartedEventAttributes) {
    throw new CannotReplay(
      `${file} is damaged: it does not begin with the start of a workflow. ${HOW_TO_GET_ONE}`,
    );
  }
}

async function fromServer(workflowId: string, runId: string | undefined): Promise<Source> {
  const { address, namespace } = loadConnection();
  let client;
  try {
    client = await connectClient();
  } catch (error) {
    if (error instanceof TemporalUnreachable)
      throw new CannotReplay(error.message, EXIT.unreachable, { cause: error });
    throw error;
  }
  try {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    return { workflowId, history, from: `${address}, namespace ${namespace}` };
  } catch (cause) {
    throw notFetched(
      `"${workflowId}"${runId === undefined ? '' : ` with run id ${runId}`}`,
      `${address}, namespace ${namespace}`,
      cause,
    );
  } finally {
    await client.connection.close();
  }
}

function notFetched(run: string, server: string, cause: unknown): CannotReplay {
  const code = isGrpcServiceError(cause) ? Number(cause.code) : undefined;
  if (code === NOT_FOUND || cause instanceof WorkflowNotFoundError) {
    return new CannotReplay(
      `There is no workflow ${run} at ${server}, and no file of that name. ` +
        'Look at its id in the UI; a closed run is deleted when the retention of its namespace has passed.',
      EXIT.badInput,
      { cause },
    );
  }
  const what = `${server} did not give the history of ${run}: ${reasonOf(cause)}.`;
  return new CannotReplay(what, code === INVALID_ARGUMENT ? EXIT.badInput : EXIT.unreachable, {
    cause,
  });
}

/** Status codes of gRPC (https://grpc.io/docs/guides/status-codes). */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
