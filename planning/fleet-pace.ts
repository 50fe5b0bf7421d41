import type { WaveHost } from '../contract/fleet-plan';

/** How fast a wave may go at this moment. */
export interface Pace {
  /** Hosts in flight at a time, at least 1. */
  readonly concurrency: number;
  readonly ramp: boolean;
  /** Hosts of this wave that are updated. */
  readonly succeeded: number;
  /** Hosts of one fault domain in flight at a time. */
  readonly perFaultDomain: number;
  /** Hosts with a VM of one availability group in flight at a time. */
  readonly perAvailabilityGroup: number;
  /** Ms since 1970. */
  readonly nowMs: number;
}

/**
 * How many hosts may be in flight. With a ramp one at first, and twice as many whenever as many as were allowed have
 * succeeded: one, two after 1, four after 3, eight after 7, …
 */
export function allowedInFlight({
  concurrency,
  ramp,
  succeeded,
}: Pick<Pace, 'concurrency' | 'ramp' | 'succeeded'>): number {
  if (!ramp) return concurrency;
  return Math.min(concurrency, 2 ** (31 - Math.clz32(succeeded + 1)));
}

/** The hosts that may start now, in their order; a host that may not is passed over, so that it holds no other up. */
export function startable(
  waiting: readonly WaveHost[],
  inFlight: readonly WaveHost[],
  pace: Pace,
): WaveHost[] {
  const started: WaveHost[] = [];
  const domains = counted(inFlight.map((host) => host.faultDomain));
  const groups = counted(inFlight.flatMap((host) => host.availabilityGroups));
  let places = allowedInFlight(pace) - inFlight.length;
  for (const host of waiting) {
    if (places <= 0) break;
    if ((host.notBeforeMs ?? 0) > pace.nowMs) continue;
    if (domains.of(host.faultDomain) >= pace.perFaultDomain) continue;
    if (host.availabilityGroups.some((g) => groups.of(g) >= pace.perAvailabilityGroup)) continue;
    started.push(host);
    domains.add(host.faultDomain);
    host.availabilityGroups.forEach(groups.add);
    places -= 1;
  }
  return started;
}

function counted(names: readonly string[]) {
  const counts = new Map<string, number>();
  const of = (name: string) => counts.get(name) ?? 0;
  const add = (name: string) => void counts.set(name, of(name) + 1);
  names.forEach(add);
  return { of, add };
}

/** Exactly: more failures than the limit stop the run; as many as the limit do not. In a canary wave the limit is 0. */
export const stopsRun = (failures: number, limit: number, canary: boolean): boolean =>
  failures > (canary ? 0 : limit);
