/** VMs with several adapters: two NICs on two PFs or on one, an NVMe controller, some without a VF, none with one. */
import { issueCommand } from '../../../hosts/engine/commands';
import { identityOf } from '../../../hosts/simulator/identity';
import { eachAdapter } from '../../../hosts/simulator/operations/each-adapter';
import {
  CONVENTIONAL_RESTORE,
  CONVENTIONAL_SAVE,
  HOST,
  HostRun,
  NO_LATENCY,
  RESTORE,
  RESTORE_IN_ONE_STEP,
  SAVE,
  SimulatedFleet,
  VmRun,
  failsAs,
  fault,
  serviceAll,
} from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => {
  fleet = new SimulatedFleet({ vms: 6, adapters: 'mixed' }, NO_LATENCY);
});
afterEach(() => fleet.close());

/** What the VMs of a mixed fleet have, by VM. */
const MIX = [
  ['vm-01', 'one NIC', ['nic-0']],
  ['vm-02', 'two NICs on two PFs', ['nic-0', 'nic-1']],
  ['vm-03', 'two VFs on one PF', ['nic-0', 'nic-1']],
  ['vm-04', 'a NIC and an NVMe controller', ['nic-0', 'nvme-0']],
  ['vm-05', 'one NIC without a VF, one with', ['nic-1']],
  ['vm-06', 'no VF', []],
] as const;

const identities = (vmId: string) =>
  Object.fromEntries(
    eachAdapter(fleet.store.objects(HOST, vmId)).map((o) => [o.adapter.adapterId, identityOf(o)]),
  );
const withVf = (vmId: string) =>
  Object.entries(identities(vmId)).flatMap(([id, identity]) => (identity === null ? [] : [id]));

test.each(MIX)('%s has %s', (vmId, _what, adapters) => {
  expect(withVf(vmId)).toEqual(adapters);
});

test('no two VFs of a host have the same identity', () => {
  const all = MIX.flatMap(([vmId]) => Object.values(identities(vmId))).filter((i) => i !== null);
  for (const id of ['luid', 'rid', 'macAddress', 'instanceGuid'] as const)
    expect(new Set(all.map((identity) => identity[id])).size).toBe(all.length);
});

describe.each([
  ['step by step', RESTORE],
  ['as one step (claim 17)', RESTORE_IN_ONE_STEP],
] as const)('a modified save and restore, %s,', (_how, restoreSteps) => {
  test.each(MIX)('keeps every VF of %s: %s', async (vmId) => {
    const before = identities(vmId);
    const settings =
      restoreSteps === RESTORE ? {} : { virtualFunctionRestore: 'one-step' as const };
    await (await VmRun.save(fleet, vmId)).performAll(SAVE);
    const saved = fleet.store.vm(HOST, vmId).adapters;
    for (const { wantsVf, custody, vpci, vdev } of saved) {
      expect({ held: custody !== null, bus: vpci.interface.state, vdev: vdev.state }).toEqual({
        held: wantsVf,
        bus: 'none',
        vdev: 'TornDown',
      });
    }
    await (await VmRun.restore(fleet, vmId, { settings })).performAll(restoreSteps);
    expect(identities(vmId)).toEqual(before);
    const { facts } = await fleet.facts(vmId);
    expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0, running: true });
    for (const { vdev, wantsVf, custody } of fleet.store.vm(HOST, vmId).adapters)
      expect([vdev.vfAssigned, vdev.optimizations, custody]).toEqual([wantsVf, 'enabled', null]);
    await fleet.expectUnharmed();
  });
});

test.each(MIX)('%s, conventionally: gives each VF back and gets one anew', async (vmId, _, vfs) => {
  const settings = { mode: 'conventional' as const };
  await (await VmRun.save(fleet, vmId, { settings })).performAll(CONVENTIONAL_SAVE);
  expect(withVf(vmId)).toEqual([]);
  const paths = fleet.store.vm(HOST, vmId).adapters.map((a) => [a.kind, a.guest.dataPath]);
  for (const [kind, path] of paths) expect(path).toBe(kind === 'nvme' ? 'none' : 'synthetic');
  await (await VmRun.restore(fleet, vmId, { settings })).performAll(CONVENTIONAL_RESTORE);
  expect(withVf(vmId)).toEqual(vfs);
  const { facts } = await fleet.facts(vmId);
  expect(facts).toMatchObject({
    path: vfs.length === 0 ? 'kept' : 'reattached',
    guestVisibleEvents: 2 * vfs.length,
  });
  await fleet.expectUnharmed();
});

test('an NVMe controller is asked in the words of NVMe, and has no switch', async () => {
  const settings = { mode: 'conventional' as const };
  await (await VmRun.save(fleet, 'vm-04', { settings })).performAll(CONVENTIONAL_SAVE);
  const journal = await fleet.journal('command', 'vm-04');
  const asked = (of: string) =>
    journal.flatMap(({ adapterId, command }) => (adapterId === of ? [command ?? ''] : []));
  expect(asked('nvme-0')).toEqual(
    expect.arrayContaining(['NVMe.SecondaryController.Reset', 'NVMe.SecondaryController.Offline']),
  );
  expect(asked('nvme-0').filter((command) => command.startsWith('OID_'))).toEqual([]);
  expect(asked('nic-0')).toContain('OID_NIC_SWITCH_FREE_VF');
});

test('all VMs of a host are serviced together and keep their VFs', async () => {
  const before = fleet.vmIds.map(identities);
  const host = await HostRun.arm(fleet);
  await host.perform('stageUpdate');
  const ended = await serviceAll(host, await host.beginAll());
  for (const of of Object.values(ended))
    expect(of.map(({ status }) => status)).not.toContain('rejected');
  expect(fleet.vmIds.map(identities)).toEqual(before);
  await fleet.expectUnharmed();
});

describe('one of two VFs cannot be had back:', () => {
  test('only that one is given up, the other is kept all along', async () => {
    const before = identities('vm-02');
    await (await VmRun.save(fleet, 'vm-02')).performAll(SAVE);
    fleet.change(
      ({ pf }) => {
        for (const vf of pf.vfs) if (vf.ownerVmId === 'vm-02') vf.configEpoch += 1;
      },
      'vm-02',
      'nic-0',
    );
    const restore = await VmRun.restore(fleet, 'vm-02');
    await restore.performBefore('powerOnRestore', RESTORE);
    await expect(restore.perform('powerOnRestore')).rejects.toMatchObject(
      failsAs('ConfigEpochChanged', /was reset while held/),
    );
    await restore.fence('recover');
    const detached = await restore.perform('detachHeldFunction');
    expect(detached.evidence.kept).toBe(true);
    expect(withVf('vm-02')).toEqual(['nic-1']);
    await restore.performAll([
      'powerOnRestore',
      'retrieveAndRestoreVirtualFunction',
      'restoreVm',
      'markVirtualFunctionAssigned',
      'resumeSyntheticAdapter',
      'resumeVm',
      'enableOptimizations',
      ...CONVENTIONAL_RESTORE.slice(CONVENTIONAL_RESTORE.indexOf('allocateVirtualFunction')),
    ]);
    const { facts } = await fleet.facts('vm-02');
    expect(facts).toMatchObject({ path: 'reattached', running: true });
    expect(facts.pathReason).toMatch(/^nic-0: /);
    expect(facts.adapters).toMatchObject([
      { adapterId: 'nic-0', path: 'reattached', dataPath: 'vf', guestVisibleEvents: 2 },
      { adapterId: 'nic-1', path: 'kept', dataPath: 'vf', guestVisibleEvents: 0 },
    ]);
    expect(identities('vm-02')['nic-1']).toEqual(before['nic-1']);
    expect(identities('vm-02')['nic-0']?.luid).not.toBe(before['nic-0']?.luid);
    await fleet.expectUnharmed();
  });

  test('a VF that went before the save is left out, the other one is saved and kept', async () => {
    const before = identities('vm-03');
    const save = await VmRun.save(fleet, 'vm-03', {
      faults: [fault('pauseVm', 'vf-gone', { vmId: 'vm-03' })],
    });
    const outcomes = await save.performAll(SAVE);
    const written = outcomes[SAVE.indexOf('saveVirtualFunctionState')];
    expect(written?.evidence).toMatchObject({
      withoutVfRecord: expect.stringMatching(/neither allocated nor assigned/),
    });
    await (await VmRun.restore(fleet, 'vm-03')).performAll(RESTORE);
    expect(identities('vm-03')).toEqual({ 'nic-0': null, 'nic-1': before['nic-1'] });
    expect((await fleet.facts('vm-03')).facts).toMatchObject({ path: 'synthetic-only' });
    await fleet.expectUnharmed();
  });
});

describe('the ids of two NICs that were cross-wired', () => {
  test('in the record are found before the save is committed, and nothing is lost', async () => {
    const save = await VmRun.save(fleet, 'vm-02');
    await save.performBefore('saveVm', SAVE);
    fleet.change(({ vm }) => {
      const { adapters } = vm.record?.blocks ?? {};
      const [first, second] = [adapters?.['nic-0'], adapters?.['nic-1']];
      if (first === undefined || second === undefined) throw new Error('nothing was saved');
      Object.assign(vm.record?.blocks.adapters ?? {}, {
        'nic-0': { ...first, vfInfo: second.vfInfo },
        'nic-1': { ...second, vfInfo: first.vfInfo },
      });
    }, 'vm-02');
    await expect(save.perform('saveVm')).rejects.toMatchObject(
      failsAs('IdentityMismatch', /says that nic-0 has VF .*; it has VF/),
    );
    await save.fence('undo');
    await save.performAll([
      'unsaveVm',
      'restoreSwitchState',
      'discardSavedState',
      'resumeVm',
      'enableOptimizations',
      'endOperation',
    ]);
    expect((await fleet.facts('vm-02')).facts).toMatchObject({ path: 'kept', running: true });
  });

  test('on the host are found before any hardware is touched', async () => {
    await (await VmRun.save(fleet, 'vm-02')).performAll(SAVE);
    fleet.change(({ vm }) => {
      const [first, second] = vm.adapters;
      if (first === undefined || second === undefined) throw new Error('one adapter only');
      [first.vpci, second.vpci] = [second.vpci, first.vpci];
    }, 'vm-02');
    const restore = await VmRun.restore(fleet, 'vm-02');
    await restore.performBefore('powerOnRestore', RESTORE);
    await expect(restore.perform('powerOnRestore')).rejects.toMatchObject(
      failsAs('IdentityMismatch', /luid/),
    );
    for (const { vpci } of fleet.store.vm(HOST, 'vm-02').adapters)
      expect(vpci.interface.state).toBe('none');
  });
});

test('an attempt that failed between two adapters goes on with the second', async () => {
  const save = await VmRun.save(fleet, 'vm-02');
  await save.performBefore('saveVirtualFunctionState', SAVE);
  const optimizations = (to: 'enabled' | 'disabled') => {
    fleet.change(
      ({ adapter }) => {
        adapter.vdev.optimizations = to;
      },
      'vm-02',
      'nic-1',
    );
  };
  optimizations('enabled');
  await expect(save.perform('saveVirtualFunctionState')).rejects.toMatchObject(
    failsAs('Refused', /optimizations are on/),
  );
  optimizations('disabled');
  expect(await save.perform('saveVirtualFunctionState')).toMatchObject({ status: 'done' });
  const journal = await fleet.journal('command', 'vm-02');
  const written = journal.filter(({ command }) => command === 'VPCI.SaveDeviceState');
  expect(written.map(({ adapterId }) => adapterId)).toEqual(['nic-0', 'nic-1']);
});

test('the hold of one adapter does not forbid what is for another', async () => {
  const save = await VmRun.save(fleet, 'vm-03');
  await save.perform('disableOptimizations');
  const [first] = fleet.store.vm(HOST, 'vm-03').adapters;
  fleet.change(
    ({ adapter }) => {
      // Both guards let go of it.
      adapter.custody = null;
      adapter.heldFunction = null;
    },
    'vm-03',
    'nic-1',
  );
  const free = (adapterId: string) => () => {
    issueCommand(
      fleet.hosts,
      { hostId: HOST, vmId: 'vm-03', adapterId, step: 'test', generation: 1 },
      null,
      'OID_SRIOV_RESET_VF',
      () => undefined,
    );
  };
  expect(free('nic-1')).not.toThrow();
  expect(free('nic-0')).toThrow(/VF \d+ of vm-03 is held/);
  expect(first?.custody).not.toBeNull();
});
