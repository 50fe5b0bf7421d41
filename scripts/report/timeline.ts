import type { VmPhase } from '../../contract/host';
import type { Account } from '../replay/account';
import { hasFailed, type Step } from '../replay/steps';
import { vmMoments, type VmMoment, type VmState } from '../replay/vm-states';
import type { InjectedFault } from './results';

/** For how long something was so; ms since 1970. */
export interface Span<What> {
  readonly what: What;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A step that did not just succeed; `fault`: it did, but was to meet one. */
export interface Mark {
  readonly kind: 'retried' | 'failed' | 'fault';
  readonly atMs: number;
  readonly step: string;
  /** Null where the history does not tell. */
  readonly attempts: number | null;
  /** Of the fault that the input asked for at this step; null where it asked for none. */
  readonly fault: string | null;
}

/** A VM over time, as the steps of its runs tell it; all empty where no step says when it was. */
export interface Timeline {
  readonly phases: readonly Span<VmPhase>[];
  readonly paths: readonly Span<VmState['path']>[];
  readonly dark: readonly Dark[];
  readonly marks: readonly Mark[];
  /** What the VM was after each step that changed it. */
  readonly changes: ReadonlyMap<Step, VmState>;
}

export interface Dark extends Span<'dark'> {
  /** False where it was still dark when its runs ended. */
  readonly ended: boolean;
}

export function timelineOf(
  runs: readonly Account[],
  faults: readonly InjectedFault[],
  untilMs: number | null,
): Timeline {
  const moments = timed(vmMoments(runs));
  const spans = spansUntil(untilMs ?? -Infinity, moments);
  return {
    phases: spans(({ phase }) => phase),
    paths: spans(({ path }) => path),
    dark: darkSpans(moments),
    marks: moments.flatMap((moment) => markOf(moment, faults)),
    changes: changesIn(moments),
  };
}

interface TimedMoment extends VmMoment {
  readonly atMs: number;
}

/** When each state began. A step that did not tell when it ended is taken to have ended at once; none ends before the one before it. */
function timed(moments: readonly VmMoment[]): TimedMoment[] {
  let latest = -Infinity;
  return moments.flatMap((moment) => {
    const at = moment.endedMs ?? moment.step.scheduledMs;
    if (at === null) return [];
    latest = Math.max(latest, at);
    return [{ ...moment, atMs: latest }];
  });
}

/** What the VM was, from the end of its first step on. */
const spansUntil =
  (untilMs: number, moments: readonly TimedMoment[]) =>
  <What>(of: (state: VmState) => What): Span<What>[] => {
    const all: Span<What>[] = [];
    for (const [index, { after, atMs }] of moments.entries()) {
      const what = of(after);
      const next = moments[index + 1]?.atMs;
      const toMs = next ?? (after.phase === 'running' ? Math.max(atMs, untilMs) : atMs);
      const last = all.at(-1);
      if (last?.what === what) all[all.length - 1] = { ...last, toMs };
      else all.push({ what, fromMs: atMs, toMs });
    }
    return all.filter(({ fromMs, toMs }) => toMs > fromMs);
  };

function changesIn(moments: readonly TimedMoment[]): Map<Step, VmState> {
  const changed = moments.filter(({ after }, index) => {
    const before = moments[index - 1]?.after;
    return before?.phase !== after.phase || before.path !== after.path;
  });
  return new Map(changed.map(({ step, after }) => [step, after]));
}

function darkSpans(moments: readonly TimedMoment[]): Dark[] {
  const all: Dark[] = [];
  let sinceMs: number | null = null;
  for (const { after, atMs } of moments) {
    if (after.darkForMs > 0) sinceMs ??= atMs - after.darkForMs;
    else if (sinceMs !== null) {
      all.push({ what: 'dark', fromMs: sinceMs, toMs: atMs, ended: true });
      sinceMs = null;
    }
  }
  const last = moments.at(-1);
  if (sinceMs !== null && last !== undefined)
    all.push({ what: 'dark', fromMs: sinceMs, toMs: last.atMs, ended: false });
  return all;
}

function markOf({ step, atMs }: TimedMoment, faults: readonly InjectedFault[]): Mark[] {
  const fault = faults.find((f) => f.step === step.name)?.kind ?? null;
  const isRetried = (step.attempts ?? 1) > 1;
  if (!hasFailed(step) && !isRetried && fault === null) return [];
  const kind = hasFailed(step) ? 'failed' : isRetried ? 'retried' : 'fault';
  return [{ kind, atMs, step: step.name, attempts: step.attempts, fault }];
}
