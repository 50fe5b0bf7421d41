import { nextActionOf, rootOf, type Account } from './account';
import type { Child } from './happenings';
import type { Verdict } from './determinism';
import type { Link } from './failure-chain';
import { timedSteps } from './step-times';
import { chainOf, firstFailure, type Node, type NodeRun } from './tree';

interface JsonStep {
  readonly name: string;
  readonly status: string;
  readonly reason: string | null;
  readonly attempts: number | null;
  /** Before it began, for a worker and for its turn on the host. */
  readonly waitedMs: number | null;
  /** From its beginning to its end, over all attempts. */
  readonly ms: number | null;
  readonly darkForMs: number | null;
  readonly lastFailure: string | null;
}

interface JsonFailure {
  readonly type: string;
  readonly message: string;
  /** The step that failed, where the failure came from one, and its last attempt. */
  readonly step: string | null;
  readonly attempt: number | null;
  readonly nextAction: string | null;
  readonly root: {
    readonly type: string | undefined;
    readonly message: string | undefined;
    readonly nextAction: string | null;
  };
  readonly chain: readonly Link[];
}

/** A child whose history is not at hand: what its parent's says of it. */
interface JsonChild {
  readonly workflowId: string;
  readonly runId: string | null;
  readonly type: string;
  readonly outcome: string;
}

export interface JsonRun {
  readonly workflowId: string;
  readonly runId: string;
  readonly type: string | null;
  /** Null where the history is missing. */
  readonly deterministic: boolean | null;
  readonly nonDeterminism?: Pick<
    Extract<Verdict, { deterministic: false }>,
    'explanation' | 'likelyCause' | 'message'
  >;
  readonly outcome: string;
  readonly detail: string | null;
  /** Why its history is not there; absent where it is. */
  readonly missing?: string | null;
  readonly buildIds: readonly string[];
  readonly failure: JsonFailure | null;
  readonly steps: readonly JsonStep[];
  readonly children: readonly (JsonRun | JsonChild)[];
  readonly happenings: readonly {
    readonly what: string;
    readonly outcome: string;
    readonly afterMs: number | null;
  }[];
  readonly blackouts: Account['blackouts'];
  /** The runs that this one continues, oldest first; absent where there are none. */
  readonly earlierRuns?: readonly JsonRun[];
  /** The run below in which it all began; absent where nothing failed below. */
  readonly firstFailure?: { readonly workflowId: string; readonly runId: string | null };
}

/** What `--json` prints of a workflow: its last run, with the runs that it continues in `earlierRuns`. Times in ms. */
export function asJson(node: Node): JsonRun {
  const last = runAsJson(node.last);
  const first = firstFailure(node);
  return {
    ...last,
    ...(node.earlier.length === 0 ? {} : { earlierRuns: node.earlier.map(runAsJson) }),
    ...(first === null || last.failure === null || last.children.length === 0
      ? {}
      : { firstFailure: { workflowId: first.workflowId, runId: first.runId } }),
  };
}

function runAsJson(run: NodeRun): JsonRun {
  const { workflowId, runId, verdict, account, missing } = run;
  const about = {
    workflowId,
    runId,
    type: account?.type ?? null,
    deterministic: verdict?.deterministic ?? null,
    ...nonDeterminism(verdict),
  };
  if (account === null) return { ...about, ...NOTHING, missing };
  return {
    ...about,
    outcome: account.outcome,
    detail: account.detail,
    buildIds: account.buildIds,
    failure: failureOf(run),
    steps: timedSteps([account]).map(({ step, beganMs, endedMs }) => ({
      name: step.name,
      status: step.status,
      reason: step.reason,
      attempts: step.attempts,
      waitedMs: between(step.scheduledMs, beganMs),
      ms: between(beganMs, endedMs),
      darkForMs: step.darkForMs,
      lastFailure: step.lastFailure,
    })),
    children: account.children.map((child) => childAsJson(child, run.children)),
    happenings: account.happenings.map(({ what, outcome, atMs }) => ({
      what,
      outcome,
      afterMs: between(account.startedMs, atMs),
    })),
    blackouts: account.blackouts,
  };
}

/** Of a run whose history is missing. */
const NOTHING = {
  outcome: 'missing',
  detail: null,
  buildIds: [],
  failure: null,
  steps: [],
  children: [],
  happenings: [],
  blackouts: [],
} as const;

const nonDeterminism = (verdict: Verdict | null) =>
  verdict === null || verdict.deterministic
    ? {}
    : {
        nonDeterminism: {
          explanation: verdict.explanation,
          likelyCause: verdict.likelyCause,
          message: verdict.message,
        },
      };

/** Its own account where its history is there, or what its parent's history says of it. */
function childAsJson(
  { workflowId, runId, type, outcome }: Child,
  nodes: readonly Node[],
): JsonRun | JsonChild {
  const node = nodes.find(({ earlier, last }) => (earlier[0] ?? last).runId === runId);
  const isThere = node !== undefined && node.last.account !== null;
  return isThere ? asJson(node) : { workflowId, runId, type, outcome };
}

function failureOf(run: NodeRun): JsonFailure | null {
  const chain = chainOf(run);
  const [top, root] = [chain[0], rootOf(chain)];
  if (top === undefined) return null;
  // The failure of a fleet names none of its hosts.
  const failedStep = [chain, firstFailure({ last: run })?.chain ?? []]
    .map((links) => links.findLast((link) => link.step !== null))
    .find((link) => link !== undefined);
  return {
    type: top.type,
    message: top.message,
    step: failedStep?.step ?? null,
    attempt: failedStep?.attempt ?? null,
    nextAction: nextActionOf(top.type),
    root: { type: root?.type, message: root?.message, nextAction: nextActionOf(root?.type) },
    chain,
  };
}

/** How long a run took, from its start to its end; null for one that is open. */
export const tookMs = ({ startedMs, closedMs }: Account): number | null =>
  between(startedMs, closedMs);

/** Milliseconds from one moment to another, to the microsecond. */
export function between(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : Math.round((to - from) * 1000) / 1000;
}
