/** A VM that was saved when each VM had one adapter is restored by what reads it now. */
import { createHash } from 'node:crypto';
import { presentPfs, presentVm } from '../../../hosts/simulator/earlier-state';
import type { VmState } from '../../../hosts/simulator/state';
import { HOST, RESTORE, SAVE, SimulatedFleet, VmRun, failsAs } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(async () => {
  fleet = new SimulatedFleet({ vms: 1 });
  await (await VmRun.save(fleet)).performAll(SAVE);
});
afterEach(() => fleet.close());

/** The VM as a host of before would have stored it, its record with the marker of before. */
function inEarlierForm({ adapters, successor, record, ...vm }: VmState): Record<string, unknown> {
  const [adapter] = adapters;
  if (adapter === undefined || record === null) throw new Error('no saved VM');
  const { vdev, guest, vfStateRestored, path, ...moved } = adapter;
  const { otherPath: _, ...guestBefore } = guest;
  const { withoutVf = null, ...ofAdapter } = record.blocks.adapters['nic-0'] ?? {};
  const blocks = { ...ofAdapter, vmState: record.blocks.vmState };
  const { recordVersion, vdevVersion, oldestReader, mode } = record;
  const checksum = createHash('sha256')
    .update(JSON.stringify([recordVersion, vdevVersion, oldestReader, mode, blocks]))
    .digest('hex');
  return {
    ...vm,
    ...moved,
    adapter: vdev,
    guest: { ...guestBefore, hangs: vm.guestHangs },
    successor: successor === null ? null : { ...successor, adapter: successor.vdevs['nic-0'] },
    record: { ...record, blocks, withoutVf, commit: { blockCount: 4, checksum } },
    restored: { vfState: vfStateRestored, vmState: vm.vmStateRestored },
    path,
  };
}

/** Stores what was read of the earlier form, as if it had been there. */
function store(read: VmState): void {
  const pfs = fleet.store.pfs(HOST).map(({ kind: _kind, bus: _bus, vfs, ...pf }) => ({
    ...pf,
    vfs: vfs.map(({ adapterId: _adapterId, ...vf }) => vf),
  }));
  fleet.store.putHost(fleet.store.host(HOST), presentPfs(pfs[0]), [read]);
}

test('with its VF, LUID and record', async () => {
  const before = fleet.objects().vm;
  const read = presentVm(inEarlierForm(before));
  expect(read.adapters).toMatchObject([
    { adapterId: 'nic-0', kind: 'network', pfId: 'pf-0', wantsVf: true, path: 'kept' },
  ]);
  store(read);
  await (await VmRun.restore(fleet)).performAll(RESTORE);
  const { facts } = await fleet.facts();
  expect(facts).toMatchObject({ path: 'kept', running: true, guestVisibleEvents: 0 });
  expect(facts.identityAfter).toEqual(before.adapters[0]?.identityBefore);
  await fleet.expectUnharmed();
});

test('a record whose marker was bad stays one that nobody restores from', async () => {
  const earlier = inEarlierForm(fleet.objects().vm);
  const record = earlier['record'] as { commit: object };
  store(presentVm({ ...earlier, record: { ...record, commit: { blockCount: 4, checksum: 'x' } } }));
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('powerOnRestore', RESTORE);
  await expect(restore.perform('powerOnRestore')).rejects.toMatchObject(
    failsAs('VmStateLost', /commit marker/),
  );
});

test('what is of the present form is left as it is', () => {
  const { vm } = fleet.objects();
  expect(presentVm(vm)).toBe(vm);
});
