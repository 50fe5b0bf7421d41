import type { HostActivities } from '../../activities/host-activities';
import type { Surveyed } from '../../contract/fleet-plan';
import { hostControlQueue, hostQueue } from '../../contract/queues';
import { failureMessage, failureType } from '../failures';
import { labelledActivities } from '../labelled-activities';
import { fleet } from './calls';

/** Asks some hosts of a fleet how they are, and keeps their answers where the plan is made. */
export async function surveyHosts(input: {
  readonly planId: string;
  readonly hostIds: readonly string[];
}): Promise<void> {
  await fleet.keepSurveys(input.planId, await Promise.all(input.hostIds.map(surveyed)));
}

async function surveyed(hostId: string): Promise<Surveyed> {
  const { surveyHost } = labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: '10s',
      scheduleToStartTimeout: '10s',
      scheduleToCloseTimeout: '30s',
    },
    { hostId },
  );
  try {
    return await surveyHost(hostId);
  } catch (error) {
    const unreachable =
      failureType(error) === 'HostUnreachable'
        ? `no worker answered for it within 10 s (task queue ${hostQueue(hostId)})`
        : failureMessage(error);
    return { hostId, unreachable };
  }
}
