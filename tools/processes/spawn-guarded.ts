import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

import { errorCode } from '../reason';
import { repositoryPath } from '../repository-path';

/** How a process ended: with an exit code, or by a signal; the other one is null. */
export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface GuardedOptions {
  /** Working directory. Default: ours. */
  cwd?: string;
  /** The whole environment of the process. Default: ours. */
  env?: NodeJS.ProcessEnv;
  /** Where stdout and stderr go; a number is an open file descriptor. Default: `ignore`. */
  output?: 'ignore' | 'inherit' | 'pipe' | number;
  /** Milliseconds between SIGTERM and SIGKILL, for `stop()` and when we die. Default: 5000. */
  graceMs?: number;
}

/** A running process that ends when we end. Keeps our event loop alive until it has ended. */
export interface GuardedProcess {
  /** Of the process itself (not of its guard); also the id of its process group. */
  readonly pid: number;
  /** Set only with `output: 'pipe'`. */
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** Settles once, when the process has ended; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** SIGTERM to the process and all it started, SIGKILL after `graceMs`. Any number of calls. */
  stop(): Promise<ProcessExit>;
}

/** The command could not be started at all (not found, not executable). */
export class GuardedStartError extends Error {
  override readonly name = 'GuardedStartError';
}

type GuardReport =
  | { kind: 'started'; pid: number }
  | { kind: 'failed'; reason: string }
  | ({ kind: 'exited' } & ProcessExit);

function isGuardReport(message: unknown): message is GuardReport {
  return typeof message === 'object' && message !== null && 'kind' in message;
}

/**
 * Starts a command that cannot outlive us: a small guard process holds a channel to us, and when the channel closes,
 * even because we were killed with SIGKILL, the guard ends the command and everything the command started.
 * The command runs in a process group of its own, so that a Ctrl-C meant for us does not end it before we stop it.
 * Linux and macOS. Fails with {@link GuardedStartError}.
 */
export async function spawnGuarded(
  command: string,
  args: readonly string[],
  options: GuardedOptions = {},
): Promise<GuardedProcess> {
  const { cwd, env = process.env, output = 'ignore', graceMs = 5_000 } = options;
  const guardPath = repositoryPath('tools/processes/guard.cjs');
  const guard = spawn(process.execPath, [guardPath, String(graceMs), command, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env,
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
  });
  const { started, exited } = follow(guard, command);
  const pid = await started;
  return {
    pid,
    stdout: guard.stdout,
    stderr: guard.stderr,
    exited,
    async stop() {
      // A lost send means that the guard has gone, and then `exited` settles by itself.
      if (guard.connected) guard.send('stop', () => undefined);
      return exited;
    },
  };
}

/** Turns the guard's reports into two promises, and stands in for a guard that was killed. */
function follow(
  guard: ChildProcess,
  command: string,
): { started: Promise<number>; exited: Promise<ProcessExit> } {
  let running: number | undefined;
  let settleExit: (exit: ProcessExit) => void;
  const exited = new Promise<ProcessExit>((resolve) => (settleExit = resolve));
  const started = new Promise<number>((resolve, reject) => {
    guard.once('error', (error) =>
      reject(new GuardedStartError(`cannot guard ${command}: ${error.message}`)),
    );
    guard.on('message', (message: unknown) => {
      if (!isGuardReport(message)) return;
      if (message.kind === 'started') resolve((running = message.pid));
      if (message.kind === 'failed') {
        reject(new GuardedStartError(`cannot start ${command}: ${message.reason}`));
      }
      if (message.kind === 'exited') {
        running = undefined;
        settleExit({ code: message.code, signal: message.signal });
      }
    });
    // Comes after the last message. Without an exit report the guard was killed: its work is ours now.
    guard.once('disconnect', () => {
      reject(new GuardedStartError(`the guard of ${command} ended before it started it`));
      if (running !== undefined) killGroup(running);
      settleExit({ code: null, signal: 'SIGKILL' });
    });
  });
  return { started, exited };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}
