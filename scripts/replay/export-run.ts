import { readFileSync, statSync } from 'node:fs';
import { repositoryPath } from '../../tools/repository-path';
import { Presets, SingleBar } from 'cli-progress';
import { loadConnection } from '../../workers/connection';
import { readStamp } from '../../workers/workflow-code';
import { runsOnServer } from '../recorded-runs/server-runs';
import type { Shell } from '../run-script';
import { headerOf, writeBundle, type Code, type Exported } from '../recorded-runs/write-bundle';
import { CannotReplay, EXIT } from './ended';
import { withClient } from './source';

interface Options {
  readonly runId?: string;
  readonly workflowBundle?: string;
  readonly uiUrl?: string;
}

/** Writes a run, open or closed, and all that belongs to it into one file. */
export async function exportRun(
  workflowId: string,
  file: string | undefined,
  options: Options,
  { env, stdout, stderr }: Shell,
): Promise<number> {
  if (file === undefined)
    throw new CannotReplay(`Name the file to write: --export ${workflowId} run.hfbundle`);
  const code = codeOf(options.workflowBundle);
  const connection = loadConnection(env);
  const { namespace } = connection;
  const exported = await withClient(connection, async (client) => {
    const uiUrl = options.uiUrl ?? null;
    const header = await headerOf(client, { workflowId, runId: options.runId, namespace, uiUrl });
    const runs = runsOnServer(client, workflowId, options.runId);
    const progress = progressBar(stderr);
    try {
      return await writeBundle(file, {
        client,
        header,
        runs,
        code,
        onProgress: (so) => {
          progress.setTotal(so.expectedRuns);
          progress.update(so.runs);
        },
      });
    } finally {
      progress.stop();
    }
  });
  stdout.write(`${report(file, exported)}\n`);
  return EXIT.ok;
}

/** The prebuilt code that is named, or that of `npm run build`, which production workers load; null without either. */
function codeOf(bundle: string | undefined): Code | null {
  let path = bundle;
  try {
    path ??= repositoryPath('dist/workflow-bundle.js');
  } catch {
    return null;
  }
  return { buildId: readStamp(path).buildId, source: readFileSync(path, 'utf8') };
}

function progressBar(stream: Shell['stderr']): SingleBar {
  const bar = new SingleBar(
    {
      format: ' {bar} {value} of {total} runs so far',
      stream,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  bar.start(1, 0);
  return bar;
}

function report(file: string, exported: Exported): string {
  const { runs, missingRuns, hosts, missingHosts, journalEntries, code } = exported;
  const kilobytes = Math.ceil(statSync(file).size / 1024);
  return [
    `${file}: ${runs} runs, ${journalEntries} journal entries of ${hosts} hosts, ${kilobytes} KB`,
    ...(missingRuns === 0
      ? []
      : [`${missingRuns} runs are missing: the server does not have them any more.`]),
    ...missingHosts.map(
      ({ hostId, reason }) =>
        `Nothing was got from ${hostId}, so it cannot be acted out on a simulated host: ${reason}`,
    ),
    ...(code
      ? []
      : [
          'The workflow code of these runs is not in it: name the bundle that the workers load with --workflow-bundle.',
        ]),
  ].join('\n');
}
