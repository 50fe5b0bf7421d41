import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { WorkflowNotFoundError, isGrpcServiceError, type Client } from '@temporalio/client';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { reasonOf } from '../../tools/reason';
import {
  TemporalUnreachable,
  connectClient,
  loadConnection,
  type ConnectionConfiguration,
} from '../../workers/connection';
import { BundleUnreadable, readHeader, runsInBundle } from '../recorded-runs/read-bundle';
import { started, type History, type RecordedRun } from '../recorded-runs/recorded-run';
import { NoSuchRun, runsOnServer } from '../recorded-runs/server-runs';
import { isDecoded } from './decoded';
import { CannotReplay, EXIT } from './ended';

/** Runs that can be replayed, and where they come from. Reading them may fail with `CannotReplay`. */
export interface Source {
  readonly from: string;
  readonly runs: AsyncIterable<RecordedRun>;
}

export interface Wanted {
  readonly runId?: string;
  /** For a file that does not say whose history it is. */
  readonly workflowId?: string;
}

/** A bundle or a history, if there is a file of that name, or else a workflow on the server and all below it. */
export async function openSource(
  what: string,
  wanted: Wanted,
  env: NodeJS.ProcessEnv,
): Promise<Source> {
  if (!existsSync(what)) {
    if (/\.(json|hfbundle)$/.test(what)) throw new CannotReplay(`There is no file ${what}.`);
    return onServer(env, (client) => runsOnServer(client, what, wanted.runId));
  }
  if (!isCompressed(what)) return { from: what, runs: fromFile(what, wanted) };
  const { exportedAt, holdfast, server } = await readable(() => readHeader(what));
  const by = `holdfast ${holdfast.version}${holdfast.commit === null ? '' : ` (${holdfast.commit})`}`;
  return {
    from: `${what}, exported ${exportedAt} from namespace ${server.namespace} by ${by}`,
    runs: readableRuns(runsInBundle(what)),
  };
}

/** Every run that the server finds for this query, each with all below it, and none twice. */
export const querySource = (query: string, env: NodeJS.ProcessEnv): Source =>
  onServer(env, async function* (client) {
    const seen = new Set<string>();
    for await (const { workflowId, runId } of client.workflow.list({ query })) {
      if (seen.has(runId)) continue;
      for await (const run of runsOnServer(client, workflowId, runId)) {
        if (seen.has(run.runId)) continue;
        seen.add(run.runId);
        yield run;
      }
    }
  });

function onServer(
  env: NodeJS.ProcessEnv,
  read: (client: Client) => AsyncIterable<RecordedRun>,
): Source {
  const connection = loadConnection(env);
  const { address, namespace } = connection;
  return {
    from: `${address}, namespace ${namespace}`,
    runs: (async function* () {
      const client = await connected(connection);
      try {
        yield* read(client);
      } catch (cause) {
        throw notRead(connection, cause);
      } finally {
        await client.connection.close();
      }
    })(),
  };
}

/** What a call of the server answers; fails with `CannotReplay` where it does not. */
export async function withClient<T>(
  connection: ConnectionConfiguration,
  call: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connected(connection);
  try {
    return await call(client);
  } catch (cause) {
    throw notRead(connection, cause);
  } finally {
    await client.connection.close();
  }
}

async function connected(connection: ConnectionConfiguration): Promise<Client> {
  try {
    return await connectClient(connection);
  } catch (error) {
    if (error instanceof TemporalUnreachable)
      throw new CannotReplay(error.message, EXIT.unreachable, { cause: error });
    throw error;
  }
}

function notRead({ address, namespace }: ConnectionConfiguration, cause: unknown): unknown {
  const where = `${address}, namespace ${namespace}`;
  if (cause instanceof NoSuchRun || cause instanceof WorkflowNotFoundError) {
    return new CannotReplay(
      `${cause.message} (${where}). There is no file of that name either. ` +
        'Look at its id in the UI; a closed run is deleted when the retention of its namespace has passed.',
      EXIT.badInput,
      { cause },
    );
  }
  if (!isGrpcServiceError(cause)) return cause;
  const isRefused = Number(cause.code) === INVALID_ARGUMENT;
  return new CannotReplay(
    `${where} did not answer: ${reasonOf(cause)}.`,
    isRefused ? EXIT.badInput : EXIT.unreachable,
    { cause },
  );
}

/** A status code of gRPC (https://grpc.io/docs/guides/status-codes): a query that it does not understand. */
const INVALID_ARGUMENT = 3;

const HOW_TO_GET_ONE =
  'Get one with "npm run replay -- --export <workflowId> run.hfbundle" or "temporal workflow show -w <workflowId> --output json > history.json", or in the UI: Download → Encoded.';

/** By its first two bytes, whatever its name. */
function isCompressed(file: string): boolean {
  const bytes = Buffer.alloc(2);
  try {
    const opened = openSync(file, 'r');
    readSync(opened, bytes, 0, 2, 0);
    closeSync(opened);
  } catch (cause) {
    throw new CannotReplay(`${file} cannot be read: ${reasonOf(cause)}.`, EXIT.badInput, { cause });
  }
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

async function* readableRuns(runs: AsyncIterable<RecordedRun>): AsyncGenerator<RecordedRun> {
  try {
    yield* runs;
  } catch (error) {
    throw asCannotReplay(error);
  }
}

async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw asCannotReplay(error);
  }
}

const asCannotReplay = (error: unknown): unknown =>
  error instanceof BundleUnreadable
    ? new CannotReplay(error.message, EXIT.badInput, { cause: error })
    : error;

/** Read at once, so that a file that is none is said before anything is built. */
function fromFile(file: string, { workflowId }: Wanted): AsyncIterable<RecordedRun> {
  const history = historyIn(file);
  const start = started(history);
  const run: RecordedRun = {
    workflowId: workflowId ?? (start?.workflowId || basename(file, '.json')),
    runId: start?.originalExecutionRunId ?? '',
    parentRunId: null,
    depth: 0,
    history,
    missing: null,
  };
  return Readable.from([run]);
}

function historyIn(file: string): History {
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
  return history;
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
