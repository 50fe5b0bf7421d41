/** Leases fence, keys make an effect happen at most once, and only the named holder can be taken over from. */
import { DEAD_MAN } from '../../../contract/ids';
import { HostRun, RESTORE, SAVE, SimulatedFleet, VmRun, fault, patient } from './simulated-fleet';

let fleet: SimulatedFleet;
const use = (shape = {}, profile = undefined as ConstructorParameters<typeof SimulatedFleet>[1]) =>
  (fleet = new SimulatedFleet(shape, profile));
afterEach(() => fleet.close());

const holder = (workflowId: string) => ({ workflowId, runId: `${workflowId}-run` });

describe('a lease', () => {
  it('is answered again to the same holder', async () => {
    use();
    const first = await VmRun.save(fleet);
    const again = await VmRun.save(fleet);
    expect(again.lease).toEqual(first.lease);
  });

  it('of a VM is refused to another, naming the holder', async () => {
    use();
    await VmRun.save(fleet, 'vm-01', { holder: holder('first') });
    const before = fleet.photograph();
    await expect(VmRun.save(fleet, 'vm-01', { holder: holder('second') })).rejects.toMatchObject({
      type: 'VmBusy',
      message: expect.stringContaining('workflow first, run first-run'),
      facts: { holder: holder('first') },
    });
    expect(fleet.photograph()).toBe(before);
  });

  it('of a host is refused to another, naming the holder', async () => {
    use();
    const first = await HostRun.arm(fleet, {}, holder('first'));
    await expect(fleet.hosts.acquireHost('host-01', holder('first'))).resolves.toBe(
      first.generation,
    );
    await expect(fleet.hosts.acquireHost('host-01', holder('second'))).rejects.toMatchObject({
      type: 'HostBusy',
      facts: { holder: holder('first') },
    });
    await expect(VmRun.save(fleet, 'vm-01', { holder: holder('second') })).rejects.toMatchObject({
      type: 'HostBusy',
    });
    await expect(VmRun.save(fleet, 'vm-01', { parent: holder('first') })).resolves.toBeDefined();
  });

  it('is taken over only from the holder that is named', async () => {
    use();
    await VmRun.save(fleet, 'vm-01', { holder: holder('first') });
    const wrong = { holder: holder('second'), takeOverFrom: holder('somebody else') };
    await expect(VmRun.save(fleet, 'vm-01', wrong)).rejects.toMatchObject({ type: 'VmBusy' });
    await HostRun.arm(fleet, {}, holder('first'));
    await expect(
      fleet.hosts.acquireHost('host-01', holder('second'), holder('somebody else')),
    ).rejects.toMatchObject({ type: 'HostBusy' });
    await expect(
      fleet.hosts.acquireHost('host-01', holder('second'), holder('first')),
    ).resolves.toBe(2);
  });

  it('is never taken over from the dead-man', async () => {
    use();
    const save = await VmRun.save(fleet);
    await save.performAll(['disableOptimizations', 'pauseVm']);
    fleet.change(({ vm }) => {
      vm.deadlineMs = 0;
    });
    await fleet.hosts.takeForDeadMan('host-01', 'vm-01');
    await expect(VmRun.restore(fleet, 'vm-01', { takeOverFrom: DEAD_MAN })).rejects.toMatchObject({
      type: 'VmBusy',
    });
  });
});

describe('a take-over', () => {
  it('fences the run that it takes the VM from', async () => {
    use();
    const first = await VmRun.save(fleet, 'vm-01', { holder: holder('first') });
    await first.performAll(['disableOptimizations', 'pauseVm']);
    const second = await VmRun.save(fleet, 'vm-01', {
      holder: holder('second'),
      takeOverFrom: holder('first'),
    });
    expect(second.lease).toMatchObject({
      generation: first.lease.generation + 1,
      phase: 'paused',
      crossed: false,
    });
    const before = fleet.photograph();
    await expect(first.perform('saveVirtualFunctionState')).rejects.toMatchObject({
      type: 'Fenced',
    });
    expect(fleet.photograph()).toBe(before);
    // What was finished before is still answered.
    expect((await first.perform('pauseVm')).status).toBe('alreadyDone');
  });

  it('of a save that has crossed is refused to another save: only forward is left', async () => {
    use();
    const first = await VmRun.save(fleet);
    await first.performBefore('tearDownSyntheticAdapter', SAVE);
    await first.fence('undo');
    const taken = { holder: holder('second'), takeOverFrom: first.holder };
    await expect(VmRun.save(fleet, 'vm-01', taken)).rejects.toMatchObject({ type: 'AlreadySaved' });
    await expect(VmRun.restore(fleet, 'vm-01', taken)).resolves.toMatchObject({
      lease: { crossed: true },
    });
  });

  it('of a host leaves the barrier of the run before it shut', async () => {
    use();
    const host = await HostRun.arm(fleet, {}, holder('first'));
    const { save } = await host.begin('vm-01');
    await save.performAll(
      SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn')).filter((s) => s !== 'awaitPause'),
    );
    await fleet.hosts.acquireHost('host-01', holder('second'), holder('first'));
    await expect(save.perform('crossPointOfNoReturn')).rejects.toMatchObject({
      type: 'BarrierBroken',
    });
    await expect(host.perform('stageUpdate')).rejects.toMatchObject({ type: 'Fenced' });
  });
});

describe('a fence', () => {
  it('gives a new generation to the holder and none to anyone else', async () => {
    use();
    const save = await VmRun.save(fleet);
    const old = save.lease.generation;
    await expect(
      fleet.hosts.fenceOperation('host-01', 'vm-01', holder('other')),
    ).rejects.toMatchObject({ type: 'Fenced' });
    await save.fence('undo');
    expect(save.lease.generation).toBe(old + 1);
  });

  it('makes a step that is under way end without effect', async () => {
    use({}, { timeScale: 1, operations: { pauseVm: { p50: 60, p99: 60 } } });
    const save = await VmRun.save(fleet);
    await save.perform('disableOptimizations');
    const late = save.perform('pauseVm');
    late.catch(() => undefined);
    await save.fence('undo');
    await expect(late).rejects.toMatchObject({ type: 'Fenced' });
    expect((await fleet.facts()).phase).toBe('preparing');
  });

  it('keeps a step that only found its effect in place from recording a result afterwards', async () => {
    use();
    const save = await VmRun.save(fleet);
    await save.perform('disableOptimizations');
    // No command of it will be refused: the end of the step is all that is left to be fenced.
    fleet.change(({ vm }) => {
      vm.faults = [fault('disableOptimizations', 'slow', { delay: '50ms' })];
    });
    save.direction = 'recover';
    const late = save.perform('disableOptimizations');
    late.catch(() => undefined);
    await save.fence('undo');
    await expect(late).rejects.toMatchObject({ type: 'Fenced' });
    const results = (await fleet.journal('result')).filter(
      (e) => e.step === 'disableOptimizations',
    );
    expect(results).toHaveLength(1);
  });

  it('frees the PF of a request that nobody waits for any more', async () => {
    use({ vms: 2 });
    const conventional = { settings: { mode: 'conventional' } } as const;
    const first = await VmRun.save(fleet, 'vm-01', {
      ...conventional,
      faults: [fault('moveFiltersToDefaultVPort', 'slow', { delay: '2s' })],
    });
    await first.perform('ejectVirtualFunction');
    const slow = first.perform('moveFiltersToDefaultVPort');
    slow.catch(() => undefined);
    const second = await VmRun.save(fleet, 'vm-02', conventional);
    await second.perform('ejectVirtualFunction');
    await expect(
      second.perform('moveFiltersToDefaultVPort', AbortSignal.timeout(50)),
    ).rejects.toMatchObject({ type: 'NotReachedInTime' });
    await first.fence('undo');
    // Long before the fenced attempt ends by itself.
    await expect(
      second.perform('moveFiltersToDefaultVPort', AbortSignal.timeout(1000)),
    ).resolves.toMatchObject({ status: 'done' });
    await expect(slow).rejects.toMatchObject({ type: 'Fenced' });
  });
});

describe('a key', () => {
  it('is answered from its result when it is repeated, without a second effect', async () => {
    use();
    const save = await VmRun.save(fleet);
    const order = SAVE.filter((s) => s !== 'awaitPause');
    for (const step of order) {
      const first = await save.perform(step);
      const before = await fleet.commands();
      const again = await save.perform(step);
      expect(again).toMatchObject({
        status: 'alreadyDone',
        evidence: first.evidence,
        attempts: first.attempts,
      });
      expect(await fleet.commands()).toEqual(before);
    }
    const restore = await VmRun.restore(fleet);
    for (const step of RESTORE.filter((s) => s !== 'awaitUpdate')) {
      const first = await restore.perform(step);
      expect(await restore.perform(step)).toMatchObject({
        status: 'alreadyDone',
        evidence: first.evidence,
      });
    }
    const commands = await fleet.commands();
    for (const once of [
      'Repository.Commit',
      'VMWP.Exit',
      'VMWP.Start',
      'Hypervisor.ResumeVirtualProcessors',
    ]) {
      expect(commands.filter((c) => c === once)).toHaveLength(1);
    }
  });

  it('is not the same in another direction or generation', async () => {
    use();
    const save = await VmRun.save(fleet);
    await save.perform('disableOptimizations');
    save.direction = 'recover';
    const again = await save.perform('disableOptimizations');
    // Not the stored answer: the effect was observed to be there.
    expect(again).toMatchObject({ status: 'alreadyDone', evidence: {} });
    const intents = (await fleet.journal('intent')).filter(
      (e) => e.step === 'disableOptimizations',
    );
    expect(intents).toHaveLength(2);
  });

  it('has its older attempt superseded by the newer one: the late completion has no effect', async () => {
    use();
    const save = await VmRun.save(fleet, 'vm-01', {
      faults: [fault('pauseVm', 'slow', { delay: '80ms' })],
    });
    await save.perform('disableOptimizations');
    const older = save.perform('pauseVm');
    older.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const newer = await save.perform('pauseVm');
    expect(newer).toMatchObject({ status: 'done', attempts: 2 });
    const pausedAt = fleet.objects().vm.partition.pausedAtMs;
    await expect(older).rejects.toMatchObject({ type: 'Fenced' });
    expect(fleet.objects().vm.partition.pausedAtMs).toBe(pausedAt);
    expect(
      (await fleet.commands()).filter((c) => c === 'Hypervisor.SuspendVirtualProcessors'),
    ).toHaveLength(1);
  });

  it('of a finished step is answered even when a restore holds the VM, anything else of the save is fenced', async () => {
    use();
    const save = await VmRun.save(fleet);
    await save.performAll(SAVE);
    const restore = await VmRun.restore(fleet);
    await restore.performAll(RESTORE);
    expect((await save.perform('tearDownSyntheticAdapter')).status).toBe('alreadyDone');
    await expect(save.perform('detachHeldFunction')).rejects.toMatchObject({ type: 'Fenced' });
    await expect(save.perform('endOperation')).rejects.toMatchObject({ type: 'Fenced' });
    expect((await fleet.facts()).facts.path).toBe('kept');
  });
});

it('a VM does one step at a time, whoever asks', async () => {
  use({}, { timeScale: 1, operations: { pauseVm: { p50: 40, p99: 40 } } });
  const save = await VmRun.save(fleet);
  await save.perform('disableOptimizations');
  const [pause, state] = await Promise.all([
    save.perform('pauseVm'),
    save.perform('saveVirtualFunctionState'),
  ]);
  expect(state.hostTimeMs).toBeGreaterThan(pause.hostTimeMs);
  expect(fleet.objects().vm.record?.blocks.adapters['nic-0']?.vfState).toBeDefined();
});

it('an unknown host, VM or generation is named in the refusal', async () => {
  use();
  await expect(fleet.hosts.describe('host-09')).rejects.toMatchObject({
    type: 'UnknownHost',
    message: expect.stringContaining('host-01'),
  });
  await expect(VmRun.save(fleet, 'vm-09')).rejects.toMatchObject({
    type: 'UnknownVm',
    message: expect.stringContaining('vm-01'),
  });
  const call = { hostId: 'host-01', vmId: 'vm-01', generation: 7, direction: 'forward' } as const;
  for (const step of ['pauseVm', 'endOperation', 'verifyRestore', 'concludeSave'] as const) {
    await expect(fleet.hosts.perform(step, call, patient())).rejects.toMatchObject({
      type: 'Fenced',
    });
  }
});
