/** VMs with several adapters, and with none that has a VF, through the workflows. */
import { functionsOf, type VmFacts } from '../../contract/results';
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('several-adapters', { hosts: 11, vms: 6, adapters: 'mixed' });
});
afterAll(() => suite.stop());

const VMS = ['vm-01', 'vm-02', 'vm-03', 'vm-04', 'vm-05', 'vm-06'] as const;
const factsOf = (hostId: string, vmId: string) => suite.vm(hostId, vmId).facts;
const identitiesOf = (facts: VmFacts) => functionsOf(facts).map((vf) => vf.identityAfter);

test.concurrent.each(VMS)('fastSave and fastRestore keep every VF of %s', async (vmId) => {
  const hostId = suite.freshHost();
  const target = { hostId, vmId };
  const before = identitiesOf(factsOf(hostId, vmId));
  const saved = await suite.run('fastSave', target);
  expect(saved).toMatchObject({ outcome: 'saved', withoutVfRecord: null });
  const { vm } = await suite.run('fastRestore', {
    ...target,
    virtualFunctionRestore: vmId === 'vm-02' ? 'one-step' : 'step-by-step',
  });
  expect(vm).toMatchObject({ path: 'kept', running: true, guestVisibleEvents: 0 });
  expect(identitiesOf(vm)).toEqual(before);
});

test.concurrent.each([
  ['modified', 'kept', 0],
  ['conventional', 'reattached', 2],
] as const)('serviceHost, %s, over all of them', async (mode, path, events) => {
  const hostId = suite.freshHost();
  const before = VMS.map((vmId) => identitiesOf(factsOf(hostId, vmId)));
  const result = await suite.run('serviceHost', { hostId, update: { version: '2.0.0' }, mode });
  expect(result).toMatchObject({
    forbiddenCommands: 0,
    invariants: { violated: 0 },
    outcome: 'updated',
  });
  for (const { vmId, facts } of result.vms) {
    const vfs = functionsOf(facts).length;
    expect([vmId, facts.path, facts.guestVisibleEvents]).toEqual([
      vmId,
      vfs === 0 ? 'kept' : path,
      events * vfs,
    ]);
    expect(identitiesOf(facts)).not.toContain(null);
  }
  const after = VMS.map((vmId) => identitiesOf(factsOf(hostId, vmId)));
  if (mode === 'modified') expect(after).toEqual(before);
});

test.concurrent(
  'of two VFs the one that cannot be had back is attached anew, the other stays kept',
  async () => {
    const target = { hostId: suite.freshHost(), vmId: 'vm-02' };
    await suite.run('fastSave', target);
    suite.stack.store.update(target.hostId, 'vm-02', ({ pfs }) => {
      for (const vf of pfs[0]?.vfs ?? []) if (vf.ownerVmId === 'vm-02') vf.configEpoch += 1;
    });
    const { vm, steps } = await suite.run('fastRestore', target);
    expect(vm).toMatchObject({ path: 'reattached', running: true });
    expect(vm.adapters).toMatchObject([
      { adapterId: 'nic-0', path: 'reattached', guestVisibleEvents: 2 },
      { adapterId: 'nic-1', path: 'kept', guestVisibleEvents: 0 },
    ]);
    expect(steps.map(({ name }) => name)).toContain('retrieveAndRestoreVirtualFunction');
  },
);

test.concurrent('a save that is undone leaves every VF where it was', async () => {
  const hostId = suite.freshHost();
  const before = identitiesOf(factsOf(hostId, 'vm-03'));
  const { type } = await suite.fails('fastSave', {
    hostId,
    vmId: 'vm-03',
    blackoutBudget: '5s',
    faults: [{ step: 'saveVm', kind: 'fail-before', times: 1_000 }],
  });
  expect(type).toBe('SaveUndone');
  const facts = factsOf(hostId, 'vm-03');
  expect(facts).toMatchObject({ running: true, path: 'kept', guestVisibleEvents: 0 });
  expect(identitiesOf(facts)).toEqual(before);
});

test.concurrent('the dead-man brings a VM with two NICs back with both of its VFs', async () => {
  const hostId = suite.freshHost();
  const before = identitiesOf(factsOf(hostId, 'vm-02'));
  await suite.run('fastSave', { hostId, vmId: 'vm-02', maxSavedFor: '1s' });
  await suite.untilPhase(hostId, 'vm-02', 'running');
  const facts = factsOf(hostId, 'vm-02');
  expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
  expect(identitiesOf(facts)).toEqual(before);
});
