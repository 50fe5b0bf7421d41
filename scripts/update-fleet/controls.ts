import { userInfo } from 'node:os';
import {
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import type { FleetControl } from '../../contract/fleet-control';
import type { FleetProgress } from '../../contract/fleet-results';
import { CannotUpdate } from './ended';
import { runId } from './server';

export interface Control {
  readonly name: Extract<FleetControl, 'pause' | 'resume' | 'approve' | 'abort' | 'retryFailed'>;
  readonly run: string;
  readonly reason: string | undefined;
  readonly by: string | undefined;
  readonly wave: number | undefined;
}

/** Asks a running fleet update for something; answers what it said. */
export async function control(client: Client, asked: Control): Promise<string> {
  const { name, run, reason, by = userInfo().username, wave } = asked;
  if (reason === undefined) throw new CannotUpdate(`--${name} needs a --reason: it is recorded.`);
  const handle = client.workflow.getHandle(runId(run));
  try {
    const request = {
      by,
      reason,
      ...(name === 'approve' ? { wave: wave ?? (await waitingWave(handle)) } : {}),
    };
    return await handle.executeUpdate<string, [object]>(name, { args: [request] });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError)
      throw new CannotUpdate(`No fleet update ${runId(run)} is running.`);
    if (error instanceof WorkflowUpdateFailedError)
      throw new CannotUpdate(error.cause?.message ?? error.message);
    throw error;
  }
}

async function waitingWave(handle: WorkflowHandle): Promise<number> {
  const progress = await handle.query<FleetProgress>('progress');
  if (progress.waiting?.for === 'approval') return progress.wave;
  throw new CannotUpdate(
    `${handle.workflowId} does not wait for approval now; to approve a wave in advance, name it with --wave.`,
  );
}
