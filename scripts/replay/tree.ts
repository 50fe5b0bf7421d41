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

/**
 * The run where it all began: down along the children that the failures name as their causes; where one names none,
 * the child that failed first.
 */
export function firstFailure({ last }: Pick<Node, 'last'>): Account | null {
  const { account, children } = last;
  if (account === null) return null;
  const named = account.chain.find(({ child }) => child !== null)?.child;
  const cause = children.find(({ workflowId }) => workflowId === named) ?? earliest(children);
  const below = cause === undefined ? null : firstFailure(cause);
  return below ?? (account.chain.length > 0 ? account : null);
}

function earliest(children: readonly Node[]): Node | undefined {
  const endMs = ({ last }: Node) => last.account?.closedMs ?? Infinity;
  return children
    .filter((child) => firstFailure(child) !== null)
    .sort((a, b) => endMs(a) - endMs(b))[0];
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
