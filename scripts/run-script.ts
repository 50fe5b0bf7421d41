import { Command, CommanderError } from 'commander';
import { ConnectionConfigurationInvalid, TemporalUnreachable } from '../workers/connection';

/** The exit codes that all scripts share; each has more of its own. */
const UNEXPECTED = 1;
export const BAD_INPUT = 2;
export const UNREACHABLE = 4;

/** A script cannot do what it was asked for: what is wrong, and what to do, in words for a person. */
export class CannotDo extends Error {
  constructor(
    message: string,
    readonly exitCode: number = BAD_INPUT,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean };

/** What a script has from the shell that runs it; tests run it in their own process, with another one. */
export interface Shell {
  /** What stands behind the name of the script. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  /** Aborted by Ctrl-C or SIGTERM, which do not end the process once this was asked for. */
  interrupted(): AbortSignal;
}

/** Answers the exit code. */
export type Main = (shell: Shell) => Promise<number>;

const processShell = (): Shell => ({
  args: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  interrupted: () => {
    const interrupted = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => interrupted.abort());
    return interrupted.signal;
  },
});

/** Runs the main function of a script as this process; what goes wrong is one message, and a code that fits. */
export function runScript(name: string, main: Main): void {
  void exitCodeOf(name, main, processShell()).then((code) => (process.exitCode = code));
}

export async function exitCodeOf(name: string, main: Main, shell: Shell): Promise<number> {
  try {
    return await main(shell);
  } catch (error) {
    return troubleCode(name, error, shell);
  }
}

/** The command line of a script, which says in its shell what is wrong with it. */
export const commandLine = (name: string, { stdout, stderr }: Shell): Command =>
  new Command(name).exitOverride().configureOutput({
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(text),
  });

function troubleCode(name: string, error: unknown, { env, stderr }: Shell): number {
  // Commander has said it, and the help, already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : BAD_INPUT;
  stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
  if (env['HOLDFAST_STACK'] !== undefined && error instanceof Error)
    stderr.write(`${error.stack ?? ''}\n`);
  if (error instanceof CannotDo) return error.exitCode;
  if (error instanceof TemporalUnreachable) return UNREACHABLE;
  return error instanceof ConnectionConfigurationInvalid ? BAD_INPUT : UNEXPECTED;
}
