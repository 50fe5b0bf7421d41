import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Holder } from '../contract/ids';
import type { Update } from '../contract/inputs';
import { postSigned } from './fleet/webhook';

/** What a tenant's webhook is told before VMs pause. */
export interface TenantNotice {
  readonly hostId: string;
  readonly vmIds: readonly string[];
  readonly update: Update;
  /** How long each VM may be dark. */
  readonly blackoutBudget: string;
  /** How long their answer is waited for. */
  readonly waitUpTo: string;
}

/** What only an orchestrator can tell, because it has a client of the server. */
export interface OrchestratorActivities {
  /** Whether the run that holds a lease is closed (or unknown to the server), so that the lease may be taken over. */
  isRunClosed(holder: Holder): Promise<boolean>;
  /**
   * Tells whoever speaks for the tenants, signed. Succeeds when they acknowledge, with 200; any other 2xx means that
   * they have not yet, and ends in `NoticeUnacknowledged`, to be asked again.
   */
  noticeTenants(url: string, id: string, notice: TenantNotice): Promise<void>;
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
    noticeTenants: async (url, id, notice) => {
      const { status } = await postSigned(url, id, { event: 'notice', ...notice });
      if (status === 200) return;
      throw ApplicationFailure.create({
        type: 'NoticeUnacknowledged',
        message: `${url} answered ${status}: not acknowledged yet.`,
        category: 'BENIGN',
      });
    },
  };
}
