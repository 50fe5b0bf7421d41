import { issuedAhead, restoreFlow } from '../contract/flows';
import type { VmDescription } from '../contract/host';
import { lacksVf } from '../contract/results';
import { wayBack } from '../planning/ways-back';
import { attachVirtualFunction } from './attach-virtual-function';
import { failure } from './failures';
import { StepFailed, type VmOperation } from './vm-operation';

/** Brings a saved VM back, by the mode its record names; answers what the host says of it afterwards. */
export async function restoreVm(vm: VmOperation): Promise<VmDescription | 'notNeeded'> {
  await vm.perform('initializeSyntheticAdapter');
  await vm.perform('reserveResources');
  const flow = issuedAhead(restoreFlow(vm.settings));
  const answers = await orWayBack(vm, () => vm.issue(flow));
  if (answers?.awaitUpdate?.reason === 'saveUndone') return 'notNeeded';

  await vm.perform('enableOptimizations');
  const { facts } = await vm.inspect();
  if (lacksVf(facts)) await attachVirtualFunction(vm);
  const verified = await vm.perform('verifyRestore');
  return verified.evidence.vm ?? vm.inspect();
}

/** What is restored after the VF: the rest of the list. */
const restoreRest = async (vm: VmOperation): Promise<void> => {
  const flow = restoreFlow(vm.settings);
  await vm.issue(flow.slice(flow.indexOf('restoreVm'), flow.indexOf('resumeVm') + 1));
};

/** Of several VFs only those are given up that cannot be had; the others are still kept. */
async function detach(vm: VmOperation): Promise<void> {
  const { evidence } = await vm.perform('detachHeldFunction');
  await vm.issue(
    evidence.kept === true
      ? ['powerOnRestore', 'retrieveAndRestoreVirtualFunction']
      : ['powerOnRestore'],
  );
}

/** Runs the restore; where a step fails for good, takes the way back that its failure calls for, all the way. */
async function orWayBack<T>(vm: VmOperation, restore: () => Promise<T>): Promise<T | undefined> {
  try {
    return await restore();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    await takeWayBack(vm, error);
    return undefined;
  }
}

async function takeWayBack(vm: VmOperation, failed: StepFailed): Promise<void> {
  const way = wayBack(failed.step, failed.type, vm.retreat);
  if (way === 'leaveToHolder') throw failed;
  try {
    await vm.fence();
    if (vm.running) {
      // Only the reply of `resumeVm` was lost; but a breach that it found ends the run.
      if (failed.type === 'InvariantBreach') throw failed;
      return;
    }
    switch (way) {
      case 'retreat': {
        await vm.retreatToOldStack();
        const flow = issuedAhead(restoreFlow(vm.settings));
        await orWayBack(vm, () => vm.issue(flow.slice(flow.indexOf('powerOnRestore'))));
        return;
      }
      case 'detach':
        await detach(vm);
        await orWayBack(vm, () => restoreRest(vm));
        return;
      case 'recreateAdapter':
        await orWayBack(vm, () => vm.issue(['recreateSyntheticAdapter', 'resumeVm']));
        return;
      case 'coldStart':
        await vm.issue(['coldStartVm', 'resumeVm']);
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
