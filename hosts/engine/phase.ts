import type { VmPhase } from '../../contract/host';
import type { Holder } from '../../contract/ids';
import type { CoreImage, CoreVm } from './state';

export const sameHolder = (a: Holder | null | undefined, b: Holder | null | undefined): boolean =>
  a != null && b != null && a.workflowId === b.workflowId && a.runId === b.runId;

export const describeHolder = (h: Holder) => `workflow ${h.workflowId}, run ${h.runId}`;

/** Where the VM stands, from what is seen of it alone: the same answer whoever asks and whatever was lost. */
export function phaseOf(vm: CoreVm, image: CoreImage): VmPhase {
  if (vm.stranded !== null) return 'stranded';
  if (image.away !== null) return image.away;
  if (image.running) return vm.lease === null ? 'running' : 'preparing';
  if (vm.lease?.kind === 'recovery') return 'recovering';
  if (image.record?.state === 'claimed') return 'restoring';
  if (vm.pointOfNoReturn === null) return 'paused';
  return image.process === 'exited' ? 'saved' : 'crossed';
}

export const darkForMs = ({ pausedAtMs }: Pick<CoreImage, 'pausedAtMs'>, nowMs: number): number =>
  pausedAtMs === null ? 0 : nowMs - pausedAtMs;
