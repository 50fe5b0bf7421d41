/** A host goes on elsewhere from how it was when a run took it. */
import type { Beginning } from '../../../contract/host';
import type { Holder } from '../../../contract/ids';
import {
  CannotRebuild,
  goneOn,
  simulationOf,
  type Simulation,
} from '../../../hosts/simulator/beginnings';
import { hostNowMs } from '../../../hosts/engine/clock';
import { darkForMs } from '../../../hosts/engine/phase';
import { phaseOf } from '../../../hosts/simulator/image';
import { isAbandoned, newIntent } from '../../../hosts/engine/mailbox';
import { processOf } from '../../../hosts/engine/process-identity';
import { HOST, HostRun, RESTORE, SAVE, SimulatedFleet, VmRun } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const HOUR = 3_600_000;

/** What the host kept of the run, after a way through a file. */
async function kept(holder: Holder): Promise<Beginning> {
  const [beginning] = await fleet.hosts.readBeginnings(HOST, [holder]);
  return JSON.parse(JSON.stringify(beginning)) as Beginning;
}

async function beginningOfARestore(): Promise<Simulation> {
  await (await VmRun.save(fleet)).performAll(SAVE);
  return simulationOf(await kept((await VmRun.restore(fleet)).holder));
}

it('goes on with the same times since and until, on a clock that stands elsewhere', async () => {
  const was = await beginningOfARestore();
  const [before] = was.vms;
  const hostMs = was.hostTimeMs + HOUR;
  const { pfs, vms } = goneOn(was, { hostMs, wallShiftMs: 5 });
  const [vm] = vms;
  if (vm === undefined || before === undefined) throw new Error('no VM was kept');
  expect(before.partition.pausedAtMs).not.toBeNull();
  expect(darkForMs(vm.partition, hostMs)).toBeCloseTo(
    darkForMs(before.partition, was.hostTimeMs),
    3,
  );
  expect(vm.deadlineMs).toBeCloseTo((before.deadlineMs ?? NaN) + HOUR, 3);
  expect(vm.pointOfNoReturn?.atMs).toBeCloseTo((before.pointOfNoReturn?.atMs ?? NaN) + HOUR, 3);
  const downSinceMs = (of: typeof vm) => of.adapters[0]?.guest.vfPathDownSinceMs ?? NaN;
  expect(downSinceMs(vm)).toBeCloseTo(downSinceMs(before) + HOUR, 3);
  expect(pfs[0]?.vfs[0]?.ring.sinceMs).toBeCloseTo(
    (was.pfs[0]?.vfs[0]?.ring.sinceMs ?? NaN) + HOUR,
    3,
  );
  // Its checksum stands in the record: nothing in there is touched.
  expect(vm.record).toEqual(before.record);
  expect(vm.blackoutMs).toBe(before.blackoutMs);
});

it('shifts the moments of a servicing run that was taken over, and by the wall clock when blackouts ended', async () => {
  const first = await HostRun.arm(fleet);
  fleet.store.updateHost(HOST, ({ host: { servicing } }) => {
    if (servicing !== null) servicing.notice = { untilMs: 100, dueMs: { a: 50, b: null } };
  });
  fleet.change(({ vm }) => (vm.blackouts = [{ endedAtMs: 1_000, ms: 7 }]));
  const holder: Holder = { workflowId: `service-host/${HOST}`, runId: 'run-2' };
  await fleet.hosts.acquireHost(HOST, holder, first.holder);
  const was = simulationOf(await kept(holder));
  const { host, vms } = goneOn(was, { hostMs: was.hostTimeMs + HOUR, wallShiftMs: 5 });
  expect(host.servicing?.notice).toEqual({
    untilMs: expect.closeTo(100 + HOUR, 3),
    dueMs: { a: expect.closeTo(50 + HOUR, 3), b: null },
  });
  expect(vms[0]?.blackouts).toEqual([{ endedAtMs: 1_005, ms: 7 }]);
});

it('takes nothing for under way that a process of the old machine performed', async () => {
  const was = await beginningOfARestore();
  const underWay = { ...newIntent('a', 'pauseVm', 0, null), owner: processOf(process.ppid) };
  expect(isAbandoned(underWay)).toBe(false);
  const { pfs } = goneOn(
    { ...was, pfs: was.pfs.map((pf) => ({ ...pf, mailbox: underWay })) },
    { hostMs: 0, wallShiftMs: 0 },
  );
  expect(pfs.map(({ mailbox }) => mailbox !== null && isAbandoned(mailbox))).toEqual([true]);
});

it('a saved VM is restored on the host that was made again, with its VF', async () => {
  const was = await beginningOfARestore();
  const elsewhere = new SimulatedFleet();
  try {
    const { host, pfs, vms } = goneOn(was, { hostMs: hostNowMs(), wallShiftMs: 0 });
    elsewhere.store.putHost(host, pfs, vms);
    const [vm] = vms;
    expect(vm === undefined ? null : phaseOf(vm)).toBe('saved');
    await (await VmRun.restore(elsewhere)).performAll(RESTORE);
    const { facts } = await elsewhere.facts();
    expect(facts).toMatchObject({ running: true, path: 'kept' });
  } finally {
    await elsewhere.close();
  }
});

describe('is refused, with what to do,', () => {
  const beginning = async (): Promise<Beginning> => kept((await VmRun.save(fleet)).holder);
  const refusal = (simulation: unknown, from: Beginning): string => {
    try {
      simulationOf({ ...from, simulation });
    } catch (error) {
      if (error instanceof CannotRebuild) return error.message;
      throw error;
    }
    return 'it was not refused';
  };

  it('where its state means something else to this checkout', async () => {
    const from = await beginning();
    const newer = { ...simulationOf(from), stateVersion: 99 };
    expect(refusal(newer, from)).toMatch(/version 99, this checkout makes hosts of version 4: use/);
  });

  it('where a part of it is missing, which it names', async () => {
    const from = await beginning();
    const { pfs: _pfs, ...rest } = simulationOf(from);
    expect(refusal(rest, from)).toMatch(/damaged: .*pfs/);
  });

  it('where the host was none of the simulator', async () => {
    expect(refusal(null, await beginning())).toMatch(/was not a simulated one/);
  });
});
