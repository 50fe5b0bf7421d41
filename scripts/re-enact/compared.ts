import { accountOf, rootOf } from '../replay/account';
import { asJson, between } from '../replay/as-json';
import type { RecordedRun } from '../recorded-runs/recorded-run';
import type { Link } from '../replay/failure-chain';
import { Forest, allRuns, runsOf, type Node, type NodeRun } from '../replay/tree';
import { field, textOf } from '../replay/values';

/** How a run ended, with all that is below it: what a recorded run and one that was acted out are compared by. */
export interface RunEnd {
  /** completed, failed, cancelled, terminated, timed out, or open if it was given up. */
  readonly outcome: string;
  /** The outcome that its result names, or the reason of a termination. */
  readonly detail: string | null;
  /** The type, and the step where it began, if it was one. */
  readonly failure: { readonly type: string; readonly step: string | null } | null;
  /**
   * Every step that it or a run below failed at: which of several VMs is noticed first is left to chance. Without those
   * that were only fenced.
   */
  readonly failedSteps: readonly string[];
  readonly vms: readonly VmEnd[];
  readonly tookMs: number | null;
}

/** Where a run left a VM, as far as its history tells; null: it does not. */
export interface VmEnd {
  readonly vmId: string;
  readonly running: boolean | null;
  readonly path: string | null;
  readonly stackVersion: string | null;
}

/** The runs of a chain and all below, parents first. */
export function endOfRuns(runs: readonly RecordedRun[]): RunEnd {
  const forest = new Forest();
  for (const { history, ...run } of runs) {
    const account = history === null ? null : accountOf({ workflowId: run.workflowId, history });
    forest.add({ ...run, account, verdict: null });
  }
  const node = forest.roots.at(-1);
  const account = node?.last.account;
  if (node === undefined || account == null) throw new Error('there is no run to compare');
  const failed = failedSteps(node);
  return {
    outcome: account.outcome,
    detail: account.detail,
    failure: failureOf(node, failed),
    failedSteps: [...failed].sort(),
    vms: vmEnds(node),
    tookMs: between(runsOf(node)[0]?.account?.startedMs ?? null, account.closedMs),
  };
}

function failureOf(node: Node, failed: readonly string[]): RunEnd['failure'] {
  const { failure } = asJson(node);
  if (failure === null) return null;
  const { type, step, chain } = failure;
  return { type, step: (isFenced(chain) ? failed[0] : undefined) ?? step };
}

/**
 * Another run took the VM, so it did not begin here. An undo takes the VM from a restore that is still preparing, which
 * then fails; one that is prepared by then waits, and ends well. Which of the two it is, is left to chance.
 */
const isFenced = (chain: readonly Link[]): boolean => rootOf(chain)?.type === 'Fenced';

/** Given up because another VM, or a person, had stopped the run of the host. */
const isGivenUp = (chain: readonly Link[]): boolean => rootOf(chain)?.type === 'BarrierBroken';

/** First those that failed themselves. */
function failedSteps(node: Node): readonly string[] {
  const chains = [...allRuns(node)]
    .map(({ account }) => account?.chain ?? [])
    .filter((chain) => !isFenced(chain))
    .sort((a, b) => Number(isGivenUp(a)) - Number(isGivenUp(b)));
  return [...new Set(chains.flatMap((chain) => chain.flatMap(({ step }) => step ?? [])))];
}

/** What the host measured at the end says most; without it, the last step of each VM says whether the VM runs. */
function vmEnds(node: Node): VmEnd[] {
  const ends = new Map<string, VmEnd>();
  const runs = [...allRuns(node)].sort(
    (a, b) => (a.account?.closedMs ?? Infinity) - (b.account?.closedMs ?? Infinity),
  );
  for (const run of runs) {
    for (const end of [...seenInSteps(run), ...factsIn(run.account?.result)])
      ends.set(end.vmId, end);
  }
  return [...ends.values()].sort((a, b) => a.vmId.localeCompare(b.vmId));
}

function factsIn(result: unknown): VmEnd[] {
  const vms = field(result, 'vms');
  const told: { readonly vmId: unknown; readonly facts: unknown }[] = Array.isArray(vms)
    ? vms.map((vm: unknown) => ({ vmId: field(vm, 'vmId'), facts: field(vm, 'facts') }))
    : [{ vmId: field(result, 'vmId'), facts: field(field(result, 'vm'), 'facts') }];
  return told.flatMap(({ vmId, facts }) => {
    const [name, running] = [textOf(vmId), field(facts, 'running')];
    if (name === null || typeof running !== 'boolean') return [];
    const path = textOf(field(facts, 'path'));
    return [{ vmId: name, running, path, stackVersion: textOf(field(facts, 'stackVersion')) }];
  });
}

function seenInSteps({ account }: NodeRun): VmEnd[] {
  const vmId = textOf(field(account?.input, 'vmId'));
  const last = account?.steps.findLast(({ darkForMs }) => darkForMs !== null);
  if (vmId === null || last === undefined) return [];
  return [{ vmId, running: last.darkForMs === 0, path: null, stackVersion: null }];
}

/** Whether both came to the same end: outcome, failure, failed step, and every VM of which both tell. */
export function isSameEnd(a: RunEnd, b: RunEnd): boolean {
  return (
    a.outcome === b.outcome &&
    a.detail === b.detail &&
    a.failure?.type === b.failure?.type &&
    failsAt(a, b.failure?.step) &&
    failsAt(b, a.failure?.step) &&
    a.vms.every((vm) => {
      const other = b.vms.find(({ vmId }) => vmId === vm.vmId);
      return other === undefined || isSameVm(vm, other);
    })
  );
}

const failsAt = ({ failure, failedSteps }: RunEnd, step: string | null | undefined): boolean =>
  failure?.step === step || (step != null && failedSteps.includes(step));

const isSameVm = (a: VmEnd, b: VmEnd): boolean =>
  (['running', 'path', 'stackVersion'] as const).every(
    (what) => a[what] === null || b[what] === null || a[what] === b[what],
  );

/** `failed with SaveUndone at saveVm`, `completed (saved)`. */
export function endInWords({ outcome, detail, failure }: RunEnd): string {
  if (failure !== null && outcome === 'failed') return `failed with ${failureInWords(failure)}`;
  if (outcome === 'open') return 'did not end in time';
  return detail === null ? outcome : `${outcome} (${detail})`;
}

export const failureInWords = ({ type, step }: NonNullable<RunEnd['failure']>): string =>
  step === null ? type : `${type} at ${step}`;

/** `runs on stack 1.0.0, VF kept`. */
export function vmInWords({ running, path, stackVersion }: VmEnd): string {
  const where = stackVersion === null ? '' : ` on stack ${stackVersion}`;
  const how = path === null ? '' : `, ${path}`;
  return running === null ? `unknown${how}` : `${running ? 'runs' : 'is dark'}${where}${how}`;
}
