import { CommanderError } from 'commander';
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

/** Runs the main function of a script, which answers the exit code; what goes wrong is one message, and a code that fits. */
export function runScript(name: string, main: () => Promise<number>): void {
  main().then(
    (code) => (process.exitCode = code),
    (error: unknown) => (process.exitCode = troubleCode(name, error)),
  );
}

function troubleCode(name: string, error: unknown): number {
  // Commander has said it, and the help, already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : BAD_INPUT;
  process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env['HOLDFAST_STACK'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (error instanceof CannotDo) return error.exitCode;
  if (error instanceof TemporalUnreachable) return UNREACHABLE;
  return error instanceof ConnectionConfigurationInvalid ? BAD_INPUT : UNEXPECTED;
}
