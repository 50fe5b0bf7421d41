import { HOST_STEPS } from '../../contract/steps';
import type { Account } from '../replay/account';
import { timedSteps, type TimedStep } from '../replay/step-times';
import { runsOf, type Node, type NodeRun } from '../replay/tree';
import {
  asDescription,
  asFleetResult,
  asHostResult,
  asInput,
  type Allowance,
  type Description,
  type HostResult,
  type RecordedFleetHost,
} from './results';
import type { Span } from './timeline';
import { vmsOf, type VmReport } from './vms';

/** One servicing of a host; a host that was taken back has two. */
export interface HostReport {
  readonly hostId: string;
  /** Of the fleet's run; null outside one, and where it does not tell. */
  readonly wave: number | null;
  readonly outcome: string;
  readonly reason: string | null;
  /** `1.0.0 → 2.0.0`; null where it is not known. */
  readonly versions: string | null;
  /** Null where the host's run was never started, or its history is not there. */
  readonly run: Account | null;
  /** The host's run by its ids, where it is not there. */
  readonly runRef: { readonly workflowId: string; readonly runId: string } | null;
  readonly result: HostResult | null;
  readonly vms: readonly VmReport[];
  /** How many VMs it has, where their runs are not there. */
  readonly vmCount: number;
  readonly longestBlackoutMs: number | null;
  /** What was done on the host itself. */
  readonly steps: readonly Span<string>[];
  readonly allowance: { readonly of: Allowance; readonly description: Description } | null;
}

/** Every servicing below a run, in the order of waves and starts; then what the fleet's result knows of other hosts. */
export function hostsOf(node: Node): HostReport[] {
  const accounts = runsOf(node).flatMap(({ account }) => account ?? []);
  const fleet = asFleetResult(node.last.account?.result);
  const told = new Map((fleet?.hosts ?? []).map((host) => [host.hostId, host]));
  const there = runsOf(node).flatMap(({ children }) => children);
  const serviced =
    node.last.account?.type === 'serviceHost'
      ? [hostReport(node, undefined)]
      : there
          .filter(({ last }) => last.account?.type === 'serviceHost')
          .map((child) =>
            hostReport(child, told.get(asInput(child.last.account?.input).hostId ?? '')),
          );
  const known = new Set(serviced.map(({ hostId }) => hostId));
  const elsewhere = (fleet?.hosts ?? [])
    .filter(({ hostId }) => !known.has(hostId))
    .map((host) => fromFleet(host, accounts));
  return [...serviced, ...elsewhere, ...onlyStarted(accounts, known, told)].sort(
    (a, b) => (a.wave ?? Infinity) - (b.wave ?? Infinity) || startMs(a) - startMs(b),
  );
}

const startMs = ({ run }: HostReport): number => run?.startedMs ?? Number.MAX_SAFE_INTEGER;

function hostReport(node: Node, fleetHost: RecordedFleetHost | undefined): HostReport {
  const run = node.last.account;
  const result = asHostResult(run?.result);
  const vms = run === null ? [] : vmsOf(childrenOf(node), { account: run, result });
  const dark = vms.flatMap(({ blackout }) => blackout?.ms ?? []);
  return {
    hostId: asInput(run?.input).hostId ?? node.workflowId,
    wave: fleetHost?.wave ?? null,
    outcome: result?.outcome ?? (run === null ? 'not known' : outcomeOf(run)),
    reason: result?.reason ?? run?.chain[0]?.message ?? null,
    versions: result === null ? null : `${result.versionBefore}\u00a0→\u00a0${result.versionAfter}`,
    run,
    runRef: { workflowId: node.workflowId, runId: node.last.runId },
    result,
    vms,
    vmCount: vms.length,
    longestBlackoutMs: dark.length === 0 ? null : Math.max(...dark),
    steps: run === null ? [] : timedSteps([run]).flatMap(hostSpan),
    allowance: run === null ? null : allowanceOf(run),
  };
}

const childrenOf = (node: Node): Node[] =>
  runsOf(node).flatMap(({ children }: NodeRun) => children);

/** `failed (HostNotUpdated)`. */
export const outcomeOf = ({ outcome, detail }: Account): string =>
  detail === null ? outcome : `${outcome} (${detail})`;

const isHostStep = (name: string) => Object.hasOwn(HOST_STEPS, name);

const hostSpan = ({ step: { name }, beganMs, endedMs }: TimedStep): Span<string>[] =>
  isHostStep(name) && beganMs !== null && endedMs !== null
    ? [{ what: name, fromMs: beganMs, toMs: endedMs }]
    : [];

/** What the host said last of the blackouts of its VMs, if there is an allowance for them. */
function allowanceOf({ input, steps }: Account): HostReport['allowance'] {
  const of = asInput(input).blackoutAllowance;
  const description = steps.flatMap(({ answer }) => asDescription(answer) ?? []).at(-1);
  return of === null || description === undefined ? null : { of, description };
}

/** A host whose run is not there, as the fleet's result has it. */
function fromFleet(host: RecordedFleetHost, fleet: readonly Account[]): HostReport {
  const { hostId, wave, outcome, reason, versionBefore, versionAfter } = host;
  return {
    ...WITHOUT_RUN,
    hostId,
    wave,
    outcome,
    reason,
    versions:
      versionBefore === null || versionAfter === null
        ? null
        : `${versionBefore}\u00a0→\u00a0${versionAfter}`,
    runRef: startedRun(fleet, hostId),
    vmCount: host.vms,
    longestBlackoutMs: host.longestBlackoutMs,
  };
}

/** Hosts of a fleet without a result whose runs are not there either: what its history says of its children. */
const onlyStarted = (
  fleet: readonly Account[],
  known: ReadonlySet<string>,
  told: ReadonlyMap<string, RecordedFleetHost>,
): HostReport[] =>
  fleet
    .flatMap(({ children }) => children)
    .filter(({ type }) => type === 'serviceHost')
    .map(({ workflowId, runId, outcome }) => ({
      ...WITHOUT_RUN,
      hostId: hostIn(workflowId),
      outcome,
      runRef: runId === null ? null : { workflowId, runId },
    }))
    .filter(({ hostId }) => !known.has(hostId) && !told.has(hostId));

const hostIn = (workflowId: string): string => workflowId.replace(/^service-host\//, '');

function startedRun(fleet: readonly Account[], hostId: string): HostReport['runRef'] {
  const child = fleet
    .flatMap(({ children }) => children)
    .findLast(({ type, workflowId }) => type === 'serviceHost' && hostIn(workflowId) === hostId);
  return child?.runId == null ? null : { workflowId: child.workflowId, runId: child.runId };
}

const WITHOUT_RUN: HostReport = {
  hostId: '',
  wave: null,
  outcome: 'not known',
  reason: null,
  versions: null,
  run: null,
  runRef: null,
  result: null,
  vms: [],
  vmCount: 0,
  longestBlackoutMs: null,
  steps: [],
  allowance: null,
};
