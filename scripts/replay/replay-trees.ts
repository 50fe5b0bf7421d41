import { replayAll, type WorkflowCode } from './replay-all';
import type { Source } from './source';
import { Forest, type Node } from './tree';

export interface Replayed {
  readonly trees: number;
  /** Runs whose history is there, and those of them that the workflow code does not decide alike. */
  readonly runs: number;
  readonly notReplayed: number;
}

/** Replays all runs of a source, and hands on each tree as soon as it is whole. */
export async function replayTrees(
  { runs }: Source,
  code: WorkflowCode,
  onTree: (node: Node) => void | Promise<void>,
): Promise<Replayed> {
  let [trees, count, notReplayed] = [0, 0, 0];
  let forest = new Forest();
  const finish = async () => {
    for (const node of forest.roots) await onTree(node);
    trees += forest.roots.length;
    forest = new Forest();
  };
  for await (const run of replayAll(runs, code)) {
    if (run.verdict !== null) count += 1;
    if (run.verdict?.deterministic === false) notReplayed += 1;
    if (forest.isRoot(run)) await finish();
    forest.add(run);
  }
  await finish();
  return { trees, runs: count, notReplayed };
}
