/** The gates of a servicing run, which the host keeps: all pause together, nobody crosses alone, the darkest comes back first. */
import { UNDO_SAVE, type StepOutcome } from '../../../contract/steps';
import {
  HostRun,
  PREPARE_RESTORE,
  RESTORE,
  SAVE,
  IN_SERVICING_SAVE,
  SAVE_TO_MARK,
  SimulatedFleet,
  VmRun,
  failsAs,
  fault,
  pairOf,
  patient,
  prepared,
  serviceAll,
  settledSoon,
  type Pair,
} from './simulated-fleet';

let fleet: SimulatedFleet;
const use = (
  vms: number,
  more: object = {},
  profile?: ConstructorParameters<typeof SimulatedFleet>[1],
) => (fleet = new SimulatedFleet({ vms, ...more }, profile));
afterEach(() => fleet.close());

const servicing = () => {
  const { servicing: run } = fleet.store.host('host-01');
  if (run === null) throw new Error('no servicing run');
  return run;
};
it('services every VM of a host: new version, same VFs, one flip', async () => {
  use(4);
  const before = await fleet.hosts.describe('host-01');
  const host = await HostRun.arm(fleet);
  await host.perform('stageUpdate');
  const ended = await serviceAll(host, await host.beginAll());
  expect(
    [...ended.saves, ...ended.restores, ...ended.commit].filter((e) => e.status === 'rejected'),
  ).toEqual([]);

  const after = await fleet.hosts.describe('host-01');
  expect(after.versions.vpciVsp).toBe('2.0.0');
  for (const [i, vm] of after.vms.entries()) {
    expect(vm.identity).toEqual(before.vms[i]?.identity);
    expect(vm).toMatchObject({
      phase: 'running',
      holder: null,
      facts: { path: 'kept', stackVersion: '1.0.0', guestVisibleEvents: 0 },
    });
  }
  // The commit is answered from its result, and the slots do not flip back.
  expect((await host.perform('commitUpdate')).status).toBe('alreadyDone');
  expect(fleet.store.host('host-01')).toMatchObject({
    staged: null,
    previous: { version: '1.0.0' },
  });
  expect((await host.perform('verifyHost')).evidence).toEqual({
    notRunning: [],
    update: 'committed',
  });
  await fleet.hosts.releaseHost(host.call);
  await fleet.expectUnharmed();
});

it('nobody pauses before all are prepared and the commit is armed', async () => {
  use(2);
  const host = await HostRun.arm(fleet);
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  const [first, second] = [pairOf(pairs, 'vm-01'), pairOf(pairs, 'vm-02')];
  const stop = new AbortController();
  const waiting: Promise<unknown>[] = [...pairs.values()].map(({ restore }) =>
    restore.perform('awaitUpdate', stop.signal),
  );
  await first.save.perform('disableOptimizations');
  const pausing = first.save.perform('awaitPause');
  const passed = jest.fn();
  void pausing.then(passed);
  await settledSoon();
  await second.save.perform('disableOptimizations');
  await settledSoon();
  expect(passed).not.toHaveBeenCalled();
  waiting.push(second.save.perform('awaitPause', stop.signal));
  await settledSoon();
  expect(passed).not.toHaveBeenCalled();
  waiting.push(host.perform('commitUpdate', stop.signal));
  await pausing;
  stop.abort();
  await Promise.allSettled(waiting);
});

it('nobody crosses before all are saved, and all do then', async () => {
  use(3);
  const host = await HostRun.arm(fleet);
  const pairs = await host.beginAll();
  const upToMark = IN_SERVICING_SAVE.slice(
    0,
    IN_SERVICING_SAVE.indexOf('crossPointOfNoReturn'),
  ).filter((s) => s !== 'awaitPause');
  const [last, ...others] = [...pairs.values()];
  if (last === undefined) throw new Error('no VM');
  await Promise.all(others.map(({ save }) => save.performAll(upToMark)));
  const crossing = others.map(({ save }) => save.perform('crossPointOfNoReturn'));
  await last.save.performAll(upToMark.slice(0, -1));
  await settledSoon();
  expect(fleet.vmIds.map((id) => fleet.objects(id).vm.pointOfNoReturn)).toEqual([null, null, null]);
  await last.save.perform('saveVm');
  await Promise.all(crossing);
  await last.save.perform('crossPointOfNoReturn');
  expect(fleet.vmIds.every((id) => fleet.objects(id).vm.pointOfNoReturn !== null)).toBe(true);
});

it('a restore whose save never began does not wait for it when the run is stopped', async () => {
  use(1);
  const host = await HostRun.arm(fleet);
  const restore = await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
  await restore.performAll(['initializeSyntheticAdapter', 'reserveResources']);
  const waiting = restore.perform('awaitUpdate');
  await fleet.hosts.abortServicing(host.call, 'the save found no worker');
  expect(await waiting).toMatchObject({ status: 'notApplicable', reason: 'saveUndone' });
});

it('one VM that cannot be saved breaks the barrier: all are undone on the old version', async () => {
  use(3);
  const host = await HostRun.arm(fleet, {
    faults: [fault('saveVm', 'fail-before', { vmId: 'vm-02', times: 1000 })],
  });
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  const before = await fleet.hosts.describe('host-01');
  const bring = async ({ save }: Pair) => {
    await expect(save.performAll(IN_SERVICING_SAVE, true)).rejects.toMatchObject({
      type: save.vmId === 'vm-02' ? 'HostStepFailed' : 'BarrierBroken',
    });
    await save.fence('undo');
    await save.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
  };
  await prepared(pairs);
  const restores = [...pairs.values()].map(({ restore }) => restore.perform('awaitUpdate'));
  const commit = host.perform('commitUpdate');
  await Promise.all([...pairs.values()].map(bring));
  // Each restore learns that there is nothing to restore.
  for (const turn of await Promise.all(restores))
    expect(turn).toMatchObject({ status: 'notApplicable', reason: 'saveUndone' });
  expect(await commit).toMatchObject({ status: 'notApplicable', reason: 'aborted' });
  const after = await fleet.hosts.describe('host-01');
  expect(after.versions).toEqual(before.versions);
  expect(after.vms.map((vm) => vm.identity)).toEqual(before.vms.map((vm) => vm.identity));
  expect(after.vms.every((vm) => vm.phase === 'running' && vm.facts.path === 'kept')).toBe(true);
  await fleet.expectUnharmed();
});

it('one VM that cannot be saved keeps all from crossing', async () => {
  use(2);
  const host = await HostRun.arm(fleet);
  const pairs = await host.beginAll();
  const { save } = pairOf(pairs, 'vm-02');
  await save.performAll(['disableOptimizations', 'pauseVm']);
  await save.fence('undo');
  expect(servicing().aborted).toBe('vm-02 could not be saved: its run stopped');
});

it('an abort before the barrier lets no VM cross', async () => {
  use(2);
  const host = await HostRun.arm(fleet);
  const pairs = await host.beginAll();
  const { save } = pairOf(pairs, 'vm-01');
  await save.performAll([
    'disableOptimizations',
    'pauseVm',
    'saveVirtualFunctionState',
    'writeVirtualFunctionInfo',
    'saveSyntheticAdapter',
    'saveVm',
  ]);
  const crossing = save.perform('crossPointOfNoReturn');
  crossing.catch(() => undefined);
  await settledSoon(20);
  expect(await fleet.hosts.abortServicing(host.call, 'for the test')).toEqual({ crossed: false });
  await expect(crossing).rejects.toMatchObject(failsAs('BarrierBroken', /for the test/));
  await expect(pairOf(pairs, 'vm-02').save.perform('awaitPause')).rejects.toMatchObject({
    type: 'BarrierBroken',
  });
  expect(await host.perform('commitUpdate')).toMatchObject({
    status: 'notApplicable',
    reason: 'aborted',
  });
});

it('an abort after the barrier brings all back on the old version, VFs kept', async () => {
  use(2);
  const host = await HostRun.arm(fleet);
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  for (const { save } of pairs.values())
    await save.performAll(
      IN_SERVICING_SAVE.filter(
        (s) =>
          s !== 'awaitPause' &&
          s !== 'crossPointOfNoReturn' &&
          s !== 'resetVpciBusInterface' &&
          s !== 'tearDownSyntheticAdapter',
      ),
    );
  for (const { save } of pairs.values())
    await save.performAll([
      'crossPointOfNoReturn',
      'resetVpciBusInterface',
      'tearDownSyntheticAdapter',
    ]);
  expect(await fleet.hosts.abortServicing(host.call, 'for the test')).toEqual({ crossed: true });
  for (const { restore } of pairs.values())
    await restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  expect(await host.perform('commitUpdate')).toMatchObject({
    status: 'notApplicable',
    reason: 'notUpdated',
  });
  const { vms, versions } = await fleet.hosts.describe('host-01');
  expect(versions.vpciVsp).toBe('1.0.0');
  expect(vms.map((vm) => [vm.facts.path, vm.facts.stackVersion])).toEqual([
    ['kept', '1.0.0'],
    ['kept', '1.0.0'],
  ]);
  await fleet.expectUnharmed();
});

it('restores one after the other, the darkest first, when parallelism is 1', async () => {
  use(4);
  const host = await HostRun.arm(fleet, { parallelism: 1 });
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  // They are prepared one after the other, in the order of the run's list, whoever asks first.
  const quiet = [...pairs.values()]
    .reverse()
    .map(({ save }) => save.perform('disableOptimizations'));
  await Promise.all(quiet);
  expect(servicing().quiet).toEqual(['vm-01', 'vm-02', 'vm-03', 'vm-04']);
  // The order in which they go dark is not the order of their names.
  const order = ['vm-03', 'vm-01', 'vm-04', 'vm-02'];
  for (const id of order) await pairOf(pairs, id).save.performAll(SAVE_TO_MARK);
  for (const id of [...order].reverse())
    await pairOf(pairs, id).save.performAll([
      'crossPointOfNoReturn',
      'resetVpciBusInterface',
      'tearDownSyntheticAdapter',
    ]);
  const commit = host.perform('commitUpdate');
  const restores = [...pairs.values()].map(({ restore }) =>
    restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate'))),
  );
  await Promise.all([...restores, commit]);
  expect(servicing().admitted).toEqual(order);
  expect(servicing().resumed).toEqual(order);
  const journal = await fleet.hosts.readJournal('host-01', { limit: 100_000 });
  const turns = journal.filter(
    (e) =>
      e.command === 'Servicing.AdmitRestore' || e.command === 'Hypervisor.ResumeVirtualProcessors',
  );
  expect(turns.map((e) => e.vmId)).toEqual(order.flatMap((id) => [id, id]));
});

it('a VM that a way back takes past the gate, or that is stranded, does not hold the others up', async () => {
  use(3);
  const host = await HostRun.arm(fleet, { parallelism: 1 });
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  for (const { save } of pairs.values()) await save.performAll(SAVE_TO_MARK);
  for (const { save } of pairs.values())
    await save.performAll([
      'crossPointOfNoReturn',
      'resetVpciBusInterface',
      'tearDownSyntheticAdapter',
    ]);
  await fleet.hosts.abortServicing(host.call, 'for the test');
  const [first, second, third] = ['vm-01', 'vm-02', 'vm-03'].map((id) => pairOf(pairs, id).restore);
  if (first === undefined || second === undefined || third === undefined) throw new Error('no VM');
  await first.fence('recover');
  await expect(second.perform('awaitUpdate', AbortSignal.timeout(30))).rejects.toMatchObject({
    type: 'NotReachedInTime',
  });
  await first.perform('strandVm');
  await second.performAll(['awaitUpdate', ...RESTORE.slice(RESTORE.indexOf('powerOnRestore'))]);
  await third.performAll(['awaitUpdate', ...RESTORE.slice(RESTORE.indexOf('powerOnRestore'))]);
  expect((await fleet.hosts.describe('host-01')).vms.map((vm) => vm.phase)).toEqual([
    'stranded',
    'running',
    'running',
  ]);
});

it('gives the update up when waiting longer would leave too little of the budget for the restore', async () => {
  use(1);
  const host = await HostRun.arm(fleet, {
    settings: { blackoutBudgetMs: 1_000 },
    // Longer than the budget by far: only giving it up lets the restore begin in time.
    faults: [fault('commitUpdate', 'slow', { delay: '3s' })].map(({ vmId: _, ...f }) => f),
  });
  await host.perform('stageUpdate');
  const ended = await serviceAll(host, await host.beginAll());
  expect(ended.restores.map((e) => e.status)).toEqual(['fulfilled']);
  const { vms, versions } = await fleet.hosts.describe('host-01');
  expect(versions.vpciVsp).toBe('1.0.0');
  expect(vms[0]?.facts).toMatchObject({
    running: true,
    path: 'kept',
    stackVersion: '1.0.0',
  });
  // A fifth of the budget is kept for the restore; the VM runs again before the update would have come.
  expect(vms[0]?.facts.blackoutMs).toBeGreaterThan(750);
  const journal = await fleet.hosts.readJournal('host-01', { limit: 100_000 });
  const atMs = (step: string) =>
    journal.find((entry) => entry.step === step && entry.kind === 'result')?.hostTimeMs ?? NaN;
  expect(atMs('resumeVm')).toBeLessThan(atMs('commitUpdate'));
  // The late commit finds that it was given up.
  expect(ended.commit[0]).toMatchObject({ value: { evidence: { flipped: false } } });
});

it('the reply of a teardown is lost after the lease went to the restore: it is observed, and the restore goes on', async () => {
  use(1);
  const host = await HostRun.arm(fleet, {
    faults: [fault('tearDownSyntheticAdapter', 'fail-after')],
  });
  await host.perform('stageUpdate');
  const ended = await serviceAll(host, await host.beginAll());
  expect(ended.saves.map((e) => e.status)).toEqual(['fulfilled']);
  expect(ended.restores.map((e) => e.status)).toEqual(['fulfilled']);
  expect((await fleet.commands()).filter((c) => c === 'VMWP.Exit')).toHaveLength(1);
  expect((await fleet.facts()).facts).toMatchObject({ path: 'kept', stackVersion: '1.0.0' });
});

it('a save that handed its lease on can still be told apart from one that was fenced', async () => {
  use(1);
  const host = await HostRun.arm(fleet);
  const { save, restore } = await host.begin('vm-01');
  await save.performAll(SAVE.filter((s) => s !== 'awaitPause' && s !== 'concludeSave'));
  const call = {
    hostId: 'host-01',
    vmId: 'vm-01',
    generation: save.lease.generation,
    direction: 'undo',
  } as const;
  expect((await fleet.hosts.perform('tearDownSyntheticAdapter', call, patient())).status).toBe(
    'alreadyDone',
  );
  await expect(fleet.hosts.perform('resetVpciBusInterface', call, patient())).rejects.toMatchObject(
    { type: 'Fenced' },
  );
  await restore.fence('recover');
  await expect(
    fleet.hosts.perform('tearDownSyntheticAdapter', { ...call, direction: 'recover' }, patient()),
  ).rejects.toMatchObject({ type: 'Fenced' });
});

it('an operation is not in servicing, and meets no gate, when its host is not being serviced', async () => {
  use(1);
  const save = await VmRun.save(fleet);
  expect(save.lease.inServicing).toBe(false);
  const outcomes: StepOutcome[] = [await save.perform('awaitPause')];
  await save.performAll(SAVE);
  const restore = await VmRun.restore(fleet);
  await restore.performAll(PREPARE_RESTORE.slice(0, 2));
  outcomes.push(await restore.perform('awaitUpdate'));
  expect(outcomes.map((o) => o.status)).toEqual(['notApplicable', 'notApplicable']);
});
