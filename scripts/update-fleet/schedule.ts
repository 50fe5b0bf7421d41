import {
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleHandle,
} from '@temporalio/client';
import { HOLDFAST_QUEUE, updateFleetId } from '../../contract/queues';
import type { updateFleet } from '../../workflows';
import { CannotUpdate } from './ended';
import type { Fleet } from './fleet-file';

/** How many of the next runs are told. */
const TOLD = 3;

/**
 * Starts the fleet's update again and again, by a cron expression in the time zone of its maintenance window. While one
 * is under way the next is left out. A schedule of that name is changed to be this one. Answers what a person is told.
 */
export async function schedule(client: Client, fleet: Fleet, cron: string): Promise<string> {
  const scheduleId = updateFleetId(fleet.name);
  const timezone = fleet.settings.maintenanceWindow?.timeZone ?? 'UTC';
  const spec = { cronExpressions: [cron], timezone };
  const policies = { overlap: ScheduleOverlapPolicy.SKIP };
  const action = {
    type: 'startWorkflow' as const,
    workflowType: 'updateFleet',
    workflowId: updateFleetId(fleet.name),
    taskQueue: HOLDFAST_QUEUE,
    args: [fleet.input] satisfies Parameters<typeof updateFleet>,
  };
  const handle = client.schedule.getHandle(scheduleId);
  try {
    if (await exists(handle)) {
      await handle.update((existing) => ({ ...existing, spec, policies, action }));
    } else await client.schedule.create({ scheduleId, spec, policies, action });
  } catch (error) {
    // That is what the SDK makes of a cron expression that the server refuses.
    if (!(error instanceof TypeError)) throw error;
    throw new CannotUpdate(`--schedule "${cron}": ${error.message}. Nothing was scheduled.`);
  }
  const { info } = await handle.describe();
  const next = info.nextActionTimes.slice(0, TOLD).map((time) => time.toISOString());
  return `Schedule ${scheduleId}: "${cron}" (${timezone}), left out while one is under way. Next: ${next.join(', ') || 'never'}.`;
}

async function exists(handle: ScheduleHandle): Promise<boolean> {
  try {
    await handle.describe();
    return true;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return false;
    throw error;
  }
}
