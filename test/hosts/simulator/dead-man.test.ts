/** The dead-man brings a dark VM back when nobody else does: undone before the mark, restored after it, and fenced. */
import { DEAD_MAN } from '../../../contract/ids';
import { DETACH_VIRTUAL_FUNCTION, type VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import {
  HostRun,
  RESTORE,
  SAVE,
  SimulatedFleet,
  VmRun,
  deadManLooks,
  fault,
} from './simulated-fleet';

let fleet: SimulatedFleet;
let said: string[];
beforeEach(() => {
  fleet = new SimulatedFleet({ vms: 2 });
  said = [];
});
afterEach(() => fleet.close());

const overdue = (vmId = 'vm-01') =>
  fleet.change(({ vm }) => {
    vm.deadlineMs = 1;
  }, vmId);

/** Watches until the VM runs and nobody holds it. */
async function watchUntilBack(
  vmIds: readonly string[] = ['vm-01'],
  withinMs = 30_000,
): Promise<void> {
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
  const back = () =>
    vmIds.every(
      (id) =>
        fleet.objects(id).vm.partition.state === 'running' && fleet.objects(id).vm.lease === null,
    );
  try {
    for (const until = Date.now() + withinMs; !back();) {
      if (Date.now() > until) throw new Error(`not back: ${said.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } finally {
    stop.abort();
    await watching;
  }
}

it('leaves a VM alone whose deadline has not passed', async () => {
  const save = await VmRun.save(fleet);
  await save.performAll(['disableOptimizations', 'pauseVm']);
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
  await deadManLooks(fleet.store, 3);
  stop.abort();
  await watching;
  expect(said).toEqual([]);
  expect((await fleet.facts()).holder).toEqual(save.holder);
});

it('takes no VM from a run that was in time after all', async () => {
  const save = await VmRun.save(fleet);
  await save.performAll(['disableOptimizations', 'pauseVm']);
  await expect(fleet.hosts.takeForDeadMan('host-01', 'vm-01')).rejects.toMatchObject({
    type: 'Fenced',
  });
  expect((await fleet.facts()).holder).toEqual(save.holder);
});

const dark = SAVE.slice(SAVE.indexOf('pauseVm'));
it.each(dark.slice(0, dark.indexOf('crossPointOfNoReturn')))(
  'undoes a save that stopped after %s',
  async (step) => {
    const { identity } = await fleet.facts();
    const save = await VmRun.save(fleet);
    await save.performAll(SAVE.slice(0, SAVE.indexOf(step) + 1));
    overdue();
    await watchUntilBack();
    const after = await fleet.facts();
    expect(after).toMatchObject({
      phase: 'running',
      identity,
      facts: {
        path: 'kept',
        guestVisibleEvents: 0,
        pathReason: expect.stringContaining('dead-man'),
      },
    });
    expect(fleet.objects().vm.record?.state ?? 'discarded').toBe('discarded');
    await expect(save.perform('crossPointOfNoReturn')).rejects.toMatchObject({ type: 'Fenced' });
    await fleet.expectUnharmed();
  },
);

it.each(dark.slice(dark.indexOf('crossPointOfNoReturn')))(
  'restores a VM whose save stopped after %s',
  async (step) => {
    const { identity } = await fleet.facts();
    const save = await VmRun.save(fleet);
    await save.performAll(SAVE.slice(0, SAVE.indexOf(step) + 1));
    overdue();
    await watchUntilBack();
    expect(await fleet.facts()).toMatchObject({
      phase: 'running',
      identity,
      facts: { path: 'kept', guestVisibleEvents: 0 },
    });
    expect(fleet.objects().vm.record?.state).toBe('consumed');
    await expect(save.perform('disconnectSyntheticAdapter')).rejects.toMatchObject({
      type: 'Fenced',
    });
    await fleet.expectUnharmed();
  },
);

const restoring = RESTORE.slice(0, RESTORE.indexOf('resumeVm')).filter((s) => s !== 'awaitUpdate');
it.each(restoring)('goes on with a restore that stopped after %s, and fences it', async (step) => {
  const { identity } = await fleet.facts();
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.performAll(RESTORE.slice(0, RESTORE.indexOf(step) + 1));
  overdue();
  await watchUntilBack();
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    identity,
    facts: { path: 'kept' },
  });
  await expect(restore.perform('resumeVm')).rejects.toMatchObject({ type: 'Fenced' });
  // One successor, whoever of the two has started it.
  expect(fleet.objects().vm.workerProcess.number).toBe(3);
  await fleet.expectUnharmed();
});

it('supersedes its own attempt that is stuck in the middle of a restore', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet, 'vm-01', {
    faults: [fault('assignVirtualFunction', 'stuck', { times: 2 })],
  });
  await restore.performBefore('assignVirtualFunction', RESTORE);
  const stuck = restore.perform('assignVirtualFunction');
  stuck.catch(() => undefined);
  overdue();
  await watchUntilBack();
  await expect(stuck).rejects.toMatchObject({ type: 'HostStepFailed' });
  expect((await fleet.facts()).facts.path).toBe('kept');
  await fleet.expectUnharmed();
});

it('gives the VF up when it cannot be restored, and attaches one anew', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  fleet.change(({ pf }) => {
    for (const vf of pf.vfs) if (vf.ownerVmId === 'vm-01') vf.configEpoch += 1;
  });
  overdue();
  await watchUntilBack();
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    dataPath: 'vf',
    facts: { path: 'reattached' },
  });
  expect(said.join()).toMatch(/was reset while held.*giving its VF up/);
  await fleet.expectUnharmed();
});

it('does not give the VF up for a step that has nothing to do with it', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  await VmRun.restore(fleet, 'vm-01', {
    faults: [fault('resumeSyntheticAdapter', 'fail-before', { times: 3 })],
  });
  overdue();
  await watchUntilBack();
  expect((await fleet.facts()).facts.path).toBe('kept');
});

it('strands a VM that it cannot bring back, instead of trying for ever', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  await VmRun.restore(fleet, 'vm-01', {
    faults: [fault('restoreVm', 'fail-before', { times: 1000 })],
  });
  overdue();
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
  for (const until = Date.now() + 8_000; fleet.objects('vm-01').vm.stranded === null;) {
    if (Date.now() > until) throw new Error(`not stranded: ${said.join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  stop.abort();
  await watching;
  const host = await fleet.hosts.describe('host-01');
  expect(host.quarantine).toContain('vm-01');
  expect(host.vms[0]).toMatchObject({ phase: 'stranded', facts: { running: false } });
});

it('starts the VM cold when its saved state cannot be used', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  fleet.change(({ vm }) => {
    if (vm.record !== null) vm.record.blocks = { adapters: {} };
  });
  overdue();
  await watchUntilBack();
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    facts: { path: 'restarted', running: true },
  });
});

it('goes on with a cold start that another run had begun', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.fence('recover');
  await restore.perform('coldStartVm');
  overdue();
  await watchUntilBack();
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    dataPath: 'vf',
    facts: { path: 'restarted' },
  });
  await fleet.expectUnharmed();
});

it('brings a conventionally saved VM back with a new VF', async () => {
  const steps: readonly VmStep[] = [
    ...DETACH_VIRTUAL_FUNCTION,
    'pauseVm',
    'saveSyntheticAdapter',
    'saveVm',
    'crossPointOfNoReturn',
    'disconnectSyntheticAdapter',
    'tearDownSyntheticAdapter',
  ];
  await (
    await VmRun.save(fleet, 'vm-01', { settings: { mode: 'conventional' } })
  ).performAll(steps);
  overdue();
  await watchUntilBack();
  expect(await fleet.facts()).toMatchObject({
    phase: 'running',
    dataPath: 'vf',
    facts: { path: 'reattached' },
  });
});

it('breaks the barrier of the servicing run when it undoes one of its VMs', async () => {
  const host = await HostRun.arm(fleet);
  const one = await host.begin('vm-01');
  const two = await host.begin('vm-02');
  for (const { save } of [one, two])
    await save.performAll([
      'disableOptimizations',
      'pauseVm',
      'saveVirtualFunctionState',
      'writeVirtualFunctionInfo',
      'saveSyntheticAdapter',
      'saveVm',
    ]);
  overdue();
  await fleet.hosts.takeForDeadMan('host-01', 'vm-01');
  await expect(two.save.perform('crossPointOfNoReturn')).rejects.toMatchObject({
    type: 'BarrierBroken',
  });
  overdue();
  overdue('vm-02');
  await watchUntilBack(['vm-01', 'vm-02']);
  await fleet.expectUnharmed();
});

it('gives the update up for all when a VM is overdue after the barrier', async () => {
  const host = await HostRun.arm(fleet, { parallelism: 1 });
  const pairs = [await host.begin('vm-01'), await host.begin('vm-02')] as const;
  for (const { save } of pairs)
    await save.performAll(
      SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn')).filter((s) => s !== 'awaitPause'),
    );
  for (const { save } of pairs)
    await save.performAll([
      'crossPointOfNoReturn',
      'resetVpciBusInterface',
      'tearDownSyntheticAdapter',
    ]);
  const waiting = pairs[1].restore.performAll(RESTORE);
  overdue();
  await watchUntilBack();
  await waiting;
  expect(
    (await fleet.hosts.describe('host-01')).vms.map((vm) => [vm.phase, vm.facts.path]),
  ).toEqual([
    ['running', 'kept'],
    ['running', 'kept'],
  ]);
});

it('finishes what an earlier dead-man left: a VM that runs, but is still held by it', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  overdue();
  const { generation } = await fleet.hosts.takeForDeadMan('host-01', 'vm-01');
  for (const step of RESTORE.slice(0, RESTORE.indexOf('enableOptimizations'))) {
    await fleet.hosts.perform(
      step,
      { hostId: 'host-01', vmId: 'vm-01', generation, direction: 'recover' },
      new AbortController().signal,
    );
  }
  expect(await fleet.facts()).toMatchObject({ phase: 'preparing', holder: DEAD_MAN });
  expect(fleet.objects().vm.deadlineMs).not.toBeNull();
  overdue();
  await watchUntilBack();
  expect(fleet.objects().vm).toMatchObject({ deadlineMs: null });
  expect(fleet.objects().adapter).toMatchObject({ custody: null });
  expect((await fleet.facts()).facts.path).toBe('kept');
});
