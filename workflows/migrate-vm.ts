import { CancellationScope } from '@temporalio/workflow';
import { migrateVmInput, type MigrateVmInput } from '../contract/inputs';
import type { RelinquishProof } from '../contract/migration';
import type { MigrateVmResult } from '../contract/results';
import { ATTACH_VIRTUAL_FUNCTION, DETACH_VIRTUAL_FUNCTION } from '../contract/steps';
import { nowMs } from './clock';
import { endsTyped } from './ends-typed';
import { cancelled, failure, failureMessage, failureType, isCancellation } from './failures';
import { checkFaultsSupported, ping } from './host-steps';
import { MigrationEnds, evidenceOf, migrationResult, withPatience } from './migration-ends';
import { onProgress } from './progress';
import { undoMigration } from './undo-migration';
import { validated } from './validated';
import { showBeginning, showEnd, showMigrated } from './visibility';
import { StepFailed } from './vm-operation';

const EXAMPLE = '{"vmId":"vm-01","fromHostId":"host-01","toHostId":"host-02"}';

/**
 * Moves a VM with passthrough functions to another host by way of an emulated path (US 2023/0153140), or, for comparison,
 * by taking its VF away and giving it another. Until the source has relinquished the VM everything is undone when a step
 * fails; from there it only goes forward, for as long as it takes.
 */
export const migrateVm = endsTyped(async function migrateVm(
  raw: MigrateVmInput,
): Promise<MigrateVmResult> {
  const input = validated(migrateVmInput, raw, EXAMPLE);
  const { vmId, fromHostId, toHostId, faults } = input;
  showBeginning({
    HostId: fromHostId,
    VmId: vmId,
    Phase: 'migrating',
    SaveMode: null,
    ForkOf: null,
  });
  for (const hostId of [fromHostId, toHostId]) checkFaultsSupported(await ping(hostId), faults);

  const ends = await MigrationEnds.takeSource(input);
  onProgress(() => ends.steps);
  if (ends.stage === 'underWay') {
    // An earlier run was stopped halfway: all that it did is taken back, and the VM moves from where it runs.
    await ends.takeWhatWasKept();
    await undoMigration(ends);
    await ends.takeSourceAnew();
  }
  let crossing: Crossing | null = null;
  if (ends.stage === 'new') {
    await checkDestination(ends);
    try {
      await leavePassthrough(ends);
      crossing = await crossOver(ends);
    } catch (error) {
      await undoUnlessRelinquished(ends, error);
    }
  } else await ends.takeDestination();

  return CancellationScope.nonCancellable(async () => {
    const ended = await goForward(ends, crossing);
    const result = migrationResult(input, ends, ended);
    showEnd(result.outcome, null);
    showMigrated(result);
    return result;
  }).then((result) => {
    if (CancellationScope.current().consideredCancelled) {
      throw cancelled(`It was too late to cancel: ${vmId} runs on ${toHostId}.`);
    }
    return result;
  });
});

/** The source's word, how long the VM had been dark there, ms, and when it answered, by the run's clock. */
interface Crossing {
  readonly proof: RelinquishProof;
  readonly atSourceMs: number;
  readonly answeredAtMs: number;
}

/** Everything is checked before anything stops; a destination that does not fit leaves the VM untouched. */
async function checkDestination(ends: MigrationEnds): Promise<void> {
  try {
    await ends.takeDestination();
  } catch (error) {
    await undoMigration(ends);
    throw error;
  }
}

/** FIG. 5 502-514, FIG. 6 604-614: with the VM running all the time. */
async function leavePassthrough({ source, destination, method }: MigrationEnds): Promise<void> {
  await destination.perform('reserveFunctions');
  source.stopIfCancelled('migration');
  if (method === 'unplug-replug') {
    await source.performAll(DETACH_VIRTUAL_FUNCTION);
  } else {
    await source.perform('plugEmulatedPath');
    await source.perform('switchToEmulatedPath');
    await source.perform('drainPassthrough');
    source.stopIfCancelled('migration');
    await source.perform('unplugPassthrough');
    await source.perform('saveEmulatedDevice');
  }
  source.stopIfCancelled('migration');
  await destination.perform('exposeFunctions');
  source.stopIfCancelled('migration');
}

/** 516, up to the crossing. The VM is dark from the first of these steps on, so there are no others. */
async function crossOver({ source, destination }: MigrationEnds): Promise<Crossing> {
  const suspended = await source.perform('suspendVm');
  destination.shareDarknessOf(source);
  const handed = { package: evidenceOf(suspended, 'package') };
  const received = await destination.perform('receiveVm', handed);
  source.shareDarknessOf(destination);
  source.stopIfCancelled('migration');
  const relinquished = await source.perform('relinquishVm', {
    receipt: evidenceOf(received, 'receipt'),
  });
  return {
    proof: evidenceOf(relinquished, 'proof'),
    atSourceMs: evidenceOf(relinquished, 'darkForMs'),
    answeredAtMs: nowMs(),
  };
}

/** Past the crossing: the destination is the only host that may run the VM, so it does. */
async function goForward(ends: MigrationEnds, crossing: Crossing | null) {
  const { source, destination, stage } = ends;
  destination.goOnlyForward();
  let blackoutMs: number | null = null;
  if (ends.destinationStage === 'reserved') {
    const proof = crossing?.proof ?? (await ends.proof());
    await withPatience(ends, () => destination.perform('resumeMigratedVm', { proof }));
    if (crossing !== null) blackoutMs = crossing.atSourceMs + (nowMs() - crossing.answeredAtMs);
  }
  const reason = await returnToPassthrough(ends);
  if (stage !== 'released') await withPatience(ends, () => source.perform('releaseMigratedVm'));
  const verified = await withPatience(ends, () => destination.perform('verifyMigration'));
  return { blackoutMs, reason, verified };
}

/** 518-522. The VM runs; without a function to pass through it goes on running on the path that it has. */
async function returnToPassthrough(ends: MigrationEnds): Promise<string | null> {
  const { destination, method, keepEmulatedPath } = ends;
  try {
    if (method === 'unplug-replug') await destination.performAll(ATTACH_VIRTUAL_FUNCTION);
    else {
      await destination.perform('plugPassthrough');
      await destination.perform('switchToPassthrough');
      if (!keepEmulatedPath) await destination.perform('unplugEmulatedPath');
    }
    return null;
  } catch (error) {
    if (!(error instanceof StepFailed) || error.type === 'Fenced') throw error;
    return failureMessage(error.cause);
  }
}

/**
 * Takes back what was done, then ends the run with why. Only the source's own answer says whether it has relinquished the
 * VM: where only the reply was lost, the migration goes on.
 */
async function undoUnlessRelinquished(ends: MigrationEnds, error: unknown): Promise<void> {
  const why = error instanceof StepFailed ? error.cause : error;
  const details = { steps: ends.steps };
  if (failureType(why) === 'Fenced') {
    throw failure('Fenced', failureMessage(why), { cause: why, details });
  }
  if (await ends.fence()) return;
  const { ledger, left } = await undoMigration(ends);
  if (isCancellation(why)) throw why;
  throw failure(
    'MigrationUndone',
    `${ends.vmId} was not moved to ${ends.toHostId}: ${failureMessage(why)}${left === null ? '' : ` ${left}`}`,
    { cause: why, details: { ...details, ledger } },
  );
}
