import { HoldfastError } from '../../contract/failures';
import type { FaultKind } from '../../contract/faults';
import type { LatencyProfile } from './latency';
import type { HostState, ServicingState } from './state';
import type { HostStore } from './store';

/** What a step of a host works with beside the host itself. */
export interface Around {
  readonly store: HostStore;
  readonly profile: LatencyProfile;
  /** The fault that this attempt meets. */
  readonly fault: FaultKind | undefined;
  readonly nowMs: number;
}

/** How one step of a host is performed. Intent and result are the same for all; this is what differs. */
export interface HostOperation {
  /** It uses the profile's time itself. */
  readonly ownLatency?: true;
  /** Tells the host that the step waits; repeated by every attempt. */
  arrive?(host: HostState, around: Around): void;
  /** Whether the answer may go out; one that nobody needs in a blackout would only cost it time. */
  answerable?(host: HostState): boolean;
  /** Whether its time has come; throws when it never will. */
  ready?(host: HostState): boolean;
  /** Why there is nothing to do, if so; throws when an earlier attempt failed for good. */
  notApplicable?(host: HostState): string | undefined;
  inPlace(host: HostState): boolean;
  /** Before the simulated time passes. */
  begin?(host: HostState, around: Around): void;
  /** One atomic change of the host. */
  effect(host: HostState, around: Around): Readonly<Record<string, unknown>>;
  /**
   * Sees what the effect has come to, and may take it back: a change of its own, since the process may die before it.
   * Answers why the step failed for good, if it did.
   */
  observe?(host: HostState, around: Around): HoldfastError | undefined;
}

export function servicingOf(host: HostState): ServicingState {
  if (host.servicing === null) {
    throw new HoldfastError('Refused', `Host ${host.hostId} has no servicing run.`);
  }
  return host.servicing;
}
