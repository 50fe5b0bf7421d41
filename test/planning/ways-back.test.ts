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
  expect(wayBack(step, type, 'none')).toBe(way);
});

it.each<[VmStep, FailureType, WayBack, WayBack]>([
  ['powerOnRestore', 'RecordUnreadable', 'retreat', 'strand'],
  ['powerOnRestore', 'HostStepFailed', 'retreat', 'strand'],
  ['createVpciBus', 'HostStepFailed', 'retreat', 'detach'],
  ['restoreVm', 'SuccessorEnded', 'retreat', 'retreat'],
  ['createVpciBus', 'SuccessorEnded', 'retreat', 'retreat'],
  ['resumeSyntheticAdapter', 'HostStepFailed', 'retreat', 'recreateAdapter'],
  ['resumeVm', 'Refused', 'retreat', 'strand'],
  // A fault of the VF itself is no better on the old version.
  ['powerOnRestore', 'ConfigEpochChanged', 'detach', 'detach'],
  ['assignVirtualFunction', 'VirtualFunctionLost', 'detach', 'detach'],
  // Nor is a record that is not whole.
  ['restoreVm', 'VmStateLost', 'coldStart', 'coldStart'],
])('%s that failed as %s on the new version: %s, and then %s', (step, type, first, then) => {
  expect(wayBack(step, type, 'open')).toBe(first);
  expect(wayBack(step, type, 'taken')).toBe(then);
});

it('a process that ended is followed by another one, also where there is no other version, but not for ever', () => {
  expect(wayBack('restoreVm', 'SuccessorEnded', 'none')).toBe('retreat');
  expect(wayBack('restoreVm', 'SuccessorEnded', 'spent')).toBe('strand');
  expect(wayBack('powerOnRestore', 'RecordUnreadable', 'none')).toBe('strand');
});

it.each(VM_STEP_NAMES)(
  'whatever happens at %s: a fenced run leaves the VM to its holder, a breach goes no further',
  (step) => {
    expect(wayBack(step, 'Fenced', 'open')).toBe('leaveToHolder');
    expect(wayBack(step, 'InvariantBreach', 'open')).toBe('strand');
  },
);

it('guest memory is given up only when it is lost already', () => {
  for (const type of Object.keys(FAILURES) as FailureType[]) {
    for (const step of VM_STEP_NAMES) {
      if (wayBack(step, type, 'none') === 'coldStart') expect(type).toBe('VmStateLost');
    }
  }
});
