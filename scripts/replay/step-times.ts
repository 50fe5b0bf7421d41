import type { Step } from './steps';

/** A step, with when its host was at it; ms since 1970, null where the history does not tell. */
export interface TimedStep {
  readonly step: Step;
  readonly beganMs: number | null;
  readonly endedMs: number | null;
}

/**
 * When the steps of some runs were performed. Steps that were issued together are answered together, once the VM runs again,
 * so their times come from the clock of their host. The answer that came soonest sets that clock against the server's: give
 * all runs together whose steps are to be compared.
 */
export function timedSteps(
  runs: readonly { readonly steps: readonly Step[] }[],
): readonly TimedStep[] {
  const zeros = clockZeros(runs.flatMap(({ steps }) => steps));
  return runs.flatMap(({ steps }) => {
    const timed: TimedStep[] = [];
    for (const step of steps) timed.push(timedStep(step, zeros, timed.at(-1)));
    return timed;
  });
}

/** When the clock of each host stood at 0, at the latest. */
function clockZeros(steps: readonly Step[]): ReadonlyMap<string | null, number> {
  const zeros = new Map<string | null, number>();
  for (const { hostId, hostTimeMs, closedMs } of steps) {
    if (hostTimeMs === null || closedMs === null) continue;
    zeros.set(hostId, Math.min(zeros.get(hostId) ?? Infinity, closedMs - hostTimeMs));
  }
  return zeros;
}

function timedStep(
  step: Step,
  zeros: ReadonlyMap<string | null, number>,
  before: TimedStep | undefined,
): TimedStep {
  const { hostId, list, scheduledMs, startedMs, closedMs, hostTimeMs, hostMs } = step;
  const zero = zeros.get(hostId);
  // Of a host that was restarted the clock began anew: no step is done before it is asked for.
  const notBefore = (ms: number) => Math.max(ms, scheduledMs ?? ms);
  if (zero !== undefined && hostTimeMs !== null) {
    const endedMs = notBefore(zero + hostTimeMs);
    return { step, beganMs: notBefore(endedMs - (hostMs ?? 0)), endedMs };
  }
  // The turn of a step of a list comes when the one ahead of it has ended.
  const turnMs = list?.after == null ? startedMs : (before?.endedMs ?? null);
  const beganMs = startedMs === null || turnMs === null ? null : Math.max(startedMs, turnMs);
  return { step, beganMs, endedMs: closedMs };
}
