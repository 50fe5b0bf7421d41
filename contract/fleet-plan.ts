import type { HostSurvey } from './host';
import type { FleetHost } from './fleet-results';

/** What a host answered before the plan was made, or that it did not. */
export type Surveyed = HostSurvey | { readonly hostId: string; readonly unreachable: string };

/** What a run keeps of its plan in its own state; the plan itself lies in the orchestrator's fleet store. */
export interface PlanSummary {
  readonly planned: number;
  readonly refused: number;
  /** Of the refused: those that run the version already. */
  readonly upToDate: number;
  readonly waves: readonly {
    readonly number: number;
    readonly canary: boolean;
    readonly hosts: number;
  }[];
}

/** A host of a wave, as much as it takes to decide when it may start. */
export interface WaveHost {
  readonly hostId: string;
  readonly faultDomain: string;
  readonly availabilityGroups: readonly string[];
  readonly notBeforeMs?: number;
  readonly migrateTo?: readonly string[];
}

/** What is kept of a host that is done, with its place in the order in which hosts were done. */
export interface KeptHost extends FleetHost {
  readonly order: number;
}

/** Whether hosts may start, and until when that answer is good, ms since 1970. */
export interface WindowState {
  readonly open: boolean;
  /** Open: no host starts after it, since it would not fit. Closed: the next moment at which hosts may start. */
  readonly untilMs: number;
  /** The same in words, in the time zone of the window. */
  readonly detail: string;
}

/** What webhooks are told of. */
export const FLEET_EVENTS = ['started', 'waiting', 'paused', 'failure', 'ended'] as const;
export interface FleetEvent {
  readonly event: (typeof FLEET_EVENTS)[number];
  readonly workflowId: string;
  readonly runId: string;
  /** In words. */
  readonly message: string;
}
