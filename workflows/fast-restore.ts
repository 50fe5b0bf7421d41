import { CancellationScope } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import type { VmDescription } from '../contract/host';
import { fastRestoreInput, type FastRestoreInput } from '../contract/inputs';
import type { FastRestoreResult } from '../contract/results';
import { endsTyped } from './ends-typed';
import { failure, failureMessage } from './failures';
import { checkFaultsSupported, ping } from './host-steps';
import { onProgress } from './progress';
import { restoreVm } from './restore-vm';
import { undoSave } from './undo-save';
import { validated } from './validated';
import { showAttributes, showBeginning, showEnd, showRestored } from './visibility';
import { StepFailed, VmOperation } from './vm-operation';

const EXAMPLE = '{"hostId":"host-01","vmId":"vm-01"}';

/**
 * Restores a saved VM by the mode that its record names. Inside a servicing run it is started before the VM pauses,
 * prepares, and waits on the host for the update. From the first step on it can only go forward.
 */
export const fastRestore = endsTyped(async function fastRestore(
  raw: FastRestoreInput,
): Promise<FastRestoreResult> {
  const input = validated(fastRestoreInput, raw, EXAMPLE);
  const { hostId, vmId, faults } = input;
  showBeginning({
    HostId: hostId,
    VmId: vmId,
    Phase: 'restoring',
    ForkOf: input.adopt?.runId ?? null,
  });
  checkFaultsSupported(await ping(hostId), faults);
  const vm = await VmOperation.begin('beginRestore', {
    hostId,
    vmId,
    faults,
    settings: {
      mode: 'modified',
      holdMode: 'instruct-skip',
      virtualFunctionRestore: input.virtualFunctionRestore,
      blackoutBudgetMs: toMs(input.blackoutBudget),
      maxSavedForMs: 0,
    },
    ...(input.adopt === undefined ? {} : { adopt: input.adopt }),
  });
  onProgress(() => vm.steps);
  const restored = await CancellationScope.nonCancellable(() => bringBack(vm));

  const seen = restored === 'notNeeded' ? await vm.inspect() : restored;
  showAttributes({ SaveMode: vm.settings.mode });
  showEnd(restored === 'notNeeded' ? 'notNeeded' : seen.facts.path, null);
  const result: FastRestoreResult = {
    hostId,
    vmId,
    mode: vm.settings.mode,
    outcome: restored === 'notNeeded' ? 'notNeeded' : 'restored',
    vm: seen.facts,
    steps: vm.steps,
  };
  showRestored(result);
  return result;
});

async function bringBack(vm: VmOperation): Promise<VmDescription | 'notNeeded'> {
  if (vm.phase === 'paused' || (vm.phase === 'recovering' && !vm.crossed)) {
    // Taken over from a save that had not crossed: what it did is undone instead.
    await undoSave(vm);
    return 'notNeeded';
  }
  try {
    if (vm.phase === 'crossed' || vm.phase === 'recovering') {
      // Taken over from a save that had crossed: what it left is finished first.
      await vm.issue(['resetVpciBusInterface', 'tearDownSyntheticAdapter']);
    }
    return await restoreVm(vm);
  } catch (error) {
    if (!(error instanceof StepFailed) || error.type === 'Fenced') throw error;
    // The preparation failed before the VM was down: then its save must not go on either.
    await vm.fence();
    if (vm.crossed) {
      await vm.perform('strandVm');
      throw failure('VmStranded', `${vm.vmId} stays held and paused: ${error.message}`, {
        cause: error.cause,
        details: { steps: vm.steps },
      });
    }
    await undoSave(vm);
    throw failure(
      'SaveUndone',
      `The restore of ${vm.vmId} could not be prepared: ${failureMessage(error.cause)}`,
      {
        cause: error.cause,
        details: { steps: vm.steps },
      },
    );
  }
}
