import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import {
  WorkflowFailedError,
  isGrpcServiceError,
  QueryNotRegisteredError,
  type Client,
  type WorkflowHandle,
} from '@temporalio/client';
import type { FleetDryRun, FleetProgress, FleetResult } from '../../contract/fleet-results';
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
}

/** Follows a run to its end, or to where it needs a person. Failures that are no end of a fleet's are `CannotUpdate`. */
export async function follow(
  client: Client,
  handle: WorkflowHandle,
  { closely, unattended, signal }: Following,
): Promise<Followed> {
  const watch = new Watch(client, closely);
  let end: Promise<FleetResult | FleetDryRun> | undefined;
  let isEnded = false;
  try {
    end = client.withAbortSignal(signal, () => result(handle));
    const ended = end.then(
      () => (isEnded = true),
      () => (isEnded = true),
    );
    while (!isEnded) {
      const progress = await progressOf(client, handle, signal);
      if (progress !== null) {
        await watch.show(progress);
        if (unattended && needsPerson(progress)) return { needsPerson: progress };
      }
      await Promise.race([ended, delay(LOOK_EVERY_MS)]);
      if (signal.aborted) return { interrupted: true };
    }
    return { ended: await end };
  } finally {
    // It ends with the connection, when nobody waits for it any more.
    end?.catch(() => undefined);
    watch.stop();
  }
}

const needsPerson = ({ waiting }: FleetProgress): boolean =>
  waiting?.for === 'operator' || waiting?.for === 'approval';

async function progressOf(
  client: Client,
  handle: WorkflowHandle,
  signal: AbortSignal,
): Promise<FleetProgress | null> {
  try {
    return await client.withAbortSignal(signal, () =>
      client.withDeadline(Date.now() + ANSWERS_WITHIN_MS, () =>
        handle.query<FleetProgress>('progress'),
      ),
    );
  } catch (error) {
    if (isGrpcServiceError(error) || error instanceof QueryNotRegisteredError || signal.aborted)
      return null;
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
    if (cause instanceof CancelledFailure) throw new CannotUpdate(cause.message, EXIT.aborted);
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
