import { ServiceError, isGrpcServiceError, type Client } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { HOLDFAST_QUEUE, updateFleetId } from '../../contract/queues';
import { connectClient, loadConnection } from '../../workers/connection';
import { CannotUpdate, EXIT } from './ended';

/** A client, closed however `use` ends. Where the server refuses or does not answer, it fails with {@link CannotUpdate}. */
export async function withClient<T>(
  env: NodeJS.ProcessEnv,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connectClient(loadConnection(env));
  try {
    return await use(client);
  } catch (error) {
    throw serverTrouble(error) ?? error;
  } finally {
    await client.connection.close();
  }
}

/** By google.rpc.Code, INVALID_ARGUMENT and NOT_FOUND: the server answers, and what it was given is wrong. */
const REFUSED: readonly number[] = [3, 5];

function serverTrouble(error: unknown): CannotUpdate | undefined {
  if (error instanceof NamespaceNotFoundError)
    return new CannotUpdate(`The server refuses it: ${error.message}.`);
  const refusal = error instanceof ServiceError ? error.cause : error;
  if (!isGrpcServiceError(refusal)) return undefined;
  if (REFUSED.includes(refusal.code))
    return new CannotUpdate(`The server refuses it: ${refusal.details}`);
  return new CannotUpdate(
    `The Temporal server does not answer (${refusal.message}). A run that was started goes on: run this again to follow it.`,
    EXIT.unreachable,
  );
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
