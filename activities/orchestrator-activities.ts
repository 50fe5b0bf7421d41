import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Holder } from '../contract/ids';

/** What only an orchestrator can tell, because it has a client of the server. */
export interface OrchestratorActivities {
  /** Whether the run that holds a lease is closed (or unknown to the server), so that the lease may be taken over. */
  isRunClosed(holder: Holder): Promise<boolean>;
}

export function createOrchestratorActivities(client: Client): OrchestratorActivities {
  return {
    isRunClosed: async ({ workflowId, runId }) => {
      try {
        const { status } = await client.workflow.getHandle(workflowId, runId).describe();
        return status.name !== 'RUNNING' && status.name !== 'PAUSED';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return true;
        throw error;
      }
    },
  };
}
