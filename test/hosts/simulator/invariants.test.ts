/** Every invariant catches what it is there for: the state is broken by hand, the next command must notice. */
import type { VmStep } from '../../../contract/steps';
import { checkInvariants } from '../../../hosts/simulator/invariants';
import { RESTORE, SAVE, SimulatedFleet, VmRun } from './simulated-fleet';

type Objects = ReturnType<SimulatedFleet['objects']>;

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet({ vms: 2 })));
afterEach(() => fleet.close());

const device = ({ adapter }: Objects) => {
  if (adapter.vpci.device === null) throw new Error('no VF device');
  return adapter.vpci.device;
};

const successorOf = ({ vm }: Objects) => ({
  workerProcess: { ...vm.workerProcess, number: 99, state: 'prepared' as const },
  vdevs: {},
});

const IN_HOLD: readonly [string, string, (o: Objects) => void, RegExp][] = [
  [
    'I1',
    'the held VF is freed',
    (o) => {
      o.pf.vfs = o.pf.vfs.filter((vf) => vf.ownerVmId !== 'vm-01');
      o.pf.vports = o.pf.vports.filter((p) => p.vfId !== 0);
      o.pf.iovVfUsage = 1;
      for (const f of o.pf.filters) f.vportId = 0;
    },
    /not allocated/,
  ],
  [
    'I1',
    'the held VF is unassigned',
    (o) => {
      o.adapter.vpci.device = null;
      o.adapter.vpci.interface.state = 'none';
    },
    /not assigned/,
  ],
  [
    'I1',
    'the held connection is cut',
    (o) => {
      device(o).connected = false;
    },
    /not connected/,
  ],
  [
    'I4',
    'the worker process ends without a committed record',
    (o) => {
      o.vm.workerProcess.state = 'exited';
    },
    /without a committed record/,
  ],
  [
    'I12',
    'a process that has ended keeps the partition',
    (o) => {
      o.vm.workerProcess.state = 'exited';
      o.vm.partition.custodian = `vmwp#${o.vm.workerProcess.number}`;
    },
    /that has ended still has the partition/,
  ],
  [
    'I12',
    'a prepared successor takes the partition',
    (o) => {
      o.vm.successor = successorOf(o);
      o.vm.partition.custodian = 'vmwp#99';
    },
    /has the partition already/,
  ],
  [
    'I12',
    'a prepared successor opens the bus interface',
    (o) => {
      o.vm.successor = successorOf(o);
      o.adapter.vpci.interface.madeBy = 99;
    },
    /has opened a bus interface already/,
  ],
  [
    'I12',
    'a prepared successor runs',
    (o) => {
      o.vm.successor = {
        ...successorOf(o),
        workerProcess: { ...successorOf(o).workerProcess, state: 'running' },
      };
    },
    /runs beside the worker process/,
  ],
  [
    'I5',
    'a second VF appears',
    (o) => {
      o.pf.vfs = o.pf.vfs.map((vf) => ({ ...vf, ownerVmId: 'vm-01' }));
    },
    /more than one VF/,
  ],
  [
    'I7',
    'a VPort is left behind',
    (o) => {
      o.pf.vports.push({ vportId: 99, vfId: 42 });
    },
    /VPort points at a VF/,
  ],
  [
    'I7',
    'a filter points nowhere',
    (o) => {
      for (const f of o.pf.filters) f.vportId = 77;
    },
    /filter points at a VPort/,
  ],
  [
    'I9',
    'the ledger is wrong',
    (o) => {
      o.pf.iovVfUsage += 1;
    },
    /ledger says 3 of 64, 2 are allocated/,
  ],
  [
    'I9',
    'more is used than there is',
    (o) => {
      Object.assign(o.pf, { iovVfCapacity: 1 });
    },
    /ledger/,
  ],
  [
    'I11',
    'the IOMMU is attached twice',
    (o) => {
      device(o).iommuAttachCount = 2;
    },
    /attach count 2/,
  ],
  [
    'I11',
    'the IOMMU is detached',
    (o) => {
      device(o).iommuAttachCount = 0;
    },
    /attach count 0/,
  ],
  [
    'I11',
    'guest pages are unpinned',
    (o) => {
      o.vm.partition.pagesPinned = false;
    },
    /not pinned/,
  ],
  [
    'I11',
    'the device is written to',
    (o) => {
      device(o).writesWhileHeld = 1;
    },
    /written to/,
  ],
];

it.each(IN_HOLD)(
  '%s: when %s in a hold, the next command fails and the host is quarantined',
  async (id, _, breakIt, says) => {
    const save = await VmRun.save(fleet);
    await save.performAll(['disableOptimizations', 'pauseVm']);
    fleet.change(breakIt);
    await expect(save.perform('saveVirtualFunctionState')).rejects.toMatchObject({
      type: 'InvariantBreach',
      message: expect.stringMatching(says),
    });
    const host = await fleet.hosts.describe('host-01');
    expect(host.invariants.violated).toBeGreaterThan(0);
    expect(host.quarantine).toMatch(new RegExp(`invariant breach: .*${id}: `));
    await expect(VmRun.save(fleet, 'vm-02')).rejects.toMatchObject({ type: 'HostQuarantined' });
    expect((await fleet.journal('command')).at(-1)).toMatchObject({
      status: 'breach',
      detail: expect.stringMatching(says),
    });
  },
);

it.each<[string, string, (o: Objects) => void, RegExp]>([
  [
    'I6',
    'the flags are cleared while the VF is assigned',
    (o) => {
      o.adapter.vdev.vfAssigned = false;
    },
    /I6: .*say not assigned/,
  ],
  [
    'I6',
    'the IOV weight is 0 while the VF is assigned',
    (o) => {
      o.adapter.vdev.iovWeight = 0;
    },
    /I6: /,
  ],
  [
    'I5',
    'the guest uses a VF whose bus interface is gone',
    (o) => {
      o.adapter.vpci.interface.state = 'created';
    },
    /I5: .*interface is created/,
  ],
  [
    'I7',
    'an interface is bound to nothing',
    (o) => {
      o.adapter.custody = null;
      o.adapter.vpci.device = null;
    },
    /I7: .*bound to no VF device/,
  ],
])(
  '%s: when %s, a running VM is found out at the end of the step',
  async (_, __, breakIt, says) => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('enableOptimizations', RESTORE);
    fleet.change(breakIt);
    await restore.perform('enableOptimizations').catch(() => undefined);
    const host = await fleet.hosts.describe('host-01');
    expect(host.quarantine).toMatch(says);
    expect(host.invariants.violated).toBeGreaterThan(0);
  },
);

it('I6: a restore that leaves out the flags of claim 16 is found out when the VM resumes', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  const order: readonly VmStep[] = RESTORE.filter((s) => s !== 'markVirtualFunctionAssigned');
  await restore.performBefore('resumeVm', order);
  await expect(restore.perform('resumeVm')).rejects.toMatchObject({ type: 'InvariantBreach' });
  expect((await fleet.hosts.describe('host-01')).quarantine).toMatch(/I6/);
});

it.each<[string, (o: Objects) => void]>([
  [
    'I2',
    (o) => {
      o.pf.vfs = o.pf.vfs.map((vf) => ({ ...vf, serialNumber: vf.serialNumber + 5 }));
    },
  ],
  [
    'I3',
    (o) => {
      o.adapter.guest.events.push({ atMs: 0, kind: 'offer' });
    },
  ],
])(
  '%s: a VF that is not what it was, or a guest that saw something, is a breach at the verification',
  async (_, breakIt) => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('verifyRestore', RESTORE);
    fleet.change(breakIt);
    await expect(restore.perform('verifyRestore')).rejects.toMatchObject({
      type: 'InvariantBreach',
      message: expect.stringMatching(/I2\/I3/),
    });
    const host = await fleet.hosts.describe('host-01');
    expect(host.invariants.violated).toBe(1);
    expect(host.quarantine).toMatch(/I2\/I3/);
  },
);

it('a receive ring that went back is a breach when the guest resumes', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.performBefore('resumeVm', RESTORE);
  fleet.change(({ pf }) => {
    for (const vf of pf.vfs) vf.ring = { active: true, base: 0, sinceMs: vf.ring.sinceMs + 1e9 };
  });
  await expect(restore.perform('resumeVm')).rejects.toMatchObject({
    type: 'InvariantBreach',
    message: expect.stringMatching(/went back/),
  });
  const host = await fleet.hosts.describe('host-01');
  expect(host).toMatchObject({
    invariants: { violated: 1 },
    quarantine: expect.stringMatching(/went back/),
  });
  expect((await fleet.facts()).facts.running).toBe(false);
});

it('a sound VM breaks none, and every command checks them', async () => {
  const o = fleet.objects();
  expect(checkInvariants(o, 'result')).toEqual([]);
  const before = (await fleet.hosts.describe('host-01')).invariants.checked;
  await (await VmRun.save(fleet)).perform('disableOptimizations');
  expect(
    (await fleet.hosts.describe('host-01')).invariants.checked - before,
  ).toBeGreaterThanOrEqual(4 * 6);
});
