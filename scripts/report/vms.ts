import { toMs } from '../../contract/durations';
import { serviceHostInput, type Mode } from '../../contract/inputs';
import type { Path } from '../../contract/results';
import { z } from '../../contract/zod';
import type { Account } from '../replay/account';
import { runsOf, type Node } from '../replay/tree';
import {
  asInput,
  asLease,
  asRestoreResult,
  type Facts,
  type HostResult,
  type InjectedFault,
} from './results';
import { timelineOf, type Timeline } from './timeline';

/** An event of a run: where a number comes from. */
export interface Origin {
  readonly workflowId: string;
  readonly runId: string;
  readonly eventId: number;
}

/** A VM in the servicing of its host, or in a save or restore on its own. Null: the histories do not tell. Times in ms. */
export interface VmReport {
  readonly hostId: string | null;
  readonly vmId: string;
  readonly mode: Mode | null;
  readonly path: Path | null;
  readonly pathReason: string | null;
  /** What its worker process said that it is, afterwards. */
  readonly stackVersion: string | null;
  readonly identity: Pick<Facts, 'identityBefore' | 'identityAfter'> | null;
  readonly blackout: Blackout | null;
  readonly vfOutageMs: number | null;
  readonly budgetMs: number | null;
  readonly withinBudget: boolean | null;
  /** Where the result stands from which path and VF outage are. */
  readonly origin: Origin | null;
  /** Of its save and restore, oldest first, as far as they are there. */
  readonly runs: readonly Account[];
  readonly faults: readonly InjectedFault[];
  readonly timeline: Timeline;
}

export interface Blackout {
  readonly ms: number;
  /** False: it was dark at least this long. */
  readonly ended: boolean;
  readonly origin: Origin;
}

/** What the servicing run of its host says of its VMs. */
interface Servicing {
  readonly account: Account;
  readonly result: HostResult | null;
}

const isOfVm = ({ last }: Node): boolean =>
  last.account?.type === 'fastSave' || last.account?.type === 'fastRestore';

/** VMs of the runs below a servicing run, or beside none; in the order of their names. */
export function vmsOf(nodes: readonly Node[], servicing: Servicing | null): VmReport[] {
  const runs = new Map<string, Account[]>();
  for (const { vmId } of servicing?.result?.vms ?? []) runs.set(vmId, []);
  for (const node of nodes.filter(isOfVm)) {
    for (const { account } of runsOf(node)) {
      if (account === null) continue;
      const vmId = asInput(account.input).vmId ?? account.workflowId;
      runs.set(vmId, [...(runs.get(vmId) ?? []), account]);
    }
  }
  return [...runs]
    .map(([vmId, its]) => vmReport(vmId, its, servicing))
    .sort((a, b) => a.vmId.localeCompare(b.vmId, 'en', { numeric: true }));
}

function vmReport(
  vmId: string,
  unsorted: readonly Account[],
  servicing: Servicing | null,
): VmReport {
  const runs = [...unsorted].sort((a, b) => (a.startedMs ?? 0) - (b.startedMs ?? 0));
  const serviced = servicing?.result?.vms.find((vm) => vm.vmId === vmId);
  const restored = runs.flatMap((run) => {
    const result = asRestoreResult(run.result);
    return result === null ? [] : [{ run, result }];
  })[0];
  const facts = serviced?.facts ?? restored?.result.vm ?? null;
  const told = serviced === undefined ? restored?.run : servicing?.account;
  const lease = leaseOf(runs);
  const faults = faultsOf(vmId, runs, servicing);
  return {
    hostId: asInput((servicing?.account ?? runs[0])?.input).hostId,
    vmId,
    mode: serviced?.mode ?? restored?.result.mode ?? lease?.mode ?? null,
    path: facts?.path ?? pathIn(runs),
    pathReason: facts?.pathReason ?? null,
    stackVersion: facts?.stackVersion ?? null,
    identity: facts,
    blackout: blackoutOf(facts, runs, servicing),
    vfOutageMs: facts?.vfOutageMs ?? null,
    budgetMs: lease?.blackoutBudgetMs ?? budgetIn(servicing),
    withinBudget: facts?.withinBudget ?? null,
    origin: told === undefined ? null : endOf(told),
    runs,
    faults,
    timeline: timelineOf(runs, faults, servicing?.account.closedMs ?? null),
  };
}

/** What a run that failed says without a result: an undone save left the VM as it was. */
function pathIn(runs: readonly Account[]): Path | null {
  const details = runs.map(({ detail }) => detail);
  if (details.includes('VmStranded')) return 'stranded';
  return details.includes('SaveUndone') ? 'kept' : null;
}

/** What the host answered the runs that took the VM. */
const leaseOf = (runs: readonly Account[]) =>
  runs
    .flatMap(({ steps }) => steps)
    .flatMap(({ answer }) => asLease(answer) ?? [])
    .at(-1)?.settings ?? null;

/** As the host's run was told, or by default. */
function budgetIn(servicing: Servicing | null): number | null {
  const { data } = z.safeParse(serviceHostInput, servicing?.account.input);
  return data === undefined ? null : toMs(data.blackoutBudget);
}

/** Those of the input that are for this VM: a run of its own need not name it. */
const faultsOf = (vmId: string, runs: readonly Account[], servicing: Servicing | null) => [
  ...asInput(servicing?.account.input).faults.filter((fault) => fault.vmId === vmId),
  ...runs
    .flatMap(({ input }) => asInput(input).faults)
    .filter((fault) => fault.vmId === null || fault.vmId === vmId),
];

/** By the host's clock: from the step that ended it, where its history is there, or from the result. */
function blackoutOf(
  facts: Facts | null,
  runs: readonly Account[],
  servicing: Servicing | null,
): Blackout | null {
  const dark = runs.flatMap((run) =>
    run.steps
      .filter(({ blackoutMs, darkForMs }) => (blackoutMs ?? 0) > 0 || (darkForMs ?? 0) > 0)
      .map((step) => ({ step, origin: { ...runRef(run), eventId: step.eventId } })),
  );
  const resumed = dark.findLast(({ step }) => step.blackoutMs !== null);
  if (facts !== null && facts.blackoutMs > 0) {
    const told = runs.find(({ result }) => asRestoreResult(result) !== null) ?? servicing?.account;
    const origin = resumed?.origin ?? (told === undefined ? null : endOf(told));
    return origin === null ? null : { ms: facts.blackoutMs, ended: facts.running, origin };
  }
  if (facts !== null) return null;
  if (resumed?.step.blackoutMs != null)
    return { ms: resumed.step.blackoutMs, ended: true, origin: resumed.origin };
  const longest = dark.reduce<(typeof dark)[number] | null>(
    (most, each) => ((each.step.darkForMs ?? 0) > (most?.step.darkForMs ?? 0) ? each : most),
    null,
  );
  return longest === null
    ? null
    : { ms: longest.step.darkForMs ?? 0, ended: false, origin: longest.origin };
}

const runRef = ({ workflowId, runId }: Account) => ({ workflowId, runId: runId ?? '' });
export const endOf = (run: Account): Origin => ({ ...runRef(run), eventId: run.lastEventId });
