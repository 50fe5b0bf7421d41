import Table from 'cli-table3';
import type { VirtualFunctionIdentity } from '../contract/ids';
import {
  functionsOf,
  type Path,
  type ServiceHostResult,
  type ServicedVm,
} from '../contract/results';
import type { Mode } from '../contract/inputs';

interface BeforeAfter<T> {
  readonly before: T | null;
  readonly after: T | null;
}

/** The one document that `npm start -- --json` prints. Times in ms by the host's clock. */
export interface ServicingReport {
  readonly runId: string;
  /** 1 = the latencies of real hosts. */
  readonly timeScale: number;
  readonly hosts: readonly {
    readonly hostId: string;
    readonly outcome: string;
    readonly vms: readonly {
      readonly vmId: string;
      readonly mode: Mode;
      readonly path: Path;
      /** What its worker process is now. */
      readonly stackVersion: string;
      readonly vfId: BeforeAfter<number>;
      readonly luid: BeforeAfter<string>;
      readonly blackoutMs: number;
      readonly vfOutageMs: number;
      readonly guestVisibleEvents: number;
      readonly steps: readonly {
        readonly name: string;
        readonly ms: number;
        readonly attempts: number;
      }[];
    }[];
  }[];
  readonly forbiddenCommands: number;
  readonly invariants: { readonly checked: number; readonly violated: number };
}

/** How the run of one host ended: with a result, or without one when nothing was touched. */
export interface HostRun {
  readonly hostId: string;
  readonly result: ServiceHostResult | null;
  /** Why it is not a success, in the failure's own words. */
  readonly failure: string | null;
  /** False: the run ended, or left it out, before its turn. */
  readonly started: boolean;
}

const round = (ms: number) => Math.round(ms * 1000) / 1000;

export function servicingReport(
  runId: string,
  timeScale: number,
  runs: readonly HostRun[],
): ServicingReport {
  const results = runs.flatMap(({ result }) => (result === null ? [] : [result]));
  const sum = (of: (r: ServiceHostResult) => number) =>
    results.reduce((total, r) => total + of(r), 0);
  return {
    runId,
    timeScale,
    hosts: runs.map(({ hostId, result, started }) => ({
      hostId,
      outcome: result?.outcome ?? (started ? 'failed' : 'notStarted'),
      vms: (result?.vms ?? []).map(({ vmId, mode, facts, steps }) => ({
        vmId,
        mode,
        path: facts.path,
        stackVersion: facts.stackVersion,
        vfId: {
          before: facts.identityBefore?.vfId ?? null,
          after: facts.identityAfter?.vfId ?? null,
        },
        luid: {
          before: facts.identityBefore?.luid ?? null,
          after: facts.identityAfter?.luid ?? null,
        },
        blackoutMs: round(facts.blackoutMs),
        vfOutageMs: round(facts.vfOutageMs),
        guestVisibleEvents: facts.guestVisibleEvents,
        steps: steps.map(({ name, ms, attempts }) => ({ name, ms, attempts })),
      })),
    })),
    forbiddenCommands: sum((r) => r.forbiddenCommands),
    invariants: {
      checked: sum((r) => r.invariants.checked),
      violated: sum((r) => r.invariants.violated),
    },
  };
}

/** Only a run after which every host is updated, every VM runs and nothing was violated is a success. */
export const succeeded = (runs: readonly HostRun[]): boolean =>
  runs.every(
    ({ result }) =>
      result !== null &&
      (result.outcome === 'updated' || result.outcome === 'degraded') &&
      result.vms.every((vm) => vm.facts.running) &&
      result.invariants.violated === 0 &&
      result.forbiddenCommands === 0,
  );

/** For people: a table a host, and what it means in a sentence. */
export function servicingTable({ hostId, result, failure, started }: HostRun): string {
  if (result === null)
    return `${hostId}${started ? '' : ' was not started'}: ${failure ?? 'failed'}`;
  const table = new Table({
    head: ['VM', 'version', 'path', 'VF ID', 'LUID', 'blackout', 'VF outage', 'guest events'],
    colAligns: ['left', 'left', 'left', 'left', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const vm of result.vms) table.push(row(vm));
  const kept = result.vms.filter((vm) => vm.facts.path === 'kept').length;
  const change = `${result.component} ${result.versionBefore} → ${result.versionAfter}`;
  const longest = Math.max(...result.vms.map((vm) => vm.facts.blackoutMs));
  return [
    table.toString(),
    `${hostId} ${result.outcome}: ${change}; ${String(kept)} of ${String(result.vms.length)} VMs kept their VF; longest blackout ${time(longest)}; ` +
      `${String(result.invariants.checked)} invariant checks, ${String(result.invariants.violated)} violated; ${String(result.forbiddenCommands)} forbidden commands.`,
    ...(result.reason === null ? [] : [`Why: ${failure ?? result.reason}`]),
  ].join('\n');
}

function row({ vmId, facts }: ServicedVm): string[] {
  return [
    vmId,
    facts.stackVersion,
    facts.path,
    changes(facts, (vf) => vf?.vfId),
    changes(facts, (vf) => vf?.luid),
    time(facts.blackoutMs),
    time(facts.vfOutageMs),
    String(facts.guestVisibleEvents),
  ];
}

const changes = (
  facts: ServicedVm['facts'],
  of: (vf: VirtualFunctionIdentity | null) => string | number | undefined,
): string =>
  functionsOf(facts)
    .map(({ identityBefore, identityAfter }) => change(of(identityBefore), of(identityAfter)))
    .join(', ') || 'no VF';

const change = (before: string | number | undefined, after: string | number | undefined): string =>
  before === after
    ? `${String(before ?? '-')} =`
    : `${String(before ?? '-')} → ${String(after ?? '-')}`;

const time = (ms: number): string =>
  ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
