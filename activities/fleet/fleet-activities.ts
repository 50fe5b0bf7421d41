import type { MaintenanceWindow, UpdateFleetSettings } from '../../contract/fleet-input';
import type {
  FleetEvent,
  KeptHost,
  PlanSummary,
  Surveyed,
  WaveHost,
  WindowState,
} from '../../contract/fleet-plan';
import type {
  Finding,
  FleetHostOutcome,
  FleetPlan,
  FleetResult,
} from '../../contract/fleet-results';

type HttpProbe = UpdateFleetSettings['health']['http'][number];
type PrometheusProbe = UpdateFleetSettings['health']['prometheus'][number];

/**
 * What a fleet update needs beside the hosts. A run's inventory, surveys, plan and finished hosts are kept in the
 * orchestrator's fleet store under `planId`, so that no history has to carry them.
 */
export interface FleetActivities {
  /**
   * Checks what needs the inventory, the time zones or the environment, and keeps the selection; answers the hosts in
   * their order. Fails with `InvalidInput`, `EmptySelection` or `TooManyHosts`: each names all that is wrong.
   */
  selectHosts(planId: string, settings: UpdateFleetSettings): Promise<readonly string[]>;
  keepSurveys(planId: string, surveys: readonly Surveyed[]): Promise<void>;
  /** Makes the plan from what was kept. Repeated, it answers the same plan. */
  planFleet(planId: string, settings: UpdateFleetSettings): Promise<PlanSummary>;
  /** The whole plan. Fails with `PlanTooLarge` above 1.5 MB. */
  readPlan(planId: string): Promise<FleetPlan>;
  /** The hosts of a wave that are not done, in their order. */
  readWave(planId: string, wave: number): Promise<readonly WaveHost[]>;
  /** Keeps what became of hosts; the latest word on a host counts. */
  keepHosts(planId: string, hosts: readonly KeptHost[]): Promise<void>;
  /** Where the plan has a host and what became of it so far (null: nothing yet); null if it is not planned. */
  findHost(
    planId: string,
    hostId: string,
  ): Promise<{ readonly wave: number; readonly outcome: FleetHostOutcome | null } | null>;
  /** Amends what is kept of hosts that a health gate found unhealthy after their update. */
  markUnhealthy(
    planId: string,
    hosts: readonly { readonly hostId: string; readonly reason: string }[],
  ): Promise<void>;
  /** Hosts that run the new version because of this run, latest first: the order in which a roll-back takes them. */
  readUpdated(planId: string): Promise<readonly (WaveHost & { readonly versionBefore: string })[]>;
  /**
   * What became of every planned host (`notStarted` if nothing did), and the refused ones, by wave and place. Of more
   * than 2,000 hosts only 2,000 are listed, those that are not `updated` before the others; all are counted. Of the
   * refused at most 500.
   */
  readHosts(
    planId: string,
  ): Promise<Pick<FleetResult, 'counts' | 'hosts' | 'refused' | 'longestBlackoutMs'>>;
  checkWindow(window: MaintenanceWindow): Promise<WindowState>;
  /** Posts to one webhook, signed; `id` is the same for every attempt. Retryable until the webhook answers 2xx. */
  notify(url: string, id: string, event: FleetEvent): Promise<void>;
  probeHttp(probe: HttpProbe): Promise<Finding>;
  probePrometheus(probe: PrometheusProbe): Promise<Finding>;
}
