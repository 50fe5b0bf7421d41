import { CancellationScope } from '@temporalio/workflow';
import type { IoLedger } from '../contract/migration';
import { lacksVf } from '../contract/results';
import { UNDO_MIGRATION } from '../contract/steps';
import { attachVirtualFunction } from './attach-virtual-function';
import type { MigrationEnds } from './migration-ends';
import { StepFailed } from './vm-operation';

/** What is known after a migration was taken back. */
interface Undone {
  /** What became of the guest's commands; null if an earlier attempt had counted them. */
  readonly ledger: IoLedger | null;
  /** Why the destination still keeps a place for the VM; null if it does not. */
  readonly left: string | null;
}

/**
 * Before the relinquish everything can be undone: the VM runs on its source, on its passthrough path. What the destination
 * has kept for it is given back after that; where that fails, the next migration to it takes it over.
 */
export async function undoMigration(ends: MigrationEnds): Promise<Undone> {
  return CancellationScope.nonCancellable(async () => {
    const { source } = ends;
    let ledger: IoLedger | null = null;
    for (const step of UNDO_MIGRATION) {
      const { evidence } = await source.perform(step);
      if ('ledger' in evidence) ledger = evidence.ledger ?? ledger;
    }
    await source.perform('enableOptimizations');
    const { facts } = await source.inspect();
    if (lacksVf(facts)) await attachVirtualFunction(source);
    await source.perform('endOperation');
    return { ledger, left: ends.hasDestination ? await cancelReservation(ends) : null };
  });
}

async function cancelReservation({ destination }: MigrationEnds): Promise<string | null> {
  try {
    await destination.perform('cancelReservation');
    return null;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    return `${destination.hostId} still keeps a place for it: ${error.message}`;
  }
}
