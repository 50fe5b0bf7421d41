import type { Client } from '@temporalio/client';
import type { Changes } from './changes';
import { CannotFork } from './ended';
import { forkOfHostRun } from './fork-of-host-run';
import { forkOfVmRun, isVmRun } from './fork-of-vm-run';
import type { OldRun } from './old-run';

/** The run that a fork would start. */
export interface Plan {
  readonly type: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly at: string;
}

export interface Asked {
  readonly at: string;
  readonly changes: Changes;
  readonly fromOpen: boolean;
}

/** What would be started; refuses where it would be unsafe or could not work, before anything is touched. */
export async function plan(client: Client, old: OldRun, asked: Asked): Promise<Plan> {
  const { type, workflowId, runId, parent } = old;
  const run = `${workflowId} (run ${runId})`;
  if (type === 'serviceHost') return forkOfHostRun(client, old, asked.at, asked.changes);
  if (type === 'updateFleet') {
    throw new CannotFork(
      `${run} updates a fleet, and a fork cannot adopt one. Try its failed hosts again with npm run update-fleet -- --retry-failed, or start it again: hosts that are up to date are left out.`,
    );
  }
  if (!isVmRun(type)) {
    throw new CannotFork(`${run} is a ${type}: it touches no host, so there is nothing to adopt.`);
  }
  if (parent?.isOpen === true) {
    throw new CannotFork(
      `${run} is part of ${parent.workflowId} (run ${parent.runId}), which is open and counts on its VMs. Wait for it, or abort it.`,
    );
  }
  if (old.isOpen && !asked.fromOpen) {
    throw new CannotFork(
      `${run} is still open. Wait for it, or cancel it. If it is stuck, say --from-open: the host fences it, and it is terminated as soon as the new run holds the VM.`,
    );
  }
  return forkOfVmRun(old, type, asked.at, asked.changes);
}
