import { ATTACH_VIRTUAL_FUNCTION } from '../contract/steps';
import { StepFailed, type VmOperation } from './vm-operation';

/**
 * Gives a running VM a VF, as a conventional restore does. If none is to be had the VM stays on the synthetic path;
 * that is reported, not fatal.
 */
export async function attachVirtualFunction(vm: VmOperation): Promise<void> {
  vm.turnToRecovery();
  try {
    await vm.performAll(ATTACH_VIRTUAL_FUNCTION);
  } catch (error) {
    if (!(error instanceof StepFailed) || error.type === 'Fenced') throw error;
  }
}
