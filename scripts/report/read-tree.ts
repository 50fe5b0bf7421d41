import { existsSync } from 'node:fs';
import { loadConnection } from '../../workers/connection';
import { BundleUnreadable, readHeader } from '../recorded-runs/read-bundle';
import type { RecordedRun } from '../recorded-runs/recorded-run';
import { accountOf } from '../replay/account';
import { CannotReplay } from '../replay/ended';
import type { ReplayedRun } from '../replay/replay-all';
import { openSource, type Wanted } from '../replay/source';
import { Forest, type Node } from '../replay/tree';
import { uiAddress } from './html';

/** A run with all below it, and where it is. */
export interface Tree {
  readonly node: Node;
  /** In words: the file, or the server. */
  readonly from: string;
  readonly namespace: string;
  /** Where its server has its UI; null if the bundle does not say so. */
  readonly uiUrl: string | null;
}

/** Reads the run of a bundle, of a history file or of the server; nothing is replayed. Fails with `CannotReplay`. */
export async function readTree(
  what: string,
  wanted: Wanted,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Tree> {
  const { from, runs } = await openSource(what, wanted, env);
  const header = existsSync(what) ? await headerIn(what) : null;
  const forest = new Forest();
  for await (const run of runs) forest.add(told(run));
  const [node] = forest.roots;
  if (node === undefined)
    throw new CannotReplay(
      `${what} has no run in it. Export it again with "npm run replay -- --export".`,
    );
  return {
    node,
    from,
    namespace: header?.server.namespace ?? loadConnection(env).namespace,
    uiUrl: header?.uiUrl == null ? null : uiAddress(header.uiUrl),
  };
}

const told = ({ history, ...run }: RecordedRun): ReplayedRun => {
  const account = history === null ? null : accountOf({ workflowId: run.workflowId, history });
  return { ...run, runId: run.runId || (account?.runId ?? ''), verdict: null, account };
};

/** Null for a file without one: a plain history, since what is neither has been refused before. */
async function headerIn(file: string) {
  try {
    return await readHeader(file);
  } catch (error) {
    if (error instanceof BundleUnreadable) return null;
    throw error;
  }
}
