import { proxyActivities } from '@temporalio/workflow';
import type { FleetActivities } from '../../activities/fleet/fleet-activities';
import { HOLDFAST_QUEUE } from '../../contract/queues';

/** What the orchestrator keeps and reads for a fleet update. */
export const fleet = proxyActivities<FleetActivities>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '60s',
  scheduleToCloseTimeout: '10m',
  retry: { initialInterval: '200ms', maximumInterval: '5s' },
});

/** A webhook that does not answer is given up after two minutes: it must not hold a fleet up. */
export const { notify } = proxyActivities<Pick<FleetActivities, 'notify'>>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '2m',
  retry: { initialInterval: '1s', maximumInterval: '15s' },
});

/** One look at an address; the probe itself says what a missing answer means. */
export const probes = proxyActivities<Pick<FleetActivities, 'probeHttp' | 'probePrometheus'>>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '60s',
});

/** Hosts that one child asks; histories of all of them together would be too large for the fleet's own. */
export const HOSTS_PER_CHILD = 50;

export function batches<T>(items: readonly T[], size = HOSTS_PER_CHILD): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
