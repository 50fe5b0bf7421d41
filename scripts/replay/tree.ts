import type { Account } from './account';
import type { Link } from './failure-chain';
import type { ReplayedRun } from './replay-all';

/** A workflow in the tree, with what its runs started. */
export interface Node {
  readonly workflowId: string;
  /** Runs that continued as the next one, oldest first. */
  readonly earlier: readonly NodeRun[];
  readonly last: NodeRun;
}
export interface NodeRun extends ReplayedRun {
  readonly children: readonly Node[];
}

interface GrowingRun extends ReplayedRun {
  readonly children: GrowingNode[];
}
interface GrowingNode {
  readonly workflowId: string;
  readonly earlier: GrowingRun[];
  last: GrowingRun;
}

/** Grows the trees of runs that come parents first, and continued runs in their order. */
export class Forest {
  readonly #roots: GrowingNode[] = [];
  readonly #byRunId = new Map<string, GrowingRun>();

  get roots(): readonly Node[] {
    return this.#roots;
  }

  /** Whether this run begins a tree of its own. */
  isRoot(run: ReplayedRun): boolean {
    const before = this.#roots.at(-1);
    return run.parentRunId === null && (before === undefined || !isNextOf(before, run));
  }

  add(run: ReplayedRun): void {
    const siblings =
      run.parentRunId === null ? this.#roots : this.#byRunId.get(run.parentRunId)?.children;
    if (siblings === undefined) throw new Error(`run ${run.runId} comes before its parent`);
    const grown: GrowingRun = { ...run, children: [] };
    this.#byRunId.set(run.runId, grown);
    const before = siblings.at(-1);
    if (before === undefined || !isNextOf(before, run)) {
      siblings.push({ workflowId: run.workflowId, earlier: [], last: grown });
      return;
    }
    before.earlier.push(before.last);
    before.last = grown;
  }
}

/** The run after one that is missing is taken to continue it: nothing else has its workflow id and its place. */
function isNextOf({ workflowId, last }: GrowingNode, next: ReplayedRun): boolean {
  if (workflowId !== next.workflowId) return false;
  return last.account === null || next.account?.continuedFrom === last.runId;
}

export const runsOf = ({ earlier, last }: Node): readonly NodeRun[] => [...earlier, last];

/** Every run of a tree, parents first. */
export function* allRuns(node: Node): Generator<NodeRun> {
  for (const run of runsOf(node)) {
    yield run;
    for (const child of run.children) yield* allRuns(child);
  }
}

/** The run where it all began: of the failed runs below which none failed, the one that ended first. */
export function firstFailure(node: Node): Account | null {
  const failed = [...allRuns(node)].flatMap(({ account, children }) =>
    account !== null && account.chain.length > 0 && children.every((c) => firstFailure(c) === null)
      ? [account]
      : [],
  );
  failed.sort((a, b) => (a.closedMs ?? Infinity) - (b.closedMs ?? Infinity));
  return failed[0] ?? null;
}

/** The chain of a run's failure, with the attempts of its children's steps, which only their histories tell. */
export function chainOf(run: NodeRun): readonly Link[] {
  let within: NodeRun | undefined = run;
  return (run.account?.chain ?? []).map((link) => {
    if (link.child !== null) {
      within = within?.children.find(({ workflowId }) => workflowId === link.child)?.last;
    }
    if (link.step === null || link.attempt !== null) return link;
    const step = within?.account?.steps.findLast(
      ({ name, lastFailure }) => name === link.step && lastFailure !== null,
    );
    return { ...link, attempt: step?.attempts ?? null };
  });
}
