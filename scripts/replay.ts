import { Command, CommanderError } from 'commander';
import { ConnectionConfigurationInvalid } from '../workers/connection';
import { workflowCode } from '../workers/workflow-code';
import { accountOf } from './replay/account';
import { asJson } from './replay/as-json';
import { asText } from './replay/as-text';
import { replay } from './replay/determinism';
import { CannotReplay, EXIT } from './replay/ended';
import { readSource, type Wanted } from './replay/source';

interface Options extends Wanted {
  readonly json?: boolean;
  readonly workflowBundle?: string;
}

const HELP = `
Exit codes: 0 replayed (whether the run itself failed or not), 2 nothing to replay, 3 the workflow code of this checkout
is not compatible with the history (non-determinism, TMPRL1100), 4 the Temporal server does not answer.`;

/** Replays a history against the workflow code of this checkout, and tells from it what happened and why. */
async function main(): Promise<number> {
  const program = new Command('replay')
    .description(
      'Replays a run against the workflow code of this checkout and says what happened in it, and why it failed.',
    )
    .argument(
      '<workflowId | history.json>',
      'a history file, or the id of a workflow on the server',
    )
    .option('--json', 'print one JSON object instead of text')
    .option('--run-id <id>', 'this run of the workflow; default: the latest')
    .option('--workflow-id <id>', 'whose history a file is, where it does not say so itself')
    .option(
      '--workflow-bundle <file>',
      'prebuilt workflow code (npm run build); without it, it is built first',
    )
    .addHelpText('after', HELP)
    .exitOverride()
    .parse();
  const { json = false, workflowBundle, ...wanted } = program.opts<Options>();
  const source = await readSource(program.args[0] ?? '', wanted);
  const verdict = await replay(source, workflowCode(workflowBundle));
  const account = accountOf(source);
  process.stdout.write(
    `${json ? JSON.stringify(asJson(account, verdict), null, 2) : asText(account, verdict, source.from)}\n`,
  );
  return verdict.deterministic ? EXIT.ok : EXIT.nonDeterminism;
}

/** One message for a person, and an exit code that says what kind of trouble it is. */
function troubleCode(error: unknown): number {
  // Commander has said it, and the help, already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.badInput;
  process.stderr.write(`replay: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env['HOLDFAST_STACK'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (error instanceof CannotReplay) return error.exitCode;
  return error instanceof ConnectionConfigurationInvalid ? EXIT.badInput : 1;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => (process.exitCode = troubleCode(error)),
);
