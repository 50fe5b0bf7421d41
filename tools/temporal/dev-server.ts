import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { spawnGuarded, type GuardedProcess, type ProcessExit } from '../processes/spawn-guarded';

import { findTemporalBinary } from './binary';
import { checkDatabaseStamp } from './database-stamp';
import { freePort, isPortFree, LOOPBACK } from './ports';
import { waitUntilServing } from './readiness';
import { reasonOf } from '../reason';
import { serverArguments, type DynamicConfig } from './server-arguments';
import { openServerLog, type ServerLog } from './server-log';

const START_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 10_000;
const SHOWN_LOG_LINES = 15;

export interface DevServerOptions {
  /** Port of the gRPC service. Default, and for 0: a free one. */
  port?: number;
  /** Port of the web UI. Default, and for 0: a free one. */
  uiPort?: number;
  /** Whether there is a web UI. Default: true. */
  ui?: boolean;
  /** SQLite file that keeps everything over a restart. Default: in memory, which is fastest. */
  dbFilename?: string;
  /** Made at the start if missing. Default: `default`. */
  namespace?: string;
  /** Dynamic configuration of the server, on top of what holdfast needs. Default: none. */
  dynamicConfig?: DynamicConfig;
  /** The server's own output is appended here. Default: kept nowhere, shown when the server fails. */
  logFile?: string;
  /** Gets one line for each thing worth saying to a person who waits. Default: silent. */
  onProgress?: (line: string) => void;
  /** The Temporal CLI to run. Default: what `findTemporalBinary` finds. */
  binaryPath?: string;
}

/** How a dev server ended. */
export interface DevServerExit extends ProcessExit {
  /** False when it ended without our asking; `lastLogLines` then says why. */
  stopRequested: boolean;
  lastLogLines: readonly string[];
}

/** A healthy Temporal dev server that ends with us, however we end. */
export interface DevServer {
  /** `host:port` of the gRPC service. */
  readonly address: string;
  /** Undefined with `ui: false`. */
  readonly uiUrl: string | undefined;
  readonly namespace: string;
  readonly pid: number;
  /** SIGTERM, and SIGKILL after 10 s. Resolves when it has ended; any number of calls. */
  stop(): Promise<void>;
  /** Settles when the server has ended, for whatever reason; never rejects. */
  readonly exited: Promise<DevServerExit>;
}

/** The dev server did not become healthy. The message has the end of its log and what to do. */
export class DevServerFailed extends Error {
  override readonly name = 'DevServerFailed';
}

/**
 * Starts `temporal server start-dev` on the loopback interface with the flags holdfast needs, and waits until it answers.
 * Fails with {@link DevServerFailed} after at most 60 s, or with what `findTemporalBinary` fails with.
 */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const { ui = true, dbFilename, namespace = 'default', onProgress = () => undefined } = options;
  const { dynamicConfig = {} } = options;
  const path = options.binaryPath ?? (await findTemporalBinary({ onProgress })).path;
  const port = await choosePort(options.port, '--port');
  const uiPort = ui ? await choosePort(options.uiPort, '--ui-port') : undefined;
  if (dbFilename !== undefined) {
    const warning = await checkDatabaseStamp(dbFilename, await run(path, ['--version']));
    if (warning !== undefined) onProgress(warning);
  }
  const help = await run(path, ['server', 'start-dev', '--help']);
  const address = `${LOOPBACK}:${port}`;

  const log = openServerLog(options.logFile);
  const server = await launch(
    path,
    serverArguments({ port, uiPort, namespace, dbFilename, dynamicConfig, help }),
    log,
  );
  const exited = new AbortController();
  void server.exited.then(({ code, signal }) =>
    exited.abort(new Error(`it ended by itself (${code === null ? signal : `exit code ${code}`})`)),
  );
  try {
    await waitUntilServing(address, namespace, START_TIMEOUT_MS, exited.signal);
  } catch (error) {
    await server.stop();
    const lines = log.lastLines(SHOWN_LOG_LINES);
    log.close();
    throw new DevServerFailed(failureText(address, reasonOf(error), lines));
  }
  return devServer(server, log, {
    address,
    uiUrl: uiPort === undefined ? undefined : `http://${LOOPBACK}:${uiPort}`,
    namespace,
  });
}

function devServer(
  server: GuardedProcess,
  log: ServerLog,
  where: Pick<DevServer, 'address' | 'uiUrl' | 'namespace'>,
): DevServer {
  let stopRequested = false;
  const exited = server.exited.then((exit): DevServerExit => {
    const lastLogLines = log.lastLines(SHOWN_LOG_LINES);
    log.close();
    return { ...exit, stopRequested, lastLogLines };
  });
  return {
    ...where,
    pid: server.pid,
    exited,
    async stop() {
      stopRequested = true;
      await server.stop();
      await exited;
    },
  };
}

async function launch(path: string, args: string[], log: ServerLog): Promise<GuardedProcess> {
  try {
    return await spawnGuarded(path, args, {
      env: serverEnvironment(),
      output: log.descriptor,
      graceMs: STOP_GRACE_MS,
    });
  } catch (error) {
    log.close();
    throw error;
  }
}

/** TEMPORAL_* variables configure clients; the CLI would apply them to the server's own command as well. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  // It makes much garbage and keeps little: collecting it less often saves a sixth of its processor time.
  return { GOGC: '400', ...Object.fromEntries(entries) };
}

async function choosePort(wanted: number | undefined, flag: string): Promise<number> {
  if (wanted === undefined || wanted === 0) return freePort();
  // Asked first, because the health check would be answered by whoever listens there already.
  if (await isPortFree(wanted)) return wanted;
  throw new DevServerFailed(
    `Port ${wanted} on ${LOOPBACK} is in use or not allowed. ` +
      `Stop what listens there, choose another port (${flag}), or, ` +
      'if it is a Temporal server that you want to use, set TEMPORAL_ADDRESS to it.',
  );
}

async function run(path: string, args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(path, args, { timeout: 30_000 })).stdout.trim();
  } catch (error) {
    throw new DevServerFailed(
      `${path} ${args.join(' ')} failed: ${reasonOf(error)}. ` +
        'Is it a Temporal CLI? Set TEMPORAL_CLI_PATH to another one.',
    );
  }
}

function failureText(address: string, reason: string, lines: readonly string[]): string {
  return [
    `The Temporal dev server on ${address} did not start: ${reason}.`,
    ...(lines.length === 0
      ? ['It wrote nothing.']
      : ['Its last lines:', ...lines.map((l) => `  ${l}`)]),
    adviceFor(lines.join('\n')),
  ].join('\n');
}

/** What a person does about the causes that happen. */
function adviceFor(log: string): string {
  if (/address already in use|can't (set|use) .*port/.test(log)) {
    return 'Another process took the port in the meantime: start again, or choose another port.';
  }
  if (/unknown flag/.test(log)) {
    return 'This Temporal CLI is too old: update it, or take it off PATH and holdfast gets its own.';
  }
  if (/database is locked|sqlite/i.test(log)) {
    return 'Its database is in use by another server, or damaged: stop that server, or choose another database file.';
  }
  return 'Start again; if it fails in the same way, set TEMPORAL_ADDRESS to a Temporal server that already runs.';
}
