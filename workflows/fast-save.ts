import { CancellationScope } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import { issuedAhead, saveFlow } from '../contract/flows';
import { fastSaveInput, type FastSaveInput } from '../contract/inputs';
import type { FastSaveResult } from '../contract/results';
import { DETACH_VIRTUAL_FUNCTION, type VmStep } from '../contract/steps';
import { endsTyped } from './ends-typed';
import { failure, failureMessage, failureType, isCancellation } from './failures';
import { checkFaultsSupported, checkStepsSupported, ping } from './host-steps';
import { onProgress } from './progress';
import { restoreVm } from './restore-vm';
import { undoSave } from './undo-save';
import { validated } from './validated';
import { showBeginning, showEnd, showSaved } from './visibility';
import { StepFailed, VmOperation, type Answers, type Wish } from './vm-operation';

const EXAMPLE = '{"hostId":"host-01","vmId":"vm-01"}';

/**
 * Saves a VM while its VF stays allocated, assigned and connected (`mode: "modified"`), or the conventional way.
 * Inside a servicing run the host supplies the run's settings; alone, the host restores the VM after `maxSavedFor`.
 */
export const fastSave = endsTyped(async function fastSave(
  raw: FastSaveInput,
): Promise<FastSaveResult> {
  const input = validated(fastSaveInput, raw, EXAMPLE);
  const { hostId, vmId, faults } = input;
  showBeginning({
    HostId: hostId,
    VmId: vmId,
    SaveMode: input.mode,
    Phase: 'saving',
    ForkOf: input.adopt?.runId ?? null,
  });
  const host = await ping(hostId);
  checkFaultsSupported(host, faults);
  checkStepsSupported(host, input.mode);
  const wish: Wish = {
    hostId,
    vmId,
    faults,
    settings: {
      mode: input.mode,
      holdMode: input.holdMode,
      virtualFunctionRestore: 'step-by-step',
      blackoutBudgetMs: toMs(input.blackoutBudget),
      maxSavedForMs: toMs(input.maxSavedFor),
    },
    ...(input.adopt === undefined ? {} : { adopt: input.adopt }),
  };
  let vm = await VmOperation.begin('beginSave', wish);
  if (vm.phase !== 'preparing' && !vm.isAdopted) {
    // Taken over from a run that is closed and had left the VM half saved: back to running first.
    await undoSave(vm);
    vm = await VmOperation.begin('beginSave', wish);
  }
  onProgress(() => vm.steps);

  const list = issuedAhead(saveFlow(vm.settings));
  let saved: Answers<VmStep> = {};
  try {
    await prepare(vm);
    saved = await vm.issue(list);
  } catch (error) {
    await undoUnlessCrossed(vm, error);
    await finish(vm, error, list);
  }
  const concluded = await vm.perform('concludeSave');

  if (!vm.inServicing && CancellationScope.current().consideredCancelled) {
    // Too late to undo: the VM is brought back first, then the run ends as cancelled.
    await CancellationScope.nonCancellable(() => restoreCancelled(vm));
    vm.stopIfCancelled();
  }
  const nextAction = vm.inServicing
    ? null
    : `Run fastRestore for ${vmId} within ${input.maxSavedFor}.`;
  showEnd('saved', nextAction);
  const result: FastSaveResult = {
    hostId,
    vmId,
    mode: vm.settings.mode,
    outcome: 'saved',
    identity: vm.identity,
    withoutVfRecord: withoutVfRecordIn(saved),
    restoredByHostAt: concluded.evidence.restoredByHostAt ?? null,
    steps: vm.steps,
  };
  showSaved(result, nextAction);
  return result;
});

/** Everything that can be done while the VM still runs. */
async function prepare(vm: VmOperation): Promise<void> {
  if (vm.settings.mode === 'modified') {
    await vm.perform('disableOptimizations');
  } else {
    await vm.performAll(DETACH_VIRTUAL_FUNCTION);
  }
  vm.stopIfCancelled();
}

/** Claim 3: a VF that is gone by then is no reason to stop, and the save goes on without a VF record. It may also go between the two. */
const withoutVfRecordIn = (saved: Answers<VmStep>): string | null =>
  saved.writeVirtualFunctionInfo?.evidence.withoutVfRecord ??
  saved.saveVirtualFunctionState?.evidence.withoutVfRecord ??
  null;

/** Past the point of no return: where only a reply was lost the rest is done; where a step failed nothing is left to try. */
async function finish(vm: VmOperation, error: unknown, list: readonly VmStep[]): Promise<void> {
  const isLost = !(error instanceof StepFailed) || error.step === 'crossPointOfNoReturn';
  if (isLost) {
    await vm.issue(list.slice(list.indexOf('crossPointOfNoReturn') + 1));
    return;
  }
  await vm.perform('strandVm');
  throw failure('VmStranded', `${vm.vmId}: ${error.message}`, {
    cause: error.cause,
    details: { steps: vm.steps },
  });
}

/**
 * Takes back what was done, then ends the run with why. If the host says that the mark is set after all, only its reply
 * was lost, there is nothing to take back: the save goes on.
 */
async function undoUnlessCrossed(vm: VmOperation, error: unknown): Promise<void> {
  const why = error instanceof StepFailed ? error.cause : error;
  const details = { steps: vm.steps };
  if (failureType(why) === 'Fenced') {
    throw failure('Fenced', failureMessage(why), { cause: why, details });
  }
  await CancellationScope.nonCancellable(() => vm.fence());
  if (vm.crossed) return;
  await undoSave(vm);
  if (isCancellation(why)) throw why;
  throw failure('SaveUndone', `${vm.vmId} was not saved: ${failureMessage(why)}`, {
    cause: why,
    details,
  });
}

async function restoreCancelled(vm: VmOperation): Promise<void> {
  await vm.turnToRestore();
  await restoreVm(vm);
}
