import type { FailureType } from '../contract/failures';
import type { VmStep } from '../contract/steps';

/**
 * The way a restore goes on after a step that failed for good (host model, section 6): chosen by what failed and why,
 * never by the clock alone.
 */
export type WayBack =
  'retreat' | 'detach' | 'recreateAdapter' | 'coldStart' | 'strand' | 'leaveToHolder';

/**
 * Whether the VM may go back to the version it ran before: it may, it has, there is no other version, or that version has
 * had as many processes as it gets.
 */
export type Retreat = 'open' | 'taken' | 'none' | 'spent';

/** Steps whose failure only says that the VF cannot be had back: the VM itself is whole. */
const VF_STEPS: ReadonlySet<VmStep> = new Set<VmStep>([
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'retrieveAndRestoreVirtualFunction',
  'markVirtualFunctionAssigned',
]);
const VF_FAILURES: ReadonlySet<FailureType> = new Set<FailureType>([
  'IdentityMismatch',
  'ConfigEpochChanged',
  'VirtualFunctionLost',
]);

/**
 * The best that is left: the VM on its old version with its VF kept, unless it has gone back already, or it is the VF itself
 * that has failed; then without its VF, without the guest's memory, and not at all.
 */
export function wayBack(step: VmStep, type: FailureType, retreat: Retreat): WayBack {
  if (type === 'Fenced') return 'leaveToHolder';
  if (type === 'InvariantBreach') return 'strand';
  // Before the gate of the restores nothing was restored: whoever holds the save decides.
  if (step === 'awaitUpdate') return 'leaveToHolder';
  if (type === 'VmStateLost') return 'coldStart';
  if (VF_FAILURES.has(type)) return 'detach';
  // All that restores the VM happened in a process that is gone: another one does it all again.
  if (type === 'SuccessorEnded') return retreat === 'spent' ? 'strand' : 'retreat';
  if (retreat === 'open') return 'retreat';
  if (VF_STEPS.has(step)) return 'detach';
  if (step === 'resumeSyntheticAdapter') return 'recreateAdapter';
  return 'strand';
}
