import type { VmDescription } from '../contract/host';
import { lacksVf } from '../contract/results';
import { wayBack } from '../planning/ways-back';
import { attachVirtualFunction } from './attach-virtual-function';
import { failure } from './failures';
import { StepFailed, type VmOperation } from './vm-operation';

/** Brings a saved VM back, by the mode its record names; answers what the host says of it afterwards. */
export async function restoreVm(vm: VmOperation): Promise<VmDescription | 'notNeeded'> {
  await vm.performAll(['initializeSyntheticAdapter', 'reserveResources']);
  const turn = await vm.perform('awaitUpdate');
  if (turn.reason === 'saveUndone') return 'notNeeded';

  await orWayBack(vm, async () => {
    await restoreVirtualFunction(vm);
    await restoreRest(vm);
  });

  await vm.perform('enableOptimizations');
  const { facts } = await vm.inspect();
  if (lacksVf(facts)) await attachVirtualFunction(vm);
  const verified = await vm.perform('verifyRestore');
  return verified.evidence.vm ?? vm.inspect();
}

/** Claims 9 to 15, or 17 where retrieval, bus, assignment and state are one step. */
async function restoreVirtualFunction(vm: VmOperation): Promise<void> {
  await vm.perform('powerOnRestore');
  if (vm.settings.mode === 'conventional') return;
  if (vm.settings.virtualFunctionRestore === 'one-step') {
    await vm.perform('retrieveAndRestoreVirtualFunction');
  } else {
    await vm.performAll(['createVpciBus', 'assignVirtualFunction', 'restoreVirtualFunctionState']);
  }
}

async function restoreRest(vm: VmOperation): Promise<void> {
  await vm.perform('restoreVm');
  if (vm.settings.mode === 'conventional') await vm.perform('connectSyntheticAdapter');
  else await vm.perform('markVirtualFunctionAssigned');
  await vm.perform('resumeSyntheticAdapter');
  await vm.perform('resumeVm');
}

/** Of several VFs only those are given up that cannot be had; the others are still kept. */
async function detach(vm: VmOperation): Promise<void> {
  const { evidence } = await vm.perform('detachHeldFunction');
  await vm.perform('powerOnRestore');
  if (evidence.kept === true) await vm.perform('retrieveAndRestoreVirtualFunction');
}

/** Runs the restore; where a step fails for good, takes the way back that its failure calls for, all the way. */
async function orWayBack(vm: VmOperation, restore: () => Promise<void>): Promise<void> {
  try {
    await restore();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    await takeWayBack(vm, error);
  }
}

async function takeWayBack(vm: VmOperation, failed: StepFailed): Promise<void> {
  const way = wayBack(failed.step, failed.type);
  if (way === 'leaveToHolder') throw failed;
  try {
    await vm.fence();
    if (vm.running) {
      // Only the reply of `resumeVm` was lost; but a breach that it found ends the run.
      if (failed.type === 'InvariantBreach') throw failed;
      return;
    }
    switch (way) {
      case 'detach':
        await detach(vm);
        await restoreRest(vm);
        return;
      case 'recreateAdapter':
        await vm.performAll(['recreateSyntheticAdapter', 'resumeVm']);
        return;
      case 'coldStart':
        await vm.performAll(['coldStartVm', 'resumeVm']);
        return;
      case 'strand':
        break;
    }
  } catch (error) {
    if (!(error instanceof StepFailed) || error.type === 'Fenced' || vm.running) throw error;
    failed = error;
  }
  await vm.perform('strandVm');
  throw failure('VmStranded', `${vm.vmId} stays held and paused: ${failed.message}`, {
    cause: failed.cause,
    details: { steps: vm.steps },
  });
}
