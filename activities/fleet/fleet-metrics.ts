import type { MetricMeter } from '@temporalio/common';
import type { FleetHostOutcome } from '../../contract/fleet-results';
import type { FleetActivities } from './fleet-activities';

const OUTCOMES: readonly FleetHostOutcome[] = [
  'updated',
  'degraded',
  'mixed',
  'notUpdated',
  'unhealthy',
  'unreachable',
  'rolledBack',
  'restarted',
  'stranded',
];

/** The same activities, with the hosts counted that fleet updates are done with, by what became of them. */
export function countedFleetActivities(
  activities: FleetActivities,
  meter: MetricMeter,
): FleetActivities {
  const hosts = meter.createCounter(
    'holdfast_fleet_hosts',
    '',
    'Hosts that fleet updates were done with, by outcome; one that is amended later counts again.',
  );
  // So that an alert on the rise of the first ones is not missed.
  for (const outcome of OUTCOMES) hosts.add(0, { outcome });
  return {
    ...activities,
    keepHosts: async (planId, kept) => {
      await activities.keepHosts(planId, kept);
      for (const { outcome } of kept) hosts.add(1, { outcome });
    },
    markUnhealthy: async (planId, unhealthy) => {
      await activities.markUnhealthy(planId, unhealthy);
      hosts.add(unhealthy.length, { outcome: 'unhealthy' });
    },
  };
}
