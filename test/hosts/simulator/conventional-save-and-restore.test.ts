/** The conventional save and restore: the baseline, and the order of its OIDs. */
import { ATTACH_VIRTUAL_FUNCTION } from '../../../contract/steps';
import { lacksVf } from '../../../contract/results';
import { vfOf } from '../../../hosts/simulator/devices/physical-function';
import {
  CONVENTIONAL_RESTORE as RESTORE,
  CONVENTIONAL_SAVE as SAVE,
  SimulatedFleet,
  VmRun,
} from './simulated-fleet';

const conventional = { settings: { mode: 'conventional' } } as const;

let fleet: SimulatedFleet;
afterEach(() => fleet.close());

it('gives the VF back and gets one anew, which the guest sees twice', async () => {
  fleet = new SimulatedFleet({ vms: 2 });
  const before = await fleet.facts();
  const save = await VmRun.save(fleet, 'vm-01', conventional);
  await save.performAll(SAVE);
  const o = fleet.objects();
  const { pf } = o;
  expect(vfOf(o)).toBeUndefined();
  expect(pf).toMatchObject({ iovVfUsage: 1, vports: [{ vfId: 1 }] });
  expect(fleet.objects().adapter.nic.state).toBe('deleted');

  const restore = await VmRun.restore(fleet);
  expect(restore.lease.settings.mode).toBe('conventional');
  await restore.performAll(RESTORE);
  const after = await fleet.facts();
  expect(after.facts).toMatchObject({ path: 'reattached', guestVisibleEvents: 2, running: true });
  expect(after.facts.vfOutageMs).toBeGreaterThanOrEqual(after.facts.blackoutMs);
  expect(after.dataPath).toBe('vf');
  expect(fleet.objects().adapter.guest.events.map((e) => e.kind)).toEqual(['eject', 'offer']);
  expect(after.identity).not.toEqual(before.identity);
  expect(after.identity).toMatchObject({
    macAddress: before.identity?.macAddress,
    instanceGuid: before.identity?.instanceGuid,
  });
  expect(fleet.objects().pf).toMatchObject({ iovVfUsage: 2 });
  await fleet.expectUnharmed();
});

it('issues the commands in the order of the driver documents', async () => {
  fleet = new SimulatedFleet();
  await (await VmRun.save(fleet, 'vm-01', conventional)).performAll(SAVE);
  await (await VmRun.restore(fleet)).performAll(RESTORE);
  const oids = (await fleet.commands()).filter((c) =>
    /^(OID_(?!SWITCH)|VPCI|VMBus|Guest|NVSP)/.test(c),
  );
  expect(oids).toEqual([
    'VPCI.Eject',
    'VPCI.EjectComplete',
    'VPCI.UnassignDevice',
    'OID_RECEIVE_FILTER_MOVE_FILTER',
    'OID_NIC_SWITCH_DELETE_VPORT',
    'OID_SRIOV_RESET_VF',
    'OID_NIC_SWITCH_FREE_VF',
    'VPCI.DrainTransactions',
    'VPCI.ReleaseHold',
    'OID_NIC_SWITCH_ALLOCATE_VF',
    'OID_NIC_SWITCH_CREATE_VPORT',
    'OID_RECEIVE_FILTER_MOVE_FILTER',
    'VPCI.CreateBus',
    'VPCI.AssignDevice',
    'VPCI.CreateBus (connect)',
    'VPCI.ReadAssignment',
    'VMBus.Offer',
    'VPCI.QUERY_PROTOCOL_VERSION',
    'VPCI.QUERY_BUS_RELATIONS',
    'VPCI.D0_ENTRY',
    'VPCI.RESOURCES_ASSIGNED',
    'Guest.BindVfDriver',
    'NVSP.SwitchDataPath',
  ]);
  const nic = (await fleet.commands()).filter((c) => c.startsWith('OID_SWITCH'));
  // Forwarding fills its data, firewall asks for a larger buffer first, then the OID reaches the miniport edge.
  expect(nic).toEqual([
    'OID_SWITCH_NIC_SAVE (start)',
    'OID_SWITCH_NIC_SAVE',
    'OID_SWITCH_NIC_SAVE',
    'OID_SWITCH_NIC_SAVE',
    'OID_SWITCH_NIC_SAVE',
    'OID_SWITCH_NIC_SAVE_COMPLETE',
    'OID_SWITCH_NIC_DISCONNECT',
    'OID_SWITCH_NIC_DELETE',
    'OID_SWITCH_NIC_CREATE, OID_SWITCH_NIC_CONNECT',
    'OID_SWITCH_NIC_RESTORE (start)',
    'OID_SWITCH_NIC_RESTORE',
    'OID_SWITCH_NIC_RESTORE',
    'OID_SWITCH_NIC_RESTORE_COMPLETE',
  ]);
});

it.each([
  { ejectMs: 59_000, kind: 'eject' },
  { ejectMs: 61_000, kind: 'surpriseRemoval' },
])('a guest that takes $ejectMs ms to eject sees $kind', async ({ ejectMs, kind }) => {
  // A thousandth of real time: the 60 s of grace are scaled like everything else.
  fleet = new SimulatedFleet(
    {},
    { timeScale: 0.001, operations: { ejectVirtualFunction: { p50: ejectMs, p99: ejectMs } } },
  );
  const save = await VmRun.save(fleet, 'vm-01', conventional);
  const started = performance.now();
  expect((await save.perform('ejectVirtualFunction')).evidence).toEqual({ kind });
  // In real time it would be a minute.
  expect(performance.now() - started).toBeLessThan(ejectMs / 2);
  expect(fleet.objects().adapter.guest).toMatchObject({
    dataPath: 'synthetic',
    vfDriverBound: false,
    events: [{ kind }],
  });
});

it('an undone conventional save ends with a VF again, reported as reattached', async () => {
  fleet = new SimulatedFleet();
  const save = await VmRun.save(fleet, 'vm-01', conventional);
  await save.performAll(SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn')));
  await save.fence('undo');
  await save.performAll([
    'unsaveVm',
    'restoreSwitchState',
    'discardSavedState',
    'resumeVm',
    'enableOptimizations',
    ...ATTACH_VIRTUAL_FUNCTION,
    'endOperation',
  ]);
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    dataPath: 'vf',
    facts: { path: 'reattached' },
  });
  await fleet.expectUnharmed();
});

it('a VM that finds no free VF runs on the synthetic path, and says so', async () => {
  fleet = new SimulatedFleet();
  const save = await VmRun.save(fleet, 'vm-01', conventional);
  await save.performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.performAll(RESTORE.slice(0, RESTORE.indexOf('allocateVirtualFunction')));
  fleet.change(({ pf }) => {
    Object.assign(pf, { iovVfCapacity: 0 });
  });
  await expect(restore.perform('allocateVirtualFunction')).rejects.toMatchObject({
    type: 'VirtualFunctionsExhausted',
  });
  await restore.perform('verifyRestore');
  expect((await fleet.facts()).facts).toMatchObject({ running: true, path: 'synthetic-only' });
});

it('an eject that is cut short before the VF is unassigned shows, so that an undo gives the guest its VF again', async () => {
  fleet = new SimulatedFleet({ vms: 1 });
  const save = await VmRun.save(fleet, 'vm-01', conventional);
  // The hold of somebody else makes the unassignment fail, after the guest has given the VF up.
  fleet.change(({ adapter }) => {
    adapter.vpci.hold = 'block';
  });
  await expect(save.perform('ejectVirtualFunction')).rejects.toMatchObject({ type: 'Refused' });
  fleet.change(({ adapter }) => {
    adapter.vpci.hold = null;
  });
  const left = await fleet.facts();
  expect(left.identity).not.toBeNull();
  expect(left).toMatchObject({ dataPath: 'synthetic', facts: { path: 'synthetic-only' } });
  expect(lacksVf(left.facts)).toBe(true);

  await save.fence('undo');
  await save.performAll(['enableOptimizations']);
  save.direction = 'recover';
  await save.performAll([...ATTACH_VIRTUAL_FUNCTION, 'endOperation']);
  const { dataPath, facts } = await fleet.facts();
  expect({ dataPath, path: facts.path }).toEqual({ dataPath: 'vf', path: 'reattached' });
  expect(lacksVf(facts)).toBe(false);
  await fleet.expectUnharmed();
});
