import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { WorkflowNotFoundError } from '@temporalio/common';
import {
  WorkflowExecutionAlreadyStartedError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import type { UpdateFleetInput } from '../../contract/fleet-input';
import { HOLDFAST_QUEUE, updateFleetId } from '../../contract/queues';
import { CannotUpdate, EXIT } from './ended';
import type { Fleet } from './fleet-file';
import type { Shell } from '../run-script';

const digestOf = (input: UpdateFleetInput): string =>
  createHash('sha256').update(JSON.stringify(input)).digest('hex');

/** What is about to happen, in a paragraph, for a person to say yes to. */
export function summary({ name, settings }: Fleet): string {
  const { update, hosts, selector, strategy, maintenanceWindow } = settings;
  const which =
    hosts === undefined
      ? `the hosts that meet ${JSON.stringify(selector)}`
      : `${String(hosts.length)} hosts (${hosts.slice(0, 5).join(', ')}${hosts.length > 5 ? ', …' : ''})`;
  return (
    `${updateFleetId(name)}: update ${update.component} to ${update.version} on ${which}; canary ${String(strategy.canary)}, then waves of ${strategy.waves.join(', ')}, ` +
    `at most ${String(strategy.maxConcurrentHosts)} hosts at a time, more than ${String(strategy.failureLimit)} failures: ${strategy.onFailure}` +
    `${maintenanceWindow === undefined ? '' : `; only in its maintenance window (${maintenanceWindow.timeZone})`}.`
  );
}

/** Asks on the terminal; without one, only `--yes` will do. */
export async function confirm(
  text: string,
  { stdin, stderr }: Shell,
  signal: AbortSignal,
): Promise<void> {
  if (!stdin.isTTY) {
    throw new CannotUpdate(
      'Nobody is at a terminal to confirm it: say --yes. Nothing was started.',
    );
  }
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await terminal
      .question(`${text}\nStart it? (yes/no) `, { signal })
      .catch(() => null);
    if (answer === null) throw new CannotUpdate('Nothing was started.', EXIT.interrupted);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CannotUpdate('Nothing was started.');
  } finally {
    terminal.close();
  }
}

/** The open run of this fleet, if there is one; one with another input is not ours to follow. */
export async function openRun(
  client: Client,
  { name, input }: Fleet,
): Promise<WorkflowHandle | null> {
  const workflowId = updateFleetId(name);
  const handle = client.workflow.getHandle(workflowId);
  const described = await handle.describe().catch((error: unknown) => {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  });
  if (described?.status.name !== 'RUNNING') return null;
  if (described.memo?.['inputDigest'] === digestOf(input)) return handle;
  throw new CannotUpdate(
    `${workflowId} is under way with another input. Wait for it, abort it (--abort ${name} --reason …), or give this one another name.`,
  );
}

export async function startRun(
  client: Client,
  { name, input, settings }: Fleet,
): Promise<WorkflowHandle> {
  const workflowId = settings.dryRun ? `${updateFleetId(name)}/plan` : updateFleetId(name);
  try {
    return await client.workflow.start('updateFleet', {
      workflowId,
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
      memo: { inputDigest: digestOf(input) },
      workflowIdConflictPolicy: 'FAIL',
      staticSummary: `${settings.dryRun ? 'plan of an update' : 'update'} of ${name} to ${settings.update.component} ${settings.update.version}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new CannotUpdate(
      `${workflowId} was started by someone else just now: run this again to follow it.`,
    );
  }
}
