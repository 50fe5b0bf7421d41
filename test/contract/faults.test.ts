/** Faults as people write them on a command line, and as an input carries them. */
import * as z from 'zod/mini';
import { fault, parseFault } from '../../contract/faults';

it.each([
  ['vm-01:pauseVm:stuck', { vmId: 'vm-01', step: 'pauseVm', kind: 'stuck', times: 1 }],
  ['vm-01:saveVm:fail-after:3', { vmId: 'vm-01', step: 'saveVm', kind: 'fail-after', times: 3 }],
  ['vm-01:saveVm:vf-gone:1000', { vmId: 'vm-01', step: 'saveVm', kind: 'vf-gone', times: 1000 }],
  ['vm-01:noticeGuests:stuck', { vmId: 'vm-01', step: 'noticeGuests', kind: 'stuck', times: 1 }],
  ['host:noticeGuests:fail-before', { step: 'noticeGuests', kind: 'fail-before', times: 1 }],
  [
    'vm-01:resumeVm:guest-hangs',
    { vmId: 'vm-01', step: 'resumeVm', kind: 'guest-hangs', times: 1 },
  ],
  [
    'host:stageUpdate:starts-old-version',
    { step: 'stageUpdate', kind: 'starts-old-version', times: 1 },
  ],
  ['host:commitUpdate:fail-before', { step: 'commitUpdate', kind: 'fail-before', times: 1 }],
])('reads %s', (text, expected) => {
  expect(parseFault(text)).toEqual(expected);
  expect(z.safeParse(fault, parseFault(text)).success).toBe(true);
});

it.each([
  ['', /a fault is written <vmId>:<step>:<kind>\[:<times>\], not ""/],
  ['vm-01', /a fault is written/],
  ['vm-01:pauseVm', /a fault is written/],
  ['vm-01:pauseVm:stuck:1:2', /a fault is written/],
  [':pauseVm:stuck', /vmId/],
  ['-vm:pauseVm:stuck', /vmId must be 1-63 letters/],
  ['vm-01:pause:stuck', /step: /],
  ['vm-01:pauseVm:broken', /kind: /],
  ['vm-01:pauseVm:stuck:0', /times: /],
  ['vm-01:pauseVm:stuck:1001', /times: /],
  ['vm-01:pauseVm:stuck:1.5', /times: /],
  ['vm-01:pauseVm:stuck:many', /times: /],
  ['vm-01:pauseVm:stuck:', /times: /],
  // Faults that nothing would ever meet.
  ['vm-01:commitUpdate:stuck', /commitUpdate is a step of the whole host: leave vmId out/],
  ['host:commitUpdate:vf-gone', /only a step of a VM can lose its VF/],
  ['vm-01:noticeGuests:vf-gone', /only a step of a VM can lose its VF/],
  ['vm-01:pauseVm:guest-hangs', /guest-hangs can only be met at resumeVm/],
  ['host:commitUpdate:fails-to-start', /fails-to-start can only be met at stageUpdate/],
  ['vm-01:stageUpdate:fails-verification', /leave vmId out/],
  [
    'vm-01:verifyRestore:successor-dies',
    /successor-dies can only be met at reserveResources, pauseVm/,
  ],
  ['host:pauseVm:stuck', /pauseVm is a step of a VM/],
])('refuses "%s" with the reason', (text, says) => {
  expect(() => parseFault(text)).toThrow(says);
  expect(() => parseFault(text)).toThrow(TypeError);
});

it('has defaults for how often and how long', () => {
  expect(z.parse(fault, { step: 'saveVm', kind: 'slow' })).toEqual({
    step: 'saveVm',
    kind: 'slow',
    times: 1,
    delay: '2s',
  });
});

it('is strict: an unknown key is named', () => {
  const parsed = z.safeParse(fault, { step: 'saveVm', kind: 'slow', often: 2 });
  expect(parsed.error?.issues.map((i) => i.message).join()).toMatch(/often/);
});
