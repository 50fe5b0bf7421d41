/** Claims 1 to 8 of US 2024/0427619 A1: the modified fast save, as runs on the server leave it on their hosts. */
import { HOLD_MODES } from '../../contract/inputs';
import { loseVf, produced, vfOf } from '../../hosts/simulator/devices/physical-function';
import { unassignDevice } from '../../hosts/simulator/devices/vpci-vsp';
import type { AdapterObjects } from '../../hosts/simulator/state';
import { Suite } from '../support/suite';
import { SAVE_IN_ORDER } from './orders';
import { type VmOnHost, expectHeld, expectInOrder, freshVms, heldAs } from './vm-on-host';

let suite: Suite;
let freshVm: () => VmOnHost;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 14);
  freshVm = freshVms(suite);
});
afterAll(() => suite.stop());

test('claim 1: optimizations go off, VF state, VF ID and LUID and the synthetic adapter are saved, and the VF stays', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  const saved = await vm.save();

  expectInOrder(vm.commands(), SAVE_IN_ORDER);
  expect(vm.record).toMatchObject({
    state: 'committed',
    mode: 'modified',
    blocks: { vmState: {} },
  });
  expect(vm.blocks).toMatchObject({
    withoutVf: null,
    vfState: { configEpoch: before.configEpoch },
    vfInfo: { vfId: before.identity.vfId, luid: before.identity.luid },
    switchBlobs: suite.stack.store
      .host(vm.hostId)
      .switchExtensions.map(({ extensionId }) => ({ extensionId })),
  });
  expect(vm.blocks.switchBlobs).not.toHaveLength(0);
  expect(vm.releasesTried()).toEqual([]);
  expectHeld(vm, before);
  expect(saved).toMatchObject({
    outcome: 'saved',
    mode: 'modified',
    identity: before.identity,
    withoutVfRecord: null,
  });
});

test('claim 1: with optimizations off the guest still runs on its VF, which is held', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  await vm.saveLookingAt('pauseVm', () => {
    const { vdev, custody, guest } = vm.adapter;
    const { partition } = vm.vm;
    expect(vdev).toMatchObject({ optimizations: 'disabled', iovWeight: 100 });
    expect(custody).toEqual({ vfId: before.identity.vfId, lost: false });
    expect({ partition: partition.state, dataPath: guest.dataPath }).toEqual({
      partition: 'running',
      dataPath: 'vf',
    });
    expectHeld(vm, before);
  });
  expectHeld(vm, before);
});

test.each(HOLD_MODES)(
  'claim 2: the VSP is kept from unassigning and releasing the VF, hold mode %s',
  async (holdMode) => {
    const vm = freshVm();
    const before = heldAs(vm);
    const lookAtTheHold = async () => {
      const { vpci } = vm.adapter;
      expect(vpci.hold).toBe(holdMode);
      // What a stray order to unassign would meet at the VSP itself, tried on a copy.
      const order = () => unassignDevice(vpci);
      if (holdMode === 'block') expect(order).toThrow(/refuses to unassign a held VF/);
      else expect(order()).toBe({ 'instruct-skip': 'skipped', omit: 'done' }[holdMode]);
      // On the host none of the three lets it through.
      await vm.expectForbidden('VPCI.UnassignDevice');
    };
    await vm.saveLookingAt('saveVirtualFunctionState', lookAtTheHold, { holdMode });
    expect(vm.releasesTried()).toEqual(['VPCI.UnassignDevice']);
    expect(vm.notCarriedOut('forbidden')).toEqual(['VPCI.UnassignDevice']);
    expect(vm.adapter.vpci.hold).toBe(holdMode);
    expectHeld(vm, before);
    await vm.restore();
    expect(vm.adapter.vpci.hold).toBeNull();
  },
);

const DETERMINE = 'SyntheticNic.DetermineVfAllocatedAndAssigned';

test('claim 3: whether the VF is still allocated and assigned is determined before its state is saved, and again after', async () => {
  const vm = freshVm();
  await vm.save();
  expect(vm.commands('saveVirtualFunctionState')).toEqual([
    DETERMINE,
    'VPCI.SaveDeviceState',
    DETERMINE,
  ]);
  expect(vm.outcomeOf('saveVirtualFunctionState').evidence).toEqual({ withoutVfRecord: null });
});

const unassigned = ({ adapter }: AdapterObjects) => {
  adapter.vpci.device = null;
  adapter.vpci.interface = { state: 'none', madeBy: null };
  if (adapter.custody !== null) adapter.custody.lost = true;
};
const notAllocated = ({ pf, vm, adapter }: AdapterObjects) => {
  const vf = vfOf({ pf, vm, adapter });
  if (vf !== undefined) loseVf(pf, vf);
  if (adapter.custody !== null) adapter.custody.lost = true;
};

test.each([
  ['the VF is allocated but not assigned any more', [unassigned]],
  ['the VF is not allocated any more', [notAllocated]],
  ['the VF is neither allocated nor assigned any more', [notAllocated, unassigned]],
])('claim 3: the save says which half is gone: %s', async (gone, changes) => {
  const vm = freshVm();
  const saved = await vm.saveLookingAt('saveVirtualFunctionState', () => {
    for (const change of changes) vm.change(change);
  });
  expect(saved).toMatchObject({ outcome: 'saved', withoutVfRecord: gone });
  expect(vm.record.state).toBe('committed');
  expect(vm.blocks.withoutVf).toBe(gone);
});

test('claim 4: the VSP saves the VF state into the repository once it is known that the VF is there', async () => {
  const vm = freshVm();
  await vm.save();
  expectInOrder(vm.commands(), [
    DETERMINE,
    'VPCI.SaveDeviceState',
    DETERMINE,
    'Repository.WriteVirtualFunctionInfo',
    'Repository.Commit',
  ]);
  expect(vm.blocks.vfState).toEqual({
    configEpoch: vm.vf.configEpoch,
    barPlacement: [expect.stringMatching(/^0x/), expect.stringMatching(/^0x/)],
    interruptMappings: 8,
    powerState: 'D0',
    negotiatedVersion: vm.device.negotiatedVersion,
    instanceGuid: vm.adapter.vpci.instanceGuid,
  });
});

test('claim 4: the VSP is not called for a VF that is gone, and the record has no state of it', async () => {
  const vm = freshVm();
  await vm.save({ faults: [{ step: 'saveVirtualFunctionState', kind: 'vf-gone' }] });
  expect(vm.commands()).toContain('NDIS_STATUS_SWITCH_PORT_REMOVE_VF');
  expect(vm.commands()).toContain(DETERMINE);
  expect(vm.commands()).not.toContain('VPCI.SaveDeviceState');
  expect(vm.commands()).not.toContain('Repository.WriteVirtualFunctionInfo');
  expect(Object.keys(vm.blocks).sort()).toEqual(['switchBlobs', 'withoutVf']);
  expect(vm.record.blocks.vmState).toBeDefined();
});

test('claim 4: a state that was saved is dropped when the VF goes before its ids are written', async () => {
  const vm = freshVm();
  const gone = 'the VF is neither allocated nor assigned any more';
  const { withoutVfRecord } = await vm.save({
    faults: [{ step: 'writeVirtualFunctionInfo', kind: 'vf-gone' }],
  });
  expect(withoutVfRecord).toBe(gone);
  expect(vm.commands()).toContain('VPCI.SaveDeviceState');
  expect(vm.record.state).toBe('committed');
  expect(vm.blocks.withoutVf).toBe(gone);
  expect(Object.keys(vm.blocks).sort()).toEqual(['switchBlobs', 'withoutVf']);
  expect(vm.record.blocks.vmState).toBeDefined();
});

test.each(['saveVirtualFunctionState', 'writeVirtualFunctionInfo', 'saveVm'] as const)(
  'claim 4: what would make the determination untrue is refused while %s is under way',
  async (step) => {
    const vm = freshVm();
    const before = heldAs(vm);
    const foreign = [
      'OID_NIC_SWITCH_FREE_VF',
      'OID_SRIOV_RESET_VF',
      'OID_NIC_SWITCH_DELETE_VPORT',
      'OID_RECEIVE_FILTER_MOVE_FILTER',
      'VPCI.UnassignDevice',
      'VPCI.Eject',
      'SetIovWeight',
    ] as const;
    await vm.saveLookingAt(step, async () => {
      for (const command of foreign) await vm.expectForbidden(command);
    });
    expect(vm.notCarriedOut('forbidden')).toEqual(foreign);
    expect(vm.record.state).toBe('committed');
    expect(vm.blocks.withoutVf).toBeNull();
    expectHeld(vm, before);
  },
);

test('claim 5: one write puts VF ID and LUID into the repository, with the rest of what tells the VF', async () => {
  const vm = freshVm();
  const { identity, configEpoch } = heldAs(vm);
  await vm.save();
  expect(vm.commands('writeVirtualFunctionInfo')).toEqual(['Repository.WriteVirtualFunctionInfo']);
  expectInOrder(vm.commands(), [
    'VPCI.SaveDeviceState',
    'Repository.WriteVirtualFunctionInfo',
    'OID_SWITCH_NIC_SAVE (start)',
  ]);
  expect(vm.blocks.vfInfo).toEqual({ ...identity, configEpoch });
  expect(vm.outcomeOf('writeVirtualFunctionInfo').evidence).toEqual({
    vfId: identity.vfId,
    luid: identity.luid,
  });
});

test('claim 5: it stays one write when its reply is lost', async () => {
  const vm = freshVm();
  const { identity } = heldAs(vm);
  await vm.save({ faults: [{ step: 'writeVirtualFunctionInfo', kind: 'fail-after' }] });
  expect(vm.commands('writeVirtualFunctionInfo')).toEqual(['Repository.WriteVirtualFunctionInfo']);
  expect(vm.outcomeOf('writeVirtualFunctionInfo').attempts).toBe(2);
  expect(vm.blocks.vfInfo).toMatchObject(identity);
});

test('claim 6: after the VM is saved its bus interface goes, and the connection made through it stays', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  await vm.saveLookingAt('resetVpciBusInterface', () => {
    expect(vm.record.state).toBe('committed');
    expect(vm.adapter.vpci.interface.state).toBe('active');
    expectHeld(vm, before);
  });
  expectInOrder(vm.commands(), [
    'Hypervisor.SavePartition',
    'Repository.Commit',
    'PointOfNoReturn.Cross',
    'VPCI.ResetBusInterface',
  ]);
  expect(vm.adapter.vpci.interface).toEqual({ state: 'none', madeBy: null });
  expectHeld(vm, before);
});

test('claim 6: a bus interface that is inactive by then is left alone', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  const saved = await vm.saveLookingAt('crossPointOfNoReturn', () => {
    vm.change(({ adapter: { vpci } }) => {
      vpci.interface = { state: 'none', madeBy: null };
    });
  });
  expect(vm.commands()).not.toContain('VPCI.ResetBusInterface');
  expect(saved.steps.find(({ name }) => name === 'resetVpciBusInterface')?.status).toBe(
    'notApplicable',
  );
  expectHeld(vm, before);
});

test('claim 7: the VSP resets the bus interface, and nothing else: no FLR, no unassign, packets go on', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  const { ring } = vm.vf;
  await vm.save();
  expect(vm.commands('resetVpciBusInterface')).toEqual(['VPCI.ResetBusInterface']);
  expect(vm.commands().filter((command) => command === 'VPCI.ResetBusInterface')).toHaveLength(1);
  expect(vm.releasesTried()).toEqual([]);
  expectHeld(vm, before);
  // A reset of the VF would have begun the ring anew.
  expect(vm.vf.ring).toEqual(ring);
  expect(produced(vm.vf.ring, vm.objects.nowMs)).toBeGreaterThan(0);
});

test('claim 8: the synthetic adapter is torn down and its worker process ends; the NIC stays at the switch', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  await vm.save();
  expectInOrder(vm.commands(), [
    'OID_SWITCH_NIC_SAVE_COMPLETE',
    'Repository.Commit',
    'VPCI.ResetBusInterface',
    'VDEV.Teardown',
    'VMWP.Exit',
  ]);
  expect(vm.commands('tearDownSyntheticAdapter')).toEqual(['VDEV.Teardown', 'VMWP.Exit']);
  expect(vm.adapter).toMatchObject({ vdev: { state: 'TornDown' }, nic: { state: 'connected' } });
  expect(vm.vm).toMatchObject({
    workerProcess: {
      state: 'exited',
      exitDetail: 'FastSavePreservePartitionHandleTransferNetworking',
    },
    partition: { state: 'preserved', custodian: 'hypervisor', pagesPinned: true },
  });
  expectHeld(vm, before);
});
