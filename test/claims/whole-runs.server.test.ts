/** Claims 18 to 20 of US 2024/0427619 A1: what holds over whole runs, as their hosts show it. */
import { saveFlow } from '../../contract/flows';
import { VIRTUAL_FUNCTION_RESTORES } from '../../contract/inputs';
import { Suite } from '../support/suite';
import { ADAPTER_AND_VM, IDS_BUS_VF_STATE, SAVE_IN_ORDER } from './orders';
import {
  type VmOnHost,
  expectHeld,
  expectInOrder,
  expectKept,
  freshVms,
  heldAs,
  vmsOf,
} from './vm-on-host';

let suite: Suite;
let freshVm: () => VmOnHost;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 5);
  freshVm = freshVms(suite);
});
afterAll(() => suite.stop());

const SKIPPED = ['CreateBus', 'AllocateVf', 'AssignDevice'];

test('claim 18: once the VM runs, bus creation, allocation and assignment are skipped, since the VF is assigned', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  await vm.save();
  const { vfs, iovVfUsage } = vm.objects.pf;
  await vm.restore();
  expect(vm.outcomeOf('enableOptimizations').evidence).toEqual({ skipped: SKIPPED });
  expect(vm.commands('enableOptimizations')).toEqual([
    'VDEV.EnableOptimizations',
    'VPCI.ReleaseHold',
  ]);
  expectInOrder(vm.commands(), [
    'VPCI.CreateBus',
    'VPCI.AssignDevice',
    'Hypervisor.ResumeVirtualProcessors',
    'VDEV.EnableOptimizations',
    'VPCI.ReleaseHold',
  ]);
  expect(vm.objects.pf.iovVfUsage).toBe(iovVfUsage);
  expect(vm.objects.pf.vfs.map(({ vfId, ownerVmId }) => ({ vfId, ownerVmId }))).toEqual(
    vfs.map(({ vfId, ownerVmId }) => ({ vfId, ownerVmId })),
  );
  expect(vm.adapter.vdev.optimizations).toBe('enabled');
  expectKept(vm, before);
});

test('claim 18: for a VM without an assigned VF nothing is skipped: it is given a bus interface and a VF', async () => {
  const vm = freshVm();
  await vm.save({ faults: [{ step: 'saveVirtualFunctionState', kind: 'vf-gone' }] });
  const restored = await vm.restore();
  expect(vm.outcomeOf('enableOptimizations').evidence).toEqual({ skipped: [] });
  expectInOrder(vm.commands(), [
    'Hypervisor.ResumeVirtualProcessors',
    'VDEV.EnableOptimizations',
    'OID_NIC_SWITCH_ALLOCATE_VF',
    'VPCI.CreateBus',
    'VPCI.AssignDevice',
    'VPCI.CreateBus (connect)',
  ]);
  expect(restored.vm.path).toBe('reattached');
});

test('claim 18: they are skipped after the undo of a save, too', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  const ended = await vm.saveFailingAt('saveVm');
  expect(ended.type).toBe('SaveUndone');
  expect(vm.commands('enableOptimizations')).toEqual([
    'VDEV.EnableOptimizations',
    'VPCI.ReleaseHold',
  ]);
  expect(vm.outcomeOf('enableOptimizations', 'undo').evidence).toEqual({ skipped: SKIPPED });
  expect(vm.commands()).not.toContain('VPCI.CreateBus');
  expectKept(vm, before);
});

test('claim 19: the method performs the steps of the save in order under one generation', async () => {
  const vm = freshVm();
  const before = heldAs(vm);
  const saved = await vm.save();
  const flow = saveFlow({ mode: 'modified' });
  expect(saved.steps.map(({ name }) => name)).toEqual(flow);
  expect(saved.steps.map(({ direction }) => direction)).toEqual(flow.map(() => 'forward'));
  const ofTheClaim = [
    'disableOptimizations',
    'saveVirtualFunctionState',
    'writeVirtualFunctionInfo',
    'saveSyntheticAdapter',
  ];
  const { generation } = vm.vm;
  expect(vm.results().filter(({ step }) => ofTheClaim.includes(step))).toEqual(
    ofTheClaim.map((step) => ({ step, generation })),
  );
  expectInOrder(vm.commands(), SAVE_IN_ORDER);
  expectHeld(vm, before);
});

test.each(VIRTUAL_FUNCTION_RESTORES)(
  'claim 20: one run tears the adapter down, powers a new one on and restores every VF, %s',
  async (virtualFunctionRestore) => {
    const hostId = suite.freshHost();
    const vms = vmsOf(suite, hostId);
    const before = new Map(vms.map((vm) => [vm, heldAs(vm)]));
    const result = await suite.run('serviceHost', {
      hostId,
      update: { version: '2.0.0' },
      virtualFunctionRestore,
    });
    expect(result).toMatchObject({ outcome: 'updated', forbiddenCommands: 0 });
    expect(result.invariants.violated).toBe(0);
    for (const [vm, vf] of before) {
      expectInOrder(vm.commands(), [
        'VPCI.SaveDeviceState',
        'Repository.WriteVirtualFunctionInfo',
        'OID_SWITCH_NIC_SAVE_COMPLETE',
        'VPCI.ResetBusInterface',
        'VDEV.Teardown',
        'VDEV.PowerOnRestore (begin)',
        'Repository.ReadVdevVersion',
        'Repository.ReadBlockCount',
        // With the combined step, power-on-restore ends before the ids are retrieved.
        ...IDS_BUS_VF_STATE,
        ...ADAPTER_AND_VM,
      ]);
      // The next adapter is made ready before its turn: while the VM still runs.
      expectInOrder(vm.commands(), [
        'VDEV.Initialize',
        'VDEV.FinishReservingResources',
        'Hypervisor.SuspendVirtualProcessors',
        'VDEV.PowerOnRestore (begin)',
      ]);
      expect(vm.adapter.vdev).toMatchObject({
        vfAssigned: true,
        vfIdAllocated: true,
        iovWeight: 100,
      });
      expect(vm.vm.workerProcess).toMatchObject({ state: 'running', version: '2.0.0' });
      const generationOf = (step: string) => vm.results().find((r) => r.step === step)?.generation;
      expect(generationOf('tearDownSyntheticAdapter')).not.toBe(generationOf('powerOnRestore'));
      expectKept(vm, vf);
    }
  },
);
