import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { HOLDFAST_QUEUE, updateFleetId } from '../../contract/queues';
import { connectClient, loadConnection } from '../../workers/connection';
import { CannotUpdate, EXIT } from './ended';

/** The client of a server, which is closed however `use` ends. */
export async function withClient<T>(use: (client: Client) => Promise<T>): Promise<T> {
  const client = await connectClient(loadConnection());
  try {
    return await use(client);
  } finally {
    await client.connection.close();
  }
}

/** Without an orchestrator a run would be started and stand still. */
export async function refuseWithoutOrchestrator(client: Client): Promise<void> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: HOLDFAST_QUEUE },
    taskQueueType: temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
  });
  if (pollers.length > 0) return;
  throw new CannotUpdate(
    `The server answers, but no orchestrator polls the task queue ${HOLDFAST_QUEUE}: start one (npm run dev, or dist/workers/orchestrator.js). Nothing was started.`,
    EXIT.unreachable,
  );
}

/** A person names a run by the name of its fleet, or by its workflow id. */
export const runId = (named: string): string =>
  named.includes('/') ? named : updateFleetId(named);
