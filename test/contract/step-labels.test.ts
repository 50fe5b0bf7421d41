import { isLabelledCall, stepLabel } from '../../contract/step-labels';
import { HOST_STEP_NAMES, VM_STEP_NAMES } from '../../contract/steps';

const of = { hostId: 'host-01', vmId: 'vm-01' };

it.each(VM_STEP_NAMES)('%s has a label that names the VM', (step) => {
  const label = stepLabel(step, of);
  expect(label).toContain('vm-01');
  expect(label).not.toMatch(/[{}]/);
});

it.each(HOST_STEP_NAMES)('%s has a label that names the host', (step) => {
  expect(stepLabel(step, of)).toContain('host-01');
});

it('the label of a step that takes back, or that is a way back, says so', () => {
  expect(stepLabel('saveVm', of)).toBe('save VM state of vm-01');
  expect(stepLabel('unsaveVm', { ...of, direction: 'undo' })).toBe(
    'undo: discard saved VM state of vm-01',
  );
  expect(stepLabel('detachHeldFunction', { ...of, direction: 'recover' })).toBe(
    'way back: detach the held VF of vm-01',
  );
});

it('the longest label fits: a server takes 400 bytes', () => {
  const long = 'x'.repeat(63);
  for (const step of [...VM_STEP_NAMES, ...HOST_STEP_NAMES]) {
    expect(
      stepLabel(step, { hostId: long, vmId: long, direction: 'recover' }).length,
    ).toBeLessThanOrEqual(200);
  }
});

it('what is no call has no label', () => {
  expect(isLabelledCall('toString')).toBe(false);
  expect(isLabelledCall('pingHost')).toBe(true);
});
