import type { FleetControl } from './fleet-control';
import type { HostProbe } from './fleet-input';
import type { Update } from './inputs';
import type { HostOutcome, VmVerdict } from './results';

/** A host in its place. */
export interface PlannedHost {
  readonly hostId: string;
  readonly faultDomain: string;
  readonly availabilityGroups: readonly string[];
  /** Why it stands in this wave. */
  readonly reason: string;
  /** Not to be started before this moment, ms since 1970: the allowance of one of its VMs is spent. Absent: at any time. */
  readonly notBeforeMs?: number;
  /** Where its VMs go that cannot stay, the best host first. Absent: all stay. */
  readonly migrateTo?: readonly string[];
  readonly vms: readonly VmVerdict[];
}

export interface PlannedWave {
  /** From 1. */
  readonly number: number;
  readonly canary: boolean;
  readonly hosts: readonly PlannedHost[];
}

/** Why a host has no place. Only `upToDate` needs nobody to do anything. */
export const REFUSALS = [
  'upToDate',
  'unreachable',
  'empty',
  'quarantined',
  'blocked',
  'allowanceSpent',
] as const;
export interface RefusedHost {
  readonly hostId: string;
  readonly faultDomain: string;
  readonly why: (typeof REFUSALS)[number];
  readonly reason: string;
  readonly vms: readonly VmVerdict[];
}

export interface FleetPlan {
  readonly waves: readonly PlannedWave[];
  readonly refused: readonly RefusedHost[];
}

/** What `updateFleet` answers with `dryRun`. */
export interface FleetDryRun extends FleetPlan {
  readonly outcome: 'planned';
}

/**
 * What became of a planned host. Beyond the outcomes of a servicing run: `unhealthy`: a health gate found it so;
 * `unreachable`, `refused`: it was not touched; `busy`: another run holds it; `skipped`: a person said so;
 * `notStarted`: the run ended before its turn; `rolledBack`: updated, then taken back.
 */
export type FleetHostOutcome =
  | HostOutcome
  | 'unhealthy'
  | 'unreachable'
  | 'refused'
  | 'busy'
  | 'skipped'
  | 'notStarted'
  | 'rolledBack';

export interface FleetHost {
  readonly hostId: string;
  readonly wave: number;
  readonly outcome: FleetHostOutcome;
  /** Why it is not `updated`; at most 300 characters. */
  readonly reason: string | null;
  readonly versionBefore: string | null;
  readonly versionAfter: string | null;
  /** Of its VMs, by the host's clock, ms. */
  readonly longestBlackoutMs: number | null;
  readonly vms: number;
  /** VMs that came back with the same VF all along. */
  readonly vmsKept: number;
  /** VMs that run another version than the host had before. */
  readonly vmsUpdated: number;
}

export type HealthVerdict = 'healthy' | 'unhealthy' | 'inconclusive';
/** `before`: of the hosts of a wave, before it starts; `bake`: after it; `after`: of all updated hosts, at the end. */
export type Gate = 'before' | 'bake' | 'after';
export type ProbeName = HostProbe | 'http' | 'prometheus';

/** What one probe found, at one host or at one address. */
export interface Finding {
  readonly probe: ProbeName;
  /** The host, or the address. */
  readonly of: string;
  readonly verdict: HealthVerdict;
  readonly evidence: string;
}

/** What one look at a number of hosts came to. */
export interface HealthReport {
  readonly verdict: HealthVerdict;
  readonly probes: readonly {
    readonly probe: ProbeName;
    readonly healthy: number;
    readonly unhealthy: number;
    readonly inconclusive: number;
  }[];
  /** All that is not healthy, at most 100; where all is, one example of each probe. */
  readonly findings: readonly Finding[];
}

/** One decision of a health gate, with the evidence it was taken on. */
export interface GateDecision {
  readonly gate: Gate;
  readonly wave: number;
  /** ISO 8601. */
  readonly at: string;
  readonly verdict: HealthVerdict;
  readonly looks: number;
  readonly report: HealthReport;
}

/** One thing a person asked for, or that the run itself did to stop. */
export interface Intervention {
  readonly action: FleetControl | 'stop';
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly reason: string;
  readonly answer: string;
}

/** `updated`: every planned host. `incomplete`: it ended by itself, but hosts failed, were busy, skipped or refused. */
export type FleetOutcome = 'updated' | 'incomplete' | 'aborted' | 'failed' | 'rolledBack';

export interface FleetCounts {
  readonly planned: number;
  readonly updated: number;
  readonly failed: number;
  readonly skipped: number;
  readonly busy: number;
  readonly rolledBack: number;
  readonly notStarted: number;
}

export interface FleetResult {
  readonly outcome: FleetOutcome;
  readonly update: Update;
  /** Why it is not `updated`. */
  readonly reason: string | null;
  readonly counts: FleetCounts;
  readonly hosts: readonly FleetHost[];
  readonly refused: readonly RefusedHost[];
  readonly decisions: readonly GateDecision[];
  readonly interventions: readonly Intervention[];
  /** Webhook messages that could not be delivered. */
  readonly undelivered: readonly string[];
  readonly longestBlackoutMs: number | null;
}

/** What a run waits for before it goes on. */
export const WAITS = ['operator', 'approval', 'window', 'health', 'allowance', 'busyHost'] as const;
export interface Waiting {
  readonly for: (typeof WAITS)[number];
  /** In words, with the moment at which it ends if that is known. */
  readonly detail: string;
}

/** The answer to the query `progress`. */
export interface FleetProgress {
  readonly phase: 'planning' | 'updating' | 'rollingBack' | 'done';
  readonly waiting: Waiting | null;
  readonly paused: { readonly by: string; readonly reason: string } | null;
  /** The wave that is under way; 0 before the first. */
  readonly wave: number;
  readonly waves: readonly {
    readonly number: number;
    readonly hosts: number;
    readonly updated: number;
    readonly failed: number;
    /** Skipped, busy or refused when their turn came. */
    readonly leftOut: number;
  }[];
  readonly inFlight: readonly string[];
  readonly concurrency: number;
  readonly failures: readonly { readonly hostId: string; readonly reason: string }[];
  readonly failureLimit: number;
  readonly refused: number;
  readonly longestBlackoutMs: number | null;
}
