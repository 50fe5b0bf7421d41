import { CancellationScope, makeContinueAsNewFunc, workflowInfo } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import { fastSaveInput, type FastSaveInput } from '../contract/inputs';
import type { FastSaveResult } from '../contract/results';
import { DETACH_VIRTUAL_FUNCTION } from '../contract/steps';
import { endsTyped } from './ends-typed';
import { failure, failureMessage, failureType, isCancellation } from './failures';
import { checkFaultsSupported, checkStepsSupported, ping } from './host-steps';
import { onProgress } from './progress';
import { restoreVm } from './restore-vm';
import { undoSave } from './undo-save';
import { validated } from './validated';
import { showBeginning, showEnd, showSaved } from './visibility';
import { StepFailed, VmOperation, type Wish } from './vm-operation';

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
  if (
    input.stepPlacement === 'in-place' &&
    workflowInfo().continuedFromExecutionRunId === undefined
  ) {
    // Steps in place need the host's own worker: the run goes on there. The queue's name must not decide it: a replay
    // from a file runs on another one.
    return makeContinueAsNewFunc<(input: FastSaveInput) => Promise<FastSaveResult>>({
      taskQueue: host.vmWorkflowQueue,
    })(raw);
  }

  const wish: Wish = {
    hostId,
    vmId,
    faults,
    settings: {
      mode: input.mode,
      holdMode: input.holdMode,
      stepPlacement: input.stepPlacement,
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

  let withoutVfRecord: string | null = null;
  try {
    await prepare(vm);
    await vm.perform('awaitPause');
    vm.stopIfCancelled();
    await vm.perform('pauseVm');
    if (vm.settings.mode === 'modified') withoutVfRecord = await saveVirtualFunction(vm);
    vm.stopIfCancelled();
    await vm.perform('saveSyntheticAdapter');
    await vm.perform('saveVm');
    vm.stopIfCancelled();
    await vm.perform('crossPointOfNoReturn');
  } catch (error) {
    await undoUnlessCrossed(vm, error);
  }
  await tearDown(vm);
  await vm.perform('awaitResume');
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
    withoutVfRecord,
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

/** Claims 1 and 3 to 5. A VF that is gone by now is no reason to stop: the save goes on without a VF record. */
async function saveVirtualFunction(vm: VmOperation): Promise<string | null> {
  const saved = await vm.perform('saveVirtualFunctionState');
  const written = await vm.perform('writeVirtualFunctionInfo');
  // It may also go between the two.
  return written.evidence.withoutVfRecord ?? saved.evidence.withoutVfRecord ?? null;
}

/** Claims 6 to 8, past the point of no return. */
async function tearDown(vm: VmOperation): Promise<void> {
  try {
    await vm.perform('resetVpciBusInterface');
    if (vm.settings.mode === 'conventional') await vm.perform('disconnectSyntheticAdapter');
    await vm.perform('tearDownSyntheticAdapter');
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    if (error.type !== 'Fenced') await vm.perform('strandVm');
    throw failure(
      error.type === 'Fenced' ? 'Fenced' : 'VmStranded',
      `${vm.vmId}: ${error.message}`,
      {
        cause: error.cause,
        details: { steps: vm.steps },
      },
    );
  }
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
