import type { Account } from './account';
import { timedSteps, type TimedStep } from './step-times';
import { isNotReached, type Step } from './steps';
import { field, textOf } from './values';
import { allRuns, firstFailure, type Node } from './tree';
import { vmMoments, type VmState } from './vm-states';

interface Vm {
  readonly hostId: string;
  readonly vmId: string;
}

/** One thing that happened in a tree of runs. */
export interface Stop {
  readonly account: Account;
  readonly eventId: number;
  /** When it ended, ms since 1970. */
  readonly atMs: number | null;
  readonly what: string;
  readonly outcome: string;
  /** The step, where it is one. */
  readonly timed: TimedStep | null;
  /** The VM that its run is of; null for a run of a host or a fleet. */
  readonly vm: Vm | null;
  /** What the VM is from here on, where a step told. */
  readonly after: VmState | null;
}

export interface Walk {
  readonly stops: readonly Stop[];
  /** The index of the end of the run in which it all began; null where nothing failed. */
  readonly firstFailure: number | null;
}

/** All that happened in a tree, by the time at which it ended: starts and ends of runs, steps, and what else they saw. */
export function walkOf(node: Node): Walk {
  const accounts = [...allRuns(node)].flatMap(({ account }) => account ?? []);
  const after = statesAfter(accounts);
  const timed = new Map(timedSteps(accounts).map((each) => [each.step, each]));
  const stops = accounts.flatMap((account) => stopsOf(account, timed, after));
  // Sorting is stable: what ended at one time stays in the order of the history.
  stops.sort((a, b) => (a.atMs ?? Infinity) - (b.atMs ?? Infinity));
  const first = firstFailure(node);
  const at = stops.findLastIndex(({ account }) => account === first);
  return { stops, firstFailure: at === -1 ? null : at };
}

function vmOf({ input }: Account): Vm | null {
  const [hostId, vmId] = [textOf(field(input, 'hostId')), textOf(field(input, 'vmId'))];
  return hostId === null || vmId === null ? null : { hostId, vmId };
}

function statesAfter(accounts: readonly Account[]): ReadonlyMap<Step, VmState> {
  const byVm = new Map<string, Account[]>();
  for (const account of accounts) {
    const vm = vmOf(account);
    if (vm === null) continue;
    const key = `${vm.hostId}/${vm.vmId}`;
    byVm.set(key, [...(byVm.get(key) ?? []), account]);
  }
  return new Map(
    [...byVm.values()].flatMap((its) =>
      vmMoments(its).map(({ step, after }): [Step, VmState] => [step, after]),
    ),
  );
}

function stopsOf(
  account: Account,
  times: ReadonlyMap<Step, TimedStep>,
  states: ReadonlyMap<Step, VmState>,
): Stop[] {
  const { type, workflowId, input, startedMs, closedMs, outcome, detail } = account;
  const steps = account.steps.filter((step) => !isNotReached(step));
  const [why] = account.chain;
  const about = { account, vm: vmOf(account), timed: null, after: null };
  const began: Stop = {
    ...about,
    eventId: 1,
    atMs: startedMs,
    what: `${type} begins`,
    outcome: `input ${JSON.stringify(input ?? null)}`,
  };
  const ended: Stop = {
    ...about,
    eventId: account.lastEventId,
    atMs: closedMs,
    what: `${type} ends`,
    outcome: `${outcome}${detail === null ? '' : ` (${detail})`}${why === undefined ? '' : `: ${why.message}`}`,
  };
  const between: Stop[] = [
    ...steps.map((step): Stop => ({
      ...about,
      eventId: step.eventId,
      atMs: times.get(step)?.endedMs ?? step.scheduledMs,
      what: step.name,
      outcome: step.reason === null ? step.status : `${step.status}: ${step.reason}`,
      timed: times.get(step) ?? null,
      after: states.get(step) ?? null,
    })),
    ...account.happenings.map((happening): Stop => ({ ...about, ...happening })),
  ];
  between.sort((a, b) => a.eventId - b.eventId);
  const isOpen = closedMs === null;
  const shown = isOpen
    ? { ...ended, what: `${type} ${workflowId} is open where its history ends` }
    : ended;
  return [began, ...between, shown];
}
