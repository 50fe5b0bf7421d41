import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../tools/reason';
import type { RecordedRun } from './recorded-runs/recorded-run';
import { CannotReplay, EXIT } from './replay/ended';
import { replayTrees } from './replay/replay-trees';
import { replayedCode } from './replay/replayed-code';
import { openSource, querySource, type Source } from './replay/source';
import { allRuns, type Node } from './replay/tree';
import { commandLine, runScript, type Shell } from './run-script';

interface Options {
  readonly bundles?: string;
  readonly query?: string;
  readonly workflowBundle?: string;
}

const HELP = `
Exit codes: 0 all of them replay, 2 there is nothing to replay, or not all of it can be read, 3 the workflow code is not
compatible with a history, 4 the Temporal server does not answer.`;

/** Fails where the workflow code of this checkout cannot replay recorded runs: a step of a pipeline, before a deployment. */
export async function main(shell: Shell): Promise<number> {
  const { args, env, stdout } = shell;
  const { bundles, query, workflowBundle } = commandLine('npm run replay:gate --', shell)
    .description(
      'Fails unless the workflow code of this checkout replays recorded runs, with all below them. Give one of the two.',
    )
    .option('--bundles <directory>', 'every bundle (.hfbundle) and history (.json) in it')
    .option(
      '--query <query>',
      'every run that the server lists for it, e.g. \'StartTime > "2026-11-01T00:00:00Z"\'',
    )
    .option(
      '--workflow-bundle <file>',
      'prebuilt workflow code (npm run build), which is what gets deployed; without it, it is built first',
    )
    .addHelpText('after', HELP)
    .allowExcessArguments(false)
    .parse(args, { from: 'user' })
    .opts<Options>();
  if ((bundles === undefined) === (query === undefined))
    throw new CannotReplay('Give --bundles or --query, and not both.');
  const files = new Map<string, string>();
  const source =
    bundles === undefined ? querySource(query ?? '', env) : inDirectory(bundles, files, env);
  const { trees, runs, notReplayed } = await replayTrees(
    source,
    await replayedCode(workflowBundle),
    (node) => {
      stdout.write(`${verdictText(node, files.get(firstRunId(node)))}\n`);
    },
  );
  if (runs === 0) throw new CannotReplay(`There is no run to replay in ${source.from}.`);
  stdout.write(
    `${runs - notReplayed} of ${runs} runs in ${trees} ${trees === 1 ? 'tree' : 'trees'} replayed: ${notReplayed === 0 ? 'the workflow code is compatible with them' : 'DO NOT DEPLOY this workflow code without a patch'}.\n`,
  );
  return notReplayed === 0 ? EXIT.ok : EXIT.nonDeterminism;
}

/** All files of a directory as one source; notes which root run comes from which file. */
function inDirectory(
  directory: string,
  files: Map<string, string>,
  env: NodeJS.ProcessEnv,
): Source {
  const found = filesIn(directory);
  return {
    from: directory,
    runs: (async function* (): AsyncGenerator<RecordedRun> {
      for (const file of found) {
        const { runs } = await openSource(join(directory, file), {}, env);
        for await (const run of runs) {
          if (run.parentRunId === null) files.set(run.runId, file);
          yield run;
        }
      }
    })(),
  };
}

function filesIn(directory: string): string[] {
  let found: string[];
  try {
    found = readdirSync(directory)
      .filter((name) => /\.(hfbundle|json)$/.test(name))
      .sort();
  } catch (cause) {
    throw new CannotReplay(
      `--bundles ${directory} cannot be read: ${reasonOf(cause)}.`,
      EXIT.badInput,
      { cause },
    );
  }
  if (found.length > 0) return found;
  throw new CannotReplay(
    `--bundles ${directory} has no bundle in it. Get one with "npm run replay -- --export <workflowId> run.hfbundle".`,
  );
}

const firstRunId = ({ earlier, last }: Node): string => (earlier[0] ?? last).runId;

function verdictText(node: Node, file: string | undefined): string {
  const runs = [...allRuns(node)];
  const bad = runs.flatMap(({ workflowId, runId, verdict }) =>
    verdict?.deterministic === false
      ? [
          `     ${workflowId} (run ${runId}): ${verdict.explanation} ${verdict.likelyCause ?? ''}`.trimEnd(),
        ]
      : [],
  );
  const missing = runs.filter(({ verdict }) => verdict === null).length;
  const { account, workflowId } = node.last;
  return [
    `${bad.length === 0 ? 'ok  ' : 'FAIL'} ${file === undefined ? '' : `${file}: `}${account?.type ?? 'a run'} ${workflowId}, ${runs.length} ${runs.length === 1 ? 'run' : 'runs'}` +
      (missing === 0 ? '' : `, ${missing} of them missing`),
    ...bad,
  ].join('\n');
}

if (require.main === module) runScript('replay:gate', main);
