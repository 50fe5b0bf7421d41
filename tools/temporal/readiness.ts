import { setTimeout as sleep } from 'node:timers/promises';

import { Connection } from '@temporalio/client';
import { grpc } from '@temporalio/proto';

const WORKFLOW_SERVICE = 'temporal.api.workflowservice.v1.WorkflowService';
const ATTEMPT_TIMEOUT_MS = 2_000;
const PAUSE_MS = 50;

/**
 * Waits until the server at `address` says that its workflow service is healthy and that it knows the namespace.
 *
 * @param timeoutMs after this, an Error with the last answer
 * @param signal ends the waiting with the signal's reason
 */
export async function waitUntilServing(
  address: string,
  namespace: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await askOnce(address, namespace);
    } catch (error) {
      if (Date.now() >= deadline) {
        throw new Error(`not healthy after ${timeoutMs / 1000} s`, { cause: error });
      }
    }
    signal.throwIfAborted();
    await sleep(PAUSE_MS);
  }
}

async function askOnce(address: string, namespace: string): Promise<void> {
  // A new connection for each attempt and no retries inside: after a refusal gRPC would hold back for a second.
  const connection = Connection.lazy({ address, interceptors: [] });
  try {
    await connection.withDeadline(Date.now() + ATTEMPT_TIMEOUT_MS, async () => {
      const { status } = await connection.healthService.check({ service: WORKFLOW_SERVICE });
      // Looked up here, not above: the protocol takes a fifth of a second to load, and few commands come this far.
      const { ServingStatus } = grpc.health.v1.HealthCheckResponse;
      if (status !== ServingStatus.SERVING) throw new Error(`health is ${ServingStatus[status]}`);
      await connection.workflowService.describeNamespace({ namespace });
    });
  } finally {
    await connection.close();
  }
}
