/** The VSP's hold and the host's custody are two layers: the hold modes differ, the custody guard sees all three. */
import { HOLD_MODES } from '../../../contract/inputs';
import { unassignDevice } from '../../../hosts/simulator/devices/vpci-vsp';
import { RESTORE, SAVE, SimulatedFleet, VmRun } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const FOREIGN = [
  'StopVm',
  'CheckpointVm',
  'MigrateVm',
  'SetIovWeight',
  'OID_NIC_SWITCH_FREE_VF',
  'OID_SRIOV_RESET_VF',
  'OID_NIC_SWITCH_DELETE_VPORT',
  'OID_RECEIVE_FILTER_MOVE_FILTER',
  'VPCI.UnassignDevice',
  'VPCI.Eject',
] as const;

describe.each(HOLD_MODES)('with hold mode %s', (holdMode) => {
  it('a stray unassign meets the VSP as this mode has it', async () => {
    const save = await VmRun.save(fleet, 'vm-01', { settings: { holdMode } });
    await save.perform('disableOptimizations');
    const { vpci } = fleet.objects().adapter;
    expect(vpci.hold).toBe(holdMode);
    if (holdMode === 'block') {
      expect(() => unassignDevice(vpci)).toThrow(/refuses to unassign a held VF/);
      expect(vpci.device).not.toBeNull();
    } else if (holdMode === 'instruct-skip') {
      expect(unassignDevice(vpci)).toBe('skipped');
      expect(vpci.device).not.toBeNull();
    } else {
      // Told of nothing, the VSP obeys: only the custody guard stands before it.
      expect(unassignDevice(vpci)).toBe('done');
      expect(vpci.device).toBeNull();
    }
  });

  it.each(FOREIGN)('%s is refused and counted from the hold to its release', async (command) => {
    const save = await VmRun.save(fleet, 'vm-01', { settings: { holdMode } });
    const refusedAt: string[] = [];
    const attempt = async (when: string) => {
      const before = fleet.photograph();
      await expect(fleet.hosts.foreignCommand('host-01', 'vm-01', command)).rejects.toMatchObject({
        type: 'ForbiddenCommand',
        message: expect.stringMatching(new RegExp(`${command} was refused: VF 0 of vm-01 is held`)),
      });
      expect(fleet.photograph()).toBe(before);
      refusedAt.push(when);
    };
    await save.perform('disableOptimizations');
    await attempt('running');
    await save.performAll(['pauseVm', 'saveVirtualFunctionState', 'writeVirtualFunctionInfo']);
    await attempt('paused');
    await save.performAll(SAVE.slice(SAVE.indexOf('saveSyntheticAdapter')));
    await attempt('saved');
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('enableOptimizations', RESTORE);
    await attempt('resumed, not yet released');
    await restore.performAll(['enableOptimizations', 'verifyRestore']);

    expect((await fleet.hosts.describe('host-01')).forbiddenCommands).toBe(refusedAt.length);
    const journaled = (await fleet.journal('command')).filter((e) => e.status === 'forbidden');
    expect(journaled).toHaveLength(refusedAt.length);
    expect((await fleet.facts()).facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
    // Released, the same command is no breach of custody any more.
    await expect(fleet.hosts.foreignCommand('host-01', 'vm-01', command)).rejects.toMatchObject({
      type: 'Refused',
    });
  });
});

it.each([
  'ejectVirtualFunction',
  'moveFiltersToDefaultVPort',
  'deleteVPort',
  'resetVirtualFunction',
  'freeVirtualFunction',
] as const)('our own %s is stopped by custody as well, whoever asks for it', async (step) => {
  const save = await VmRun.save(fleet);
  await save.perform('disableOptimizations');
  const before = fleet.photograph();
  await expect(save.perform(step)).rejects.toMatchObject({ type: 'ForbiddenCommand' });
  expect(fleet.photograph()).toBe(before);
  expect((await fleet.hosts.describe('host-01')).forbiddenCommands).toBe(1);
});

it('an authorised release gives the VF up in the legal order while the VM is paused', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('createVpciBus', RESTORE);
  await restore.fence('recover');
  const before = (await fleet.commands()).length;
  await restore.performAll(['detachHeldFunction']);
  expect((await fleet.commands()).slice(before)).toEqual([
    'Hypervisor.ReadPartition',
    'PointOfNoReturn.Read',
    'Recovery.GiveUpFunctions',
    'Custody.AuthorisedRelease',
    'SyntheticNic.DetermineVfAllocatedAndAssigned',
    'OID_RECEIVE_FILTER_MOVE_FILTER',
    'OID_NIC_SWITCH_DELETE_VPORT',
    'OID_SRIOV_RESET_VF',
    'VPCI.UnassignDevice',
    'OID_NIC_SWITCH_FREE_VF',
    'Guest.ForceSyntheticDataPath',
    'Recovery.EndDetach',
  ]);
  await restore.performAll([
    'powerOnRestore',
    'restoreVm',
    'markVirtualFunctionAssigned',
    'resumeSyntheticAdapter',
    'resumeVm',
    'enableOptimizations',
  ]);
  expect((await fleet.facts()).facts).toMatchObject({
    running: true,
    path: 'synthetic-only',
    guestVisibleEvents: 1,
  });
  await fleet.expectUnharmed();
});

it('a hold of a saved VM does not end by time', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  fleet.change(({ vm }) => {
    if (vm.partition.pausedAtMs !== null) vm.partition.pausedAtMs -= 86_400_000;
  });
  expect(fleet.objects().adapter).toMatchObject({
    custody: { vfId: 0, lost: false },
    vpci: { hold: 'instruct-skip' },
  });
  await expect(
    fleet.hosts.foreignCommand('host-01', 'vm-01', 'OID_NIC_SWITCH_FREE_VF'),
  ).rejects.toMatchObject({ type: 'ForbiddenCommand' });
});
