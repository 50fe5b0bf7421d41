import type { Client } from '@temporalio/client';
import { serviceHostInput } from '../../contract/inputs';
import { changed, type Changes } from './changes';
import { CannotFork } from './ended';
import { statusOf, type OldRun } from './old-run';
import type { Plan } from './plan';

/** Up to here a servicing run has touched no VM; each of these is begun again from the first one. */
const BEFORE_VMS = ['preflight', 'noticeGuests', 'stageUpdate'];

/**
 * A servicing run is not adopted: until it has started the run of a VM there is nothing to keep, so the new one begins anew
 * and takes the host's lease over. From then on the VMs' own runs are what can be forked.
 */
export async function forkOfHostRun(
  client: Client,
  old: OldRun,
  at: string,
  changes: Changes,
): Promise<Plan> {
  const { account, workflowId, runId } = old;
  const run = `${workflowId} (run ${runId})`;
  if (account.children.length > 0) {
    throw new CannotFork(`${run} has started runs of its VMs. ${await insteadOf(client, old)}`);
  }
  if (old.isOpen) {
    throw new CannotFork(
      `${run} is still open. Abort it (temporal workflow update execute --workflow-id ${workflowId} --name abort --input '{"reason":"why"}'), then fork it.`,
    );
  }
  const taken = account.steps.map(({ name }) => name);
  const reached = BEFORE_VMS.filter((step, index) => index === 0 || taken.includes(step));
  if (!reached.includes(at)) {
    throw new CannotFork(
      `${BEFORE_VMS.includes(at) ? `${run} never came to ${at}` : `"${at}" is no step that a serviceHost can be forked at`}. The run took: ${taken.join(', ') || 'no step'}. It can be forked at: ${reached.join(', ')}.`,
    );
  }
  const { input } = account;
  if (typeof input !== 'object' || input === null) {
    throw new CannotFork(`The input of ${run} cannot be read: it is encrypted.`);
  }
  return {
    type: 'serviceHost',
    input: changed('serviceHost', serviceHostInput, { ...input }, changes),
    at,
  };
}

/** How each VM's run has ended by now, also one that the servicing run has not waited for. */
async function insteadOf(client: Client, { account }: OldRun): Promise<string> {
  const runs: string[] = [];
  const failed: string[] = [];
  // One after the other: a host may have hundreds.
  for (const { workflowId, runId } of account.children) {
    const status = runId === null ? 'not started' : await statusOf(client, { workflowId, runId });
    if (status === 'RUNNING') runs.push(workflowId);
    else if (status === 'FAILED' || status === 'TERMINATED' || status === 'TIMED_OUT')
      failed.push(`${workflowId} --run-id ${String(runId)} (${status.toLowerCase()})`);
  }
  if (runs.length > 0) return `Still open are ${runs.join(', ')}: wait for them.`;
  if (failed.length > 0) {
    return `If a VM does not run, fork its own run instead: ${failed.join(', ')}. If all run, start a new serviceHost.`;
  }
  return 'All of these have ended well, so there is nothing to go on with: start a new serviceHost.';
}
