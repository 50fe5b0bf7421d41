import { Command, CommanderError, Option } from 'commander';
import { ConnectionConfigurationInvalid } from '../workers/connection';
import { workflowCode } from '../workers/workflow-code';
import { asJson } from './replay/as-json';
import { asText } from './replay/as-text';
import { CannotReplay, EXIT } from './replay/ended';
import { exportRun } from './replay/export-run';
import { replayTrees } from './replay/replay-trees';
import { openSource, querySource, type Wanted } from './replay/source';
import type { Node } from './replay/tree';

interface Options extends Wanted {
  readonly query?: string;
  readonly json?: boolean;
  readonly export?: string;
  readonly uiUrl?: string;
  readonly workflowBundle?: string;
}

const HELP = `
Exit codes: 0 replayed (whether the run itself failed or not), 2 nothing to replay, 3 the workflow code of this checkout
is not compatible with the history (non-determinism, TMPRL1100), 4 the Temporal server does not answer.`;

/** Replays what was recorded against the workflow code of this checkout, and tells from it what happened and why. */
async function main(): Promise<number> {
  const program = new Command('npm run replay --')
    .description(
      'Replays a run, and all that it started, against the workflow code of this checkout and says what happened in it, and why it failed.',
    )
    .argument(
      '[bundle | history.json | workflowId]',
      'a file, or the id of a workflow on the server; with --export, the file to write',
    )
    .option(
      '--query <query>',
      'replay every run that the server lists for it, e.g. \'ExecutionStatus="Failed"\'',
    )
    .option('--json', 'print one JSON object instead of text; with --query, one a line')
    .option('--run-id <id>', 'this run of the workflow; default: the latest')
    .option('--workflow-id <id>', 'whose history a file is, where it does not say so itself')
    .option(
      '--workflow-bundle <file>',
      'prebuilt workflow code (npm run build); without it, it is built first',
    )
    .addOption(
      new Option(
        '--export <workflowId>',
        'write the run and all that belongs to it into one file, and replay nothing',
      ).conflicts(['query', 'json', 'workflowId']),
    )
    .option(
      '--ui-url <url>',
      'with --export: where the server has its UI, for the links of reports',
    )
    .addHelpText('after', HELP)
    .exitOverride()
    .parse();
  const options = program.opts<Options>();
  const what = program.args[0];
  if (options.export !== undefined) return exportRun(options.export, what, options);
  const { query, json = false, workflowBundle } = options;
  if ((query === undefined) === (what === undefined))
    throw new CannotReplay('Name a bundle, a history file or a workflow id, or give a --query.');
  const source = query === undefined ? await openSource(what ?? '', options) : querySource(query);
  const say = (node: Node) =>
    process.stdout.write(
      json
        ? `${JSON.stringify(asJson(node), null, query === undefined ? 2 : 0)}\n`
        : `${asText(node, source.from)}\n`,
    );
  const { trees, notReplayed } = await replayTrees(source, workflowCode(workflowBundle), say);
  if (trees === 0) throw new CannotReplay(`The server lists no run for ${query ?? ''}.`);
  return notReplayed === 0 ? EXIT.ok : EXIT.nonDeterminism;
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
