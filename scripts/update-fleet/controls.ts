import { userInfo } from 'node:os';
import { WorkflowNotFoundError } from '@temporalio/common';
import { WorkflowUpdateFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import { FLEET_CONTROLS } from '../../contract/fleet-control';
import type { FleetProgress } from '../../contract/fleet-results';
import { z } from '../../contract/zod';
import { CannotUpdate } from './ended';
import { runId } from './server';

/** The options that steer a run: each takes the run. */
const OPTIONS = {
  pause: '--pause',
  resume: '--resume',
  approve: '--approve',
  abort: '--abort',
  retryFailed: '--retry-failed',
} as const;
type ControlName = keyof typeof OPTIONS;

/** What the command line says about steering a run. */
export type ControlOptions = { readonly [Name in ControlName]?: string } & {
  readonly wave?: number;
  readonly by?: string;
  readonly reason?: string;
};

export interface Control {
  readonly name: ControlName;
  /** As a person named it. */
  readonly run: string;
  readonly by: string;
  readonly reason: string;
  /** Default: the one that waits. */
  readonly wave: number | undefined;
}

/** Null if no run is to be steered. Fails with {@link CannotUpdate} on more than one wish, or one without who and why. */
export function controlOf(options: ControlOptions): Control | null {
  const names: readonly ControlName[] = ['pause', 'resume', 'approve', 'abort', 'retryFailed'];
  const asked = names.flatMap((name) => {
    const run = options[name];
    return run === undefined ? [] : [{ name, run }];
  });
  const [first, ...others] = asked;
  if (first === undefined) return null;
  if (others.length > 0) {
    const given = asked.map(({ name }) => OPTIONS[name]).join(', ');
    throw new CannotUpdate(`One at a time: ${given}. Nothing was asked for.`);
  }
  const why = z.safeParse(FLEET_CONTROLS.pause, {
    by: options.by ?? userName(),
    reason: options.reason,
  });
  if (!why.success) {
    const problems = why.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`);
    throw new CannotUpdate(
      `${OPTIONS[first.name]} is recorded with who and why. ${problems.join('; ')}.`,
    );
  }
  return { ...first, ...why.data, wave: options.wave };
}

/** In a container the user need not have a name. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

/** Asks a running fleet update for something; answers what it said. Fails with {@link CannotUpdate}, as refused. */
export async function control(client: Client, asked: Control): Promise<string> {
  const { name, run, by, reason, wave } = asked;
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
