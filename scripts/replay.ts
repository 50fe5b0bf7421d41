import { existsSync } from 'node:fs';
import { InvalidArgumentError, Option } from 'commander';
import { reEnact } from './re-enact/re-enact';
import { asJson } from './replay/as-json';
import { asText } from './replay/as-text';
import { DEBUGGER_PORT, awaitDebugger, breakingCode } from './replay/break-at';
import { pairsOf } from './replay/difference';
import { differenceAsJson, differenceText } from './replay/difference-text';
import { CannotReplay, EXIT } from './replay/ended';
import { exportRun } from './replay/export-run';
import { replayTrees } from './replay/replay-trees';
import { replayedCode } from './replay/replayed-code';
import { openSource, querySource, type Source, type Wanted } from './replay/source';
import { walkOf } from './replay/stops';
import type { Node } from './replay/tree';
import { walkThrough } from './replay/walk';
import { commandLine, runScript, type Shell } from './run-script';

interface Options extends Wanted {
  readonly query?: string;
  readonly json?: boolean;
  readonly step?: boolean;
  readonly break?: string;
  readonly debuggerPort: number;
  readonly diff?: string;
  readonly onSimulator?: boolean;
  readonly export?: string;
  readonly uiUrl?: string;
  readonly workflowBundle?: string;
}

const HELP = `
Exit codes: 0 replayed (whether the run itself failed or not), 2 nothing to replay, 3 the workflow code of this checkout
is not compatible with the history (non-determinism, TMPRL1100), 4 the Temporal server does not answer, 5 acted out again,
it came to another end.`;

/** Replays what was recorded against the workflow code of this checkout, and tells from it what happened and why. */
export async function main(shell: Shell): Promise<number> {
  const { args, env } = shell;
  const program = commandLine('npm run replay --', shell)
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
    .option('--step', 'walk through it afterwards, with what each VM was at every step')
    .addOption(
      new Option(
        '--break <step>',
        'stop in a debugger wherever the workflow code asks for this step',
      ).conflicts(['workflowBundle']),
    )
    .addOption(
      new Option('--debugger-port <port>', 'where --break waits for the debugger')
        .default(DEBUGGER_PORT)
        .argParser(port),
    )
    .addOption(
      new Option(
        '--diff <bundle | history.json | workflowId>',
        'replay this one too, and show the two side by side',
      ).conflicts(['query', 'step', 'runId', 'workflowId']),
    )
    .addOption(
      new Option(
        '--on-simulator',
        'act a run of a bundle out again on a simulated host made as its own was, faults included, with the recorded workflow code and with that of this checkout',
      ).conflicts(['query', 'step', 'break', 'diff', 'workflowId']),
    )
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
      ).conflicts(['query', 'json', 'workflowId', 'step', 'break', 'diff', 'onSimulator']),
    )
    .option(
      '--ui-url <url>',
      'with --export: where the server has its UI, for the links of reports',
    )
    .addHelpText('after', HELP)
    .parse(args, { from: 'user' });
  const options = program.opts<Options>();
  const what = program.args[0];
  if (options.export !== undefined) return exportRun(options.export, what, options, shell);
  if (options.onSimulator === true) return reEnact(bundleToActOut(what), options);
  const { query } = options;
  if ((query === undefined) === (what === undefined))
    throw new CannotReplay('Name a bundle, a history file or a workflow id, or give a --query.');
  const source =
    query === undefined ? await openSource(what ?? '', options, env) : querySource(query, env);
  return options.diff === undefined
    ? replay(source, options, shell)
    : compare(source, await openSource(options.diff, {}, env), options, shell);
}

function bundleToActOut(what: string | undefined): string {
  if (what !== undefined && existsSync(what)) return what;
  throw new CannotReplay(
    `--on-simulator needs a bundle${what === undefined ? '' : `, and there is no file ${what}`}. Make one with "npm run replay -- --export <workflowId> run.hfbundle".`,
  );
}

async function replay(source: Source, options: Options, shell: Shell): Promise<number> {
  const { query, json = false, step = false } = options;
  const code = await codeOf(options);
  const { trees, notReplayed } = await replayTrees(source, code, async (node) => {
    say(
      shell,
      json
        ? JSON.stringify(asJson(node), null, query === undefined ? 2 : 0)
        : asText(node, source.from),
    );
    if (step) await walk(node, shell);
  });
  if (trees === 0) throw new CannotReplay(`The server lists no run for ${query ?? ''}.`);
  return notReplayed === 0 ? EXIT.ok : EXIT.nonDeterminism;
}

async function compare(a: Source, b: Source, options: Options, shell: Shell): Promise<number> {
  const { json = false } = options;
  const code = await codeOf(options);
  const nodes: Node[] = [];
  let notReplayed = 0;
  for (const source of [a, b]) {
    const replayed = await replayTrees(source, code, (node) => {
      nodes.push(node);
    });
    notReplayed += replayed.notReplayed;
  }
  const [nodeA, nodeB] = nodes;
  const pairs = pairsOf(nodeA ?? null, nodeB ?? null);
  say(
    shell,
    json
      ? JSON.stringify(differenceAsJson(pairs), null, 2)
      : differenceText(pairs, { a: a.from, b: b.from }),
  );
  return notReplayed === 0 ? EXIT.ok : EXIT.nonDeterminism;
}

async function codeOf({ workflowBundle, break: step, debuggerPort }: Options) {
  if (step === undefined) return replayedCode(workflowBundle);
  const code = await breakingCode(step);
  awaitDebugger(debuggerPort);
  return code;
}

const walk = (node: Node, { stdin, stdout }: Shell): Promise<void> =>
  walkThrough(walkOf(node), {
    input: stdin,
    output: stdout,
    isInteractive: stdin.isTTY === true && stdout.isTTY === true,
  });

const say = ({ stdout }: Shell, text: string): boolean => stdout.write(`${text}\n`);

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value;
  throw new InvalidArgumentError('It must be a whole number from 0 to 65535; 0 takes a free one.');
}

if (require.main === module) {
  // Whoever reads only the head of it has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
  runScript('replay', main);
}
