import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common';
import {
  WorkflowFailedError,
  ServiceError,
  QueryNotRegisteredError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import type { FleetDryRun, FleetProgress, FleetResult } from '../../contract/fleet-results';
import type { Shell } from '../run-script';
import { CannotUpdate, EXIT } from './ended';
import { Watch } from './watch';

const LOOK_EVERY_MS = 500;
/** A query waits for a worker; if none answers in time, the next look asks again. */
const ANSWERS_WITHIN_MS = 5_000;

export type Followed =
  | { readonly ended: FleetResult | FleetDryRun }
  | { readonly needsPerson: FleetProgress }
  | { readonly interrupted: true };

export interface Following {
  readonly closely: boolean;
  /** Ends when the run needs a person: nobody is at a terminal. */
  readonly unattended: boolean;
  /** Ends the following; the run goes on. */
  readonly signal: AbortSignal;
  /** Where it is shown. */
  readonly stderr: Shell['stderr'];
}

/** Follows a run to its end, or to where it needs a person. Failures that are no end of a fleet's are `CannotUpdate`. */
export async function follow(
  client: Client,
  handle: WorkflowHandle,
  { closely, unattended, signal, stderr }: Following,
): Promise<Followed> {
  const watch = new Watch(client, closely, stderr);
  const over = new AbortController();
  // The SDK adds a listener with each long poll: a run of some minutes would be taken for a leak.
  setMaxListeners(0, over.signal);
  const interruption = new Promise<'interrupted'>((resolve) => {
    if (signal.aborted) resolve('interrupted');
    else signal.addEventListener('abort', () => resolve('interrupted'), { once: true });
  });
  const end = client.withAbortSignal(over.signal, () => result(handle));
  const ended = end.then(
    () => 'ended' as const,
    () => 'ended' as const,
  );
  try {
    for (;;) {
      const progress = await Promise.race([progressOf(client, handle), interruption]);
      if (progress === 'interrupted') return { interrupted: true };
      if (progress !== null) {
        await watch.show(progress);
        if (unattended && needsPerson(progress)) return { needsPerson: progress };
      }
      const next = await Promise.race([ended, interruption, delay(LOOK_EVERY_MS)]);
      if (next === 'interrupted') return { interrupted: true };
      if (next === 'ended') break;
    }
    const last = await progressOf(client, handle);
    if (last !== null) await watch.show(last);
    return { ended: await end };
  } finally {
    // The long poll for the result would keep the connection, and with it the process.
    over.abort();
    watch.stop();
  }
}

const needsPerson = ({ waiting }: FleetProgress): boolean =>
  waiting?.for === 'operator' || waiting?.for === 'approval';

/** Null where nobody answers in time, or not yet. */
async function progressOf(client: Client, handle: WorkflowHandle): Promise<FleetProgress | null> {
  try {
    return await client.withDeadline(Date.now() + ANSWERS_WITHIN_MS, () =>
      handle.query<FleetProgress>('progress'),
    );
  } catch (error) {
    if (error instanceof ServiceError || error instanceof QueryNotRegisteredError) return null;
    throw error;
  }
}

/** The result of a run, also of one that stopped and carries it. */
async function result(handle: WorkflowHandle): Promise<FleetResult | FleetDryRun> {
  try {
    return (await handle.result()) as FleetResult | FleetDryRun;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof CancelledFailure || cause instanceof TerminatedFailure)
      throw new CannotUpdate(cause.message, EXIT.aborted);
    if (!(cause instanceof ApplicationFailure)) throw new CannotUpdate(error.message, EXIT.failed);
    const details = cause.details?.[0] as Partial<FleetResult> | undefined;
    if (details?.outcome !== undefined) return details as FleetResult;
    throw new CannotUpdate(
      cause.message,
      BAD_INPUT.includes(cause.type ?? '') ? EXIT.badInput : EXIT.failed,
    );
  }
}

/** Nothing was touched. */
const BAD_INPUT = [
  'InvalidInput',
  'EmptySelection',
  'TooManyHosts',
  'NothingPlanned',
  'PlanTooLarge',
];
