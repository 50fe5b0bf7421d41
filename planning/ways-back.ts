import type { FailureType } from '../contract/failures';
import type { VmStep } from '../contract/steps';

/**
 * The way a restore goes on after a step that failed for good (host model, section 6): chosen by what failed and why,
 * never by the clock alone.
 */
export type WayBack = 'detach' | 'recreateAdapter' | 'coldStart' | 'strand' | 'leaveToHolder';

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

export function wayBack(step: VmStep, type: FailureType): WayBack {
  if (type === 'Fenced') return 'leaveToHolder';
  if (type === 'InvariantBreach') return 'strand';
  // Before the gate of the restores nothing was restored: whoever holds the save decides.
  if (step === 'awaitUpdate') return 'leaveToHolder';
  if (type === 'VmStateLost') return 'coldStart';
  if (VF_FAILURES.has(type) || VF_STEPS.has(step)) return 'detach';
  if (step === 'resumeSyntheticAdapter') return 'recreateAdapter';
  return 'strand';
}
