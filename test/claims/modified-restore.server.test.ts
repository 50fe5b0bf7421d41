/** Claims 9 to 17 of US 2024/0427619 A1: the modified fast restore, as runs on the server leave it on their hosts. */
import { restoreFlow } from '../../contract/flows';
import type { VirtualFunction } from '../../hosts/simulator/devices/physical-function';
import type { AdapterObjects } from '../../hosts/simulator/state';
import { Suite } from '../support/suite';
import { ADAPTER_AND_VM, IDS_BUS_VF_STATE } from './orders';
import {
  type VmOnHost,
  expectHeld,
  expectInOrder,
  expectKept,
  freshVms,
  heldAs,
} from './vm-on-host';

let suite: Suite;
let freshVm: () => VmOnHost;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 12);
  freshVm = freshVms(suite);
});
afterAll(() => suite.stop());

/** A VM that is saved; `before` is its VF as it was while the VM still ran. */
async function savedVm() {
  const vm = freshVm();
  const before = heldAs(vm);
  const workerProcess = vm.vm.workerProcess.number;
  await vm.save();
  const { generation } = vm.vm;
  return { vm, before, saved: { workerProcess, generation, commands: vm.commands().length } };
}

/** The VF on its PF becomes another one, or another VM's. */
const withVf = (change: Partial<VirtualFunction>) => (o: AdapterObjects) => {
  o.pf.vfs = o.pf.vfs.map((vf) => (vf.ownerVmId === o.vm.vmId ? { ...vf, ...change } : vf));
};

test('claim 9: ids retrieved, bus interface made, VF assigned, its state restored, then the switch resumes the adapter', async () => {
  const { vm, before, saved } = await savedVm();
  const restored = await vm.restore();

  expectInOrder(vm.commands(), [...IDS_BUS_VF_STATE, ...ADAPTER_AND_VM]);
  expect(vm.outcomeOf('powerOnRestore').evidence).toMatchObject({
    vfId: before.identity.vfId,
    luid: before.identity.luid,
  });
  expect(vm.vm.generation).toBeGreaterThan(saved.generation);
  expect(vm.vm.workerProcess).toMatchObject({ state: 'running' });
  expect(vm.vm.workerProcess.number).not.toBe(saved.workerProcess);
  expect(vm.adapter.nic.restored).toEqual(
    suite.stack.store.host(vm.hostId).switchExtensions.map(({ extensionId }) => extensionId),
  );
  expect(vm.record.state).toBe('consumed');
  expectKept(vm, before);
  expect(restored).toMatchObject({
    outcome: 'restored',
    mode: 'modified',
    vm: { path: 'kept', identityBefore: before.identity, identityAfter: before.identity },
  });
  const flow = restoreFlow({ mode: 'modified', virtualFunctionRestore: 'step-by-step' });
  expect(restored.steps.map(({ name }) => name)).toEqual(flow);
});

test('claim 10: adapter initialized, resources reserved, then power-on-restore reads version, block count and VF info', async () => {
  const { vm, before } = await savedVm();
  const { vdevVersion, commit } = vm.record;
  await vm.restore();
  expectInOrder(vm.commands(), [
    'VDEV.Initialize',
    'VDEV.StartReservingResources',
    'VDEV.FinishReservingResources',
    'VDEV.PowerOnRestore (begin)',
    'Repository.ReadVdevVersion',
    'Repository.ReadBlockCount',
    'Repository.ReadVirtualFunctionInfo',
    'VDEV.PowerOnRestore (end)',
    'VPCI.CreateBus',
  ]);
  expect(commit?.blockCount).toBe(4);
  expect(vm.outcomeOf('powerOnRestore').evidence).toEqual({
    vdevVersion,
    blocks: commit?.blockCount,
    vfId: before.identity.vfId,
    luid: before.identity.luid,
  });
});

test('claim 10: a VF that is not the one of the VF info is refused at the read, before any hardware is touched', async () => {
  const { vm, saved } = await savedVm();
  vm.change(({ adapter: { vpci } }) => {
    if (vpci.device !== null) vpci.device = { ...vpci.device, luid: '00000000:0000ffff' };
  });
  const restored = await vm.restore();
  expect(vm.notCarriedOut('refused')).toEqual(['Repository.ReadVirtualFunctionInfo']);
  // Nothing of the VF before the authorised release that the way back begins with.
  const since = vm.commands().slice(saved.commands);
  const untilReleased = since.slice(0, since.indexOf('Custody.AuthorisedRelease'));
  expect(untilReleased).toContain('Repository.ReadBlockCount');
  expect(untilReleased.filter((command) => /^(VPCI\.|OID_)/.test(command))).toEqual([]);
  expect(restored.vm.path).toBe('reattached');
});

test('claim 11: the VSP makes a new bus interface, for the new worker process', async () => {
  const { vm, before, saved } = await savedVm();
  expect(vm.adapter.vpci.interface.state).toBe('none');
  await vm.restoreLookingAt('assignVirtualFunction', () => {
    const { vpci } = vm.adapter;
    const { workerProcess } = vm.vm;
    expect(vpci.interface).toEqual({ state: 'created', madeBy: workerProcess.number });
    expect(workerProcess.number).not.toBe(saved.workerProcess);
  });
  expect(vm.commands('createVpciBus')).toEqual(['VPCI.CreateBus']);
  expectInOrder(vm.commands(), ['VPCI.ResetBusInterface', 'VPCI.CreateBus']);
  expectKept(vm, before);
});

test('claim 12: the VF is assigned by the VF ID and LUID of the repository; none is allocated', async () => {
  const { vm, before } = await savedVm();
  await vm.restore();
  expect(vm.outcomeOf('assignVirtualFunction').evidence).toEqual({
    vfId: vm.blocks.vfInfo?.vfId,
    luid: vm.blocks.vfInfo?.luid,
    iommuAttachCount: 1,
  });
  expect(vm.commands()).not.toContain('OID_NIC_SWITCH_ALLOCATE_VF');
  expectKept(vm, before);
});

test.each<[string, (o: AdapterObjects) => void]>([
  [
    'the VSP has a device with another LUID',
    ({ adapter: { vpci } }) => {
      if (vpci.device !== null) vpci.device = { ...vpci.device, luid: '00000000:0000ffff' };
    },
  ],
  [
    'the VF of that VF ID belongs to another VM',
    (o) => {
      withVf({ ownerVmId: 'vm-of-another' })(o);
      if (o.adapter.custody !== null) o.adapter.custody.lost = true;
    },
  ],
])('claim 12: nothing is assigned when %s', async (_, change) => {
  const { vm } = await savedVm();
  const restored = await vm.restoreLookingAt('assignVirtualFunction', () => {
    vm.change(change);
  });
  expect(vm.notCarriedOut('refused')).toEqual(['VPCI.AssignDevice']);
  expect(vm.commands('assignVirtualFunction').slice(0, 1)).toEqual(['VPCI.AssignDevice']);
  expect(restored.steps).toContainEqual(
    expect.objectContaining({ name: 'assignVirtualFunction', status: 'failed' }),
  );
  expect(restored.vm.path).toBe('reattached');
});

test('claim 13: the connection is the tail of bus creation, after the assignment, and is the one that was kept', async () => {
  const { vm, before } = await savedVm();
  await vm.restoreLookingAt('assignVirtualFunction', () => {
    expect(vm.adapter.vpci.interface.state).toBe('created');
    expectHeld(vm, before);
  });
  expectInOrder(vm.commands(), [
    'VPCI.CreateBus',
    'VPCI.AssignDevice',
    'VPCI.CreateBus (connect)',
    'VPCI.ReadAssignment',
  ]);
  expect(vm.commands('assignVirtualFunction')).toEqual([
    'VPCI.AssignDevice',
    'VPCI.CreateBus (connect)',
    'VPCI.ReadAssignment',
  ]);
  expect(vm.device).toMatchObject({ connected: true, iommuAttachCount: 1 });
  expectKept(vm, before);
});

test('claim 14: the VSP restores the VF state from the repository, on the device that is connected', async () => {
  const { vm, before } = await savedVm();
  await vm.restoreLookingAt('restoreVirtualFunctionState', () => {
    expect(vm.adapter.vfStateRestored).toBe(false);
    expect(vm.adapter.vpci.interface.state).toBe('active');
  });
  expect(vm.commands('restoreVirtualFunctionState')).toEqual(['VPCI.RestoreDeviceState']);
  expect(vm.outcomeOf('restoreVirtualFunctionState').evidence).toEqual({
    configEpoch: vm.blocks.vfState?.configEpoch,
  });
  expect(vm.adapter.vfStateRestored).toBe(true);
  expectKept(vm, before);
});

test('claim 14: a state that was saved of the VF before it was reset is not restored', async () => {
  const { vm } = await savedVm();
  const restored = await vm.restoreLookingAt('restoreVirtualFunctionState', () => {
    vm.change(withVf({ configEpoch: 99 }));
  });
  expect(vm.notCarriedOut('refused')).toEqual(['VPCI.RestoreDeviceState']);
  expect(vm.adapter.vfStateRestored).toBe(false);
  expect(restored.vm.path).toBe('reattached');
});

test('claim 15: the parameters of the device are those of the VF info, which has its VF ID and LUID', async () => {
  const { vm, before } = await savedVm();
  await vm.restore();
  expect(vm.blocks.vfInfo).toEqual({
    ...before.identity,
    configEpoch: before.configEpoch,
  });
  expect({ ...vm.identity, configEpoch: vm.vf.configEpoch }).toEqual(vm.blocks.vfInfo);
  expect(vm.adapter.vpci.instanceGuid).toBe(vm.blocks.vfState?.instanceGuid);
  expectKept(vm, before);
});

test.each<[string, (o: AdapterObjects) => void]>([
  ['RID', withVf({ rid: 'ff:1f.7' })],
  ['serial number', withVf({ serialNumber: 999 })],
  ['configuration epoch', withVf({ configEpoch: 99 })],
  [
    'instance GUID',
    ({ adapter }) => {
      adapter.vpci = { ...adapter.vpci, instanceGuid: '00000000-0000-0000-0000-000000000000' };
    },
  ],
])('claim 15: a device with another %s than the VF info is not taken over', async (_, change) => {
  const { vm } = await savedVm();
  vm.change(change);
  const restored = await vm.restore({ virtualFunctionRestore: 'one-step' });
  expect(vm.notCarriedOut('refused')).toEqual(['Repository.ReadVirtualFunctionInfo']);
  expect(vm.commands('retrieveAndRestoreVirtualFunction')).toEqual([]);
  expect(restored.vm.path).toBe('reattached');
});

test('claim 16: both flags are set and the IOV weight is non-zero before the switch resumes the adapter', async () => {
  const { vm, before } = await savedVm();
  await vm.restoreLookingAt('markVirtualFunctionAssigned', () => {
    const unmarked = { vfAssigned: false, vfIdAllocated: false, iovWeight: 0 };
    expect(vm.adapter.vdev).toMatchObject(unmarked);
  });
  expectInOrder(vm.commands(), [
    'VPCI.AssignDevice',
    'VPCI.RestoreDeviceState',
    'VDEV.MarkVirtualFunctionAssigned',
    ...ADAPTER_AND_VM,
  ]);
  const marked = { vfAssigned: true, vfIdAllocated: true, iovWeight: 100 };
  expect(vm.adapter.vdev).toMatchObject(marked);
  expect(vm.outcomeOf('markVirtualFunctionAssigned').evidence).toEqual({ iovWeight: 100 });
  expectKept(vm, before);
});

test('claim 17: one function retrieves the ids, assigns the VF and restores its state', async () => {
  const { vm, before } = await savedVm();
  const restored = await vm.restore({ virtualFunctionRestore: 'one-step' });
  expectInOrder(vm.commands('retrieveAndRestoreVirtualFunction'), IDS_BUS_VF_STATE);
  // All of it happens there, and nowhere else: power-on-restore reads version and block count only.
  expectInOrder(vm.commands(), IDS_BUS_VF_STATE);
  expect(vm.commands('powerOnRestore')).toContain('Repository.ReadBlockCount');
  expect(vm.outcomeOf('retrieveAndRestoreVirtualFunction').evidence).toEqual({
    vfId: before.identity.vfId,
    luid: before.identity.luid,
  });
  const names: readonly string[] = restored.steps.map(({ name }) => name);
  expect(names).toEqual(restoreFlow({ mode: 'modified', virtualFunctionRestore: 'one-step' }));
  expect(names).not.toContain('assignVirtualFunction');
  expectKept(vm, before);
});

test('claim 17: it has its effect once when its reply is lost', async () => {
  const { vm, before } = await savedVm();
  await vm.restore({
    virtualFunctionRestore: 'one-step',
    faults: [{ step: 'retrieveAndRestoreVirtualFunction', kind: 'fail-after' }],
  });
  expect(vm.outcomeOf('retrieveAndRestoreVirtualFunction').attempts).toBe(2);
  expectInOrder(vm.commands(), IDS_BUS_VF_STATE);
  expectKept(vm, before);
});
