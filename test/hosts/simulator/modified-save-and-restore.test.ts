/** A modified save and restore by direct driver calls: what the claims of US 2024/0427619 A1 say must be seen on the host. */
import { HOLD_MODES } from '../../../contract/inputs';
import { RING_SIZE, produced, vfOf } from '../../../hosts/simulator/devices/physical-function';
import {
  RESTORE,
  RESTORE_IN_ONE_STEP,
  SAVE,
  SimulatedFleet,
  VmRun,
  fault,
} from './simulated-fleet';

let fleet: SimulatedFleet;
const use = (shape = {}) => (fleet = new SimulatedFleet(shape));
afterEach(() => fleet.close());

const saved = async (vmId = 'vm-01', options = {}) => {
  const save = await VmRun.save(fleet, vmId, options);
  await save.performAll(SAVE);
  return save;
};

const ring = (vmId = 'vm-01') => {
  const o = fleet.objects(vmId);
  const { adapter, nowMs } = o;
  const vf = vfOf(o);
  if (vf === undefined) throw new Error('the VF is gone');
  return {
    produced: produced(vf.ring, nowMs),
    consumed: adapter.guest.ring?.consumed ?? -1,
    epoch: vf.configEpoch,
  };
};

describe.each(HOLD_MODES)('with hold mode %s', (holdMode) => {
  it.each([
    ['step by step', 'step-by-step', RESTORE],
    ['as one step (claim 17)', 'one-step', RESTORE_IN_ONE_STEP],
  ] as const)(
    'keeps the VF of every VM when VMs are saved and restored interleaved, %s',
    async (_, how, order) => {
      use({ vms: 3 });
      const settings = { holdMode, virtualFunctionRestore: how };
      const vmIds = ['vm-01', 'vm-02', 'vm-03'];
      const before = await Promise.all(vmIds.map((id) => fleet.facts(id)));
      const rings = vmIds.map((id) => ring(id));

      const saves = await Promise.all(vmIds.map((id) => VmRun.save(fleet, id, { settings })));
      for (const step of SAVE) await Promise.all(saves.map((save) => save.perform(step)));
      for (const id of vmIds) {
        const o = fleet.objects(id);
        const { adapter, vm } = o;
        expect(vfOf(o)?.ring.active).toBe(true);
        expect(adapter.vpci.device).toMatchObject({
          connected: true,
          iommuAttachCount: 1,
          writesWhileHeld: 0,
        });
        expect(adapter.vpci.interface.state).toBe('none');
        expect(vm.partition).toMatchObject({
          state: 'preserved',
          custodian: 'hypervisor',
          pagesPinned: true,
        });
        expect(vm.workerProcess).toMatchObject({
          state: 'exited',
          exitDetail: 'FastSavePreservePartitionHandleTransferNetworking',
        });
        expect(adapter.nic.state).toBe('connected');
      }
      const restores = await Promise.all(vmIds.map((id) => VmRun.restore(fleet, id, { settings })));
      for (const step of order) await Promise.all(restores.map((restore) => restore.perform(step)));

      for (const [i, id] of vmIds.entries()) {
        const after = await fleet.facts(id);
        expect(after.identity).toEqual(before[i]?.identity);
        expect(after).toMatchObject({
          phase: 'running',
          holder: null,
          dataPath: 'vf',
          crossed: false,
          darkForMs: 0,
        });
        expect(after.facts).toMatchObject({
          path: 'kept',
          guestVisibleEvents: 0,
          droppedPackets: 0,
          withinBudget: true,
        });
        expect(after.facts.blackoutMs).toBeGreaterThan(0);
        const { vm, adapter } = fleet.objects(id);
        expect(adapter.vpci).toMatchObject({
          hold: null,
          device: { iommuAttachCount: 1 },
          interface: { state: 'active' },
        });
        expect(adapter.vdev).toMatchObject({
          optimizations: 'enabled',
          vfAssigned: true,
          vfIdAllocated: true,
          iovWeight: 100,
        });
        expect(vm.record?.state).toBe('consumed');
        expect(ring(id).epoch).toBe(rings[i]?.epoch);
        expect(ring(id).consumed).toBeGreaterThan(rings[i]?.consumed ?? Infinity);
      }
      await fleet.expectUnharmed();
    },
  );
});

it('reads VDEV version, block count and VF info in this order within power-on-restore (claim 10)', async () => {
  use();
  await saved();
  const restore = await VmRun.restore(fleet);
  await restore.performAll(RESTORE);
  const commands = await fleet.commands();
  const begin = commands.indexOf('VDEV.PowerOnRestore (begin)');
  expect(commands.slice(begin, commands.indexOf('VDEV.PowerOnRestore (end)') + 1)).toEqual([
    'VDEV.PowerOnRestore (begin)',
    'Repository.ReadVdevVersion',
    'Repository.ReadBlockCount',
    'Repository.ReadSettings',
    'Repository.ReadVirtualFunctionInfo',
    'VDEV.PowerOnRestore (end)',
  ]);
});

it('leaves the retrieval of the ids to the combined step when that is asked for (claim 17)', async () => {
  use();
  await saved();
  const restore = await VmRun.restore(fleet, 'vm-01', {
    settings: { virtualFunctionRestore: 'one-step' },
  });
  await restore.performBefore('restoreVm', RESTORE_IN_ONE_STEP);
  const seen = (await fleet.journal('command')).filter(
    (e) => e.command === 'Repository.ReadVirtualFunctionInfo',
  );
  expect(seen.map((e) => e.step)).toEqual(['retrieveAndRestoreVirtualFunction']);
});

it('connects at the tail of bus creation, after the assignment, and re-binds the kept connection (claim 13)', async () => {
  use();
  await saved();
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('assignVirtualFunction', RESTORE);
  expect(fleet.objects().adapter.vpci).toMatchObject({
    interface: { state: 'created' },
    device: { iommuAttachCount: 1 },
  });
  const { evidence } = await restore.perform('assignVirtualFunction');
  expect(evidence).toMatchObject({ iommuAttachCount: 1 });
  const bus = (await fleet.commands()).filter(
    (c) => c.startsWith('VPCI.CreateBus') || c === 'VPCI.AssignDevice',
  );
  expect(bus).toEqual(['VPCI.CreateBus', 'VPCI.AssignDevice', 'VPCI.CreateBus (connect)']);
});

it('skips bus creation, allocation and assignment when optimizations are enabled again (claim 18)', async () => {
  use();
  await saved();
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('enableOptimizations', RESTORE);
  const before = (await fleet.commands()).length;
  const { evidence } = await restore.perform('enableOptimizations');
  expect(evidence.skipped).toEqual(['CreateBus', 'AllocateVf', 'AssignDevice']);
  expect((await fleet.commands()).slice(before)).toEqual([
    'VDEV.EnableOptimizations',
    'VPCI.ReleaseHold',
  ]);
});

it('skips them after an undo, too (claim 18)', async () => {
  use();
  const save = await VmRun.save(fleet);
  await save.performBefore('crossPointOfNoReturn', SAVE);
  await save.fence('undo');
  await save.performAll(['unsaveVm', 'restoreSwitchState', 'discardSavedState', 'resumeVm']);
  const { evidence } = await save.perform('enableOptimizations');
  expect(evidence.skipped).toEqual(['CreateBus', 'AllocateVf', 'AssignDevice']);
});

it('resets a bus interface that is still active, without FLR or unassign (claims 6 and 7)', async () => {
  use();
  const save = await VmRun.save(fleet);
  await save.performBefore('resetVpciBusInterface', SAVE);
  const { device } = fleet.objects().adapter.vpci;
  const { epoch } = ring();
  expect((await save.perform('resetVpciBusInterface')).status).toBe('done');
  expect(fleet.objects().adapter.vpci).toMatchObject({
    interface: { state: 'none', madeBy: null },
    device,
  });
  expect(ring().epoch).toBe(epoch);
});

it('has nothing to reset when the bus interface is inactive already (claim 6)', async () => {
  use();
  const save = await VmRun.save(fleet);
  await save.performBefore('resetVpciBusInterface', SAVE);
  fleet.change(({ adapter }) => {
    adapter.vpci.interface = { state: 'none', madeBy: null };
  });
  expect(await save.perform('resetVpciBusInterface')).toMatchObject({
    status: 'notApplicable',
    reason: 'the bus interface is inactive already',
  });
  await save.performAll(['tearDownSyntheticAdapter', 'concludeSave']);
  const restore = await VmRun.restore(fleet);
  await restore.performAll(RESTORE);
  expect((await fleet.facts()).facts.path).toBe('kept');
});

it('goes on receiving while the VM is dark, and drops only what does not fit into the ring', async () => {
  use();
  await saved();
  const before = ring();
  // The pause began RING_SIZE + 500 packets ago: one packet a millisecond.
  fleet.change((o) => {
    const { vm } = o;
    const vf = vfOf(o);
    if (vf === undefined || vm.partition.pausedAtMs === null) throw new Error('not paused');
    vf.ring.sinceMs -= RING_SIZE + 500;
    vm.partition.pausedAtMs -= RING_SIZE + 500;
  });
  const restore = await VmRun.restore(fleet);
  await restore.performAll(RESTORE);
  const { facts } = await fleet.facts();
  expect(ring().consumed).toBeGreaterThan(before.consumed + RING_SIZE + 500);
  expect(facts.droppedPackets).toBeGreaterThanOrEqual(500);
  expect(facts.droppedPackets).toBeLessThan(1500);
  expect(fleet.objects().adapter.guest.interruptsReplayed).toBe(RING_SIZE);
  expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
});

it('consumes the record exactly once', async () => {
  use();
  await saved();
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('resumeVm', RESTORE);
  expect(fleet.objects().vm.record?.state).toBe('claimed');
  await restore.perform('resumeVm');
  expect(fleet.objects().vm.record?.state).toBe('consumed');
  await restore.performAll(['enableOptimizations', 'verifyRestore']);
  await expect(VmRun.restore(fleet)).rejects.toMatchObject({ type: 'NoRecord' });
});

it('goes on without a VF record when the VF is gone at the check, and says which half is gone (claim 3)', async () => {
  use();
  const save = await VmRun.save(fleet);
  await save.performBefore('saveVirtualFunctionState', SAVE);
  fleet.change(({ adapter }) => {
    adapter.vpci.device = null;
    adapter.vpci.interface = { state: 'none', madeBy: null };
    if (adapter.custody !== null) adapter.custody.lost = true;
  });
  const { evidence } = await save.perform('saveVirtualFunctionState');
  expect(evidence.withoutVfRecord).toBe('the VF is allocated but not assigned any more');
  expect((await save.perform('writeVirtualFunctionInfo')).status).toBe('notApplicable');
});

it('checks again after the state is written: a port removed in between leaves no stale record (claim 3)', async () => {
  use();
  const save = await VmRun.save(fleet, 'vm-01', {
    faults: [fault('writeVirtualFunctionInfo', 'vf-gone')],
  });
  await save.performBefore('writeVirtualFunctionInfo', SAVE);
  expect(fleet.objects().vm.record?.blocks.adapters['nic-0']?.vfState).toBeDefined();
  await save.perform('writeVirtualFunctionInfo');
  expect(fleet.objects().vm.record?.blocks.adapters['nic-0']?.withoutVf).toBe(
    'the VF is neither allocated nor assigned any more',
  );
  expect(fleet.objects().vm.record?.blocks.adapters['nic-0']?.vfState).toBeUndefined();
});
