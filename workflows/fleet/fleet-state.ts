import type { PlanSummary, WaveHost } from '../../contract/fleet-plan';
import type { FleetOutcome, GateDecision, Intervention } from '../../contract/fleet-results';
import type { Bake } from '../../planning/fleet-health';

/** Parts of a wave, in their order. */
export type Part = 'approval' | 'before' | 'update' | 'bake' | 'after';
export type Ending = Exclude<FleetOutcome, 'updated' | 'incomplete'> | 'cancelled';
type FailedHost = WaveHost & { readonly wave: number; readonly reason: string };

/** All that a run carries when it continues as new. The plan, and what became of each host, lie in the fleet store. */
export interface FleetState {
  readonly planId: string;
  readonly plan: PlanSummary;
  wave: number;
  /** Parts of the wave that are over. */
  passed: Part[];
  readonly tally: { updated: number; failed: number; leftOut: number }[];
  /** Updated in this wave: whom its bake looks at. */
  updatedInWave: string[];
  /** Failures that count, and how many of them a person has accepted by resuming. */
  failed: FailedHost[];
  accepted: number;
  /** Failed hosts that a person wants tried again; and all for which that was ever so. */
  retry: WaveHost[];
  retried: string[];
  skips: string[];
  finished: number;
  paused: { readonly by: string; readonly reason: string } | null;
  ending: { readonly outcome: Ending; readonly reason: string } | null;
  concurrency: number | null;
  approved: number[];
  looks: number;
  /** Events that webhooks were told of. */
  told: number;
  /** How far the bake of this wave has got. */
  bake: { settledAtMs: number | null; looks: number; standing: Bake | null };
  longestBlackoutMs: number | null;
  decisions: GateDecision[];
  interventions: Intervention[];
  undelivered: string[];
}

export const NO_BAKE = { settledAtMs: null, looks: 0, standing: null } as const;

export const firstState = (planId: string, plan: PlanSummary): FleetState => ({
  planId,
  plan,
  wave: 0,
  passed: [],
  tally: plan.waves.map(() => ({ updated: 0, failed: 0, leftOut: 0 })),
  updatedInWave: [],
  failed: [],
  accepted: 0,
  retry: [],
  retried: [],
  skips: [],
  finished: 0,
  paused: null,
  ending: null,
  concurrency: null,
  approved: [],
  looks: 0,
  told: 0,
  bake: NO_BAKE,
  longestBlackoutMs: null,
  decisions: [],
  interventions: [],
  undelivered: [],
});
