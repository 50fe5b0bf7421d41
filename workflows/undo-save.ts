import { CancellationScope } from '@temporalio/workflow';
import { lacksVf } from '../contract/results';
import { UNDO_SAVE } from '../contract/steps';
import { attachVirtualFunction } from './attach-virtual-function';
import type { VmOperation } from './vm-operation';

/** Before the point of no return everything can be undone: the VM runs again as before. */
export async function undoSave(vm: VmOperation): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    if (vm.running) await vm.performAll(UNDO_SAVE);
    else await vm.issue(UNDO_SAVE);
    await vm.perform('enableOptimizations');
    const { facts } = await vm.inspect();
    if (lacksVf(facts)) await attachVirtualFunction(vm);
    await vm.perform('endOperation');
  });
}
