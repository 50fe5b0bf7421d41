/** The way back follows from what failed and why, never from the clock (host-model.md, section 6). */
import { FAILURES, type FailureType } from '../../contract/failures';
import { VM_STEP_NAMES, type VmStep } from '../../contract/steps';
import { wayBack, type WayBack } from '../../planning/ways-back';

it.each<[VmStep, FailureType, WayBack]>([
  ['awaitUpdate', 'HostStepFailed', 'leaveToHolder'],
  ['powerOnRestore', 'IdentityMismatch', 'detach'],
  ['powerOnRestore', 'ConfigEpochChanged', 'detach'],
  ['powerOnRestore', 'VirtualFunctionLost', 'detach'],
  ['powerOnRestore', 'VmStateLost', 'coldStart'],
  ['powerOnRestore', 'HostStepFailed', 'strand'],
  ['createVpciBus', 'HostStepFailed', 'detach'],
  ['assignVirtualFunction', 'Refused', 'detach'],
  ['restoreVirtualFunctionState', 'HostStepFailed', 'detach'],
  ['retrieveAndRestoreVirtualFunction', 'HostStepFailed', 'detach'],
  ['markVirtualFunctionAssigned', 'HostStepFailed', 'detach'],
  ['restoreVm', 'VmStateLost', 'coldStart'],
  ['restoreVm', 'HostStepFailed', 'strand'],
  ['resumeSyntheticAdapter', 'HostStepFailed', 'recreateAdapter'],
  ['resumeSyntheticAdapter', 'VmStateLost', 'coldStart'],
  ['resumeVm', 'HostStepFailed', 'strand'],
])('%s that failed as %s: %s', (step, type, way) => {
  expect(wayBack(step, type)).toBe(way);
});

it.each(VM_STEP_NAMES)(
  'whatever happens at %s: a fenced run leaves the VM to its holder, a breach goes no further',
  (step) => {
    expect(wayBack(step, 'Fenced')).toBe('leaveToHolder');
    expect(wayBack(step, 'InvariantBreach')).toBe('strand');
  },
);

it('guest memory is given up only when it is lost already', () => {
  for (const type of Object.keys(FAILURES) as FailureType[]) {
    for (const step of VM_STEP_NAMES) {
      if (wayBack(step, type) === 'coldStart') expect(type).toBe('VmStateLost');
    }
  }
});
