import { Readable, Writable } from 'node:stream';
import { exitCodeOf, type Main } from '../../scripts/run-script';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ran>;
  /** What it has written so far. */
  output(): Pick<Ran, 'stdout' | 'stderr'>;
  /** As Ctrl-C does. */
  interrupt(): void;
}

/**
 * Runs a script in this process, without a terminal: a process of its own takes a second or two only to load. Tests of what
 * a process does (signals, what is left of it, a debugger) start one.
 */
export function inProcess(
  name: string,
  main: Main,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Running {
  const written = { stdout: '', stderr: '' };
  const into = (name: keyof typeof written) =>
    new Writable({
      decodeStrings: false,
      write: (chunk: string | Buffer, _encoding, done) => {
        written[name] += chunk.toString();
        done();
      },
    });
  const interrupting = new AbortController();
  const ended = exitCodeOf(name, main, {
    ...{ args, env, stdin: Readable.from([]), stdout: into('stdout'), stderr: into('stderr') },
    interrupted: () => interrupting.signal,
  });
  return {
    ended: ended.then((code) => ({ code, ...written })),
    output: () => ({ ...written }),
    interrupt: () => interrupting.abort(),
  };
}
