/** Before the point of no return every step is undone; after it a way back is found that the failure calls for. */
import { ATTACH_VIRTUAL_FUNCTION, UNDO_SAVE } from '../../../contract/steps';
import { RESTORE, SAVE, SimulatedFleet, VmRun, fault } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const save = async () => (await VmRun.save(fleet)).performAll(SAVE);

describe('an undo', () => {
  const undo = [...UNDO_SAVE, 'enableOptimizations', 'endOperation'] as const;
  const undoable = SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn') + 1).filter(
    (s) => s !== 'awaitPause',
  );

  it.each(
    undoable
      .flatMap(
        (step) =>
          [
            [step, 'fail-before'],
            [step, 'fail-after'],
          ] as const,
      )
      .filter(([step, kind]) => !(step === 'crossPointOfNoReturn' && kind === 'fail-after')),
  )('after %s met %s leaves the VM running with its VF', async (step, kind) => {
    const before = await fleet.facts();
    const run = await VmRun.save(fleet, 'vm-01', { faults: [fault(step, kind)] });
    await run.performBefore(step, SAVE);
    await expect(run.perform(step)).rejects.toMatchObject({ type: 'HostStepFailed' });
    await run.fence('undo');
    expect(run.lease.crossed).toBe(false);
    await run.performAll(undo);
    const after = await fleet.facts();
    expect(after).toMatchObject({
      phase: 'running',
      holder: null,
      identity: before.identity,
      dataPath: 'vf',
    });
    expect(after.facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
    expect(fleet.objects().vm).toMatchObject({ deadlineMs: null });
    expect(fleet.objects().adapter).toMatchObject({
      custody: null,
      vpci: { hold: null },
      nic: { saving: 'none' },
      vdev: { state: 'Running', optimizations: 'enabled' },
    });
    await fleet.expectUnharmed();
    // And the next save finds nothing left over.
    await (await VmRun.save(fleet)).performAll(SAVE);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect((await fleet.facts()).identity).toEqual(before.identity);
  });

  it('learns from the fence that the point of no return was crossed although the reply was lost', async () => {
    const run = await VmRun.save(fleet, 'vm-01', {
      faults: [fault('crossPointOfNoReturn', 'fail-after')],
    });
    await run.performBefore('crossPointOfNoReturn', SAVE);
    await expect(run.perform('crossPointOfNoReturn')).rejects.toMatchObject({
      type: 'HostStepFailed',
    });
    await run.fence('undo');
    expect(run.lease).toMatchObject({ crossed: true, phase: 'recovering' });
    await expect(run.perform('unsaveVm')).rejects.toMatchObject({ type: 'Refused' });
    await run.performAll(['resetVpciBusInterface', 'tearDownSyntheticAdapter', 'concludeSave']);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect((await fleet.facts()).facts.path).toBe('kept');
  });

  it('of a save whose VF went away says that the VF is another one', async () => {
    const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'vf-gone')] });
    await run.performBefore('saveVm', SAVE);
    await run.fence('undo');
    await run.performAll([...UNDO_SAVE, 'enableOptimizations']);
    expect((await fleet.facts()).facts.path).toBe('synthetic-only');
    await run.performAll([...ATTACH_VIRTUAL_FUNCTION, 'endOperation']);
    expect((await fleet.facts()).facts.path).toBe('reattached');
  });

  it('is itself at most once in effect', async () => {
    const run = await VmRun.save(fleet);
    await run.performBefore('crossPointOfNoReturn', SAVE);
    await run.fence('undo');
    await run.performAll(UNDO_SAVE);
    const commands = await fleet.commands();
    await run.performAll(UNDO_SAVE);
    expect(await fleet.commands()).toEqual(commands);
  });
});

describe('the other ways back', () => {
  it('a switch extension that lost its data costs that data, not the VF', async () => {
    await save();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('resumeSyntheticAdapter', RESTORE);
    await restore.fence('recover');
    expect((await restore.perform('recreateSyntheticAdapter')).evidence).toEqual({
      lost: ['forwarding', 'firewall'],
    });
    await restore.performAll(['resumeVm', 'enableOptimizations', 'verifyRestore']);
    expect((await fleet.facts()).facts).toMatchObject({
      path: 'kept',
      pathReason: expect.stringContaining('firewall'),
    });
    await fleet.expectUnharmed();
  });

  it('a partition that is gone means a cold start, reported as loss of guest memory', async () => {
    await save();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('restoreVm', RESTORE);
    fleet.change(({ vm }) => {
      vm.partition.state = 'gone';
    });
    await expect(restore.perform('restoreVm')).rejects.toMatchObject({ type: 'VmStateLost' });
    await restore.fence('recover');
    await restore.performAll([
      'coldStartVm',
      'resumeVm',
      'enableOptimizations',
      ...ATTACH_VIRTUAL_FUNCTION,
      'verifyRestore',
    ]);
    expect(await fleet.facts()).toMatchObject({
      phase: 'running',
      dataPath: 'vf',
      facts: { path: 'restarted', pathReason: expect.stringContaining('memory') },
    });
    expect(fleet.objects().vm.record?.state).toBe('discarded');
  });

  it('a stranded VM stays held and paused, quarantines the host, and can still be restored by a person', async () => {
    await save();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('restoreVm', RESTORE);
    await restore.fence('recover');
    await restore.perform('strandVm');
    expect(await fleet.facts()).toMatchObject({
      phase: 'stranded',
      holder: null,
      facts: { running: false, path: 'stranded' },
    });
    expect(fleet.objects().adapter.custody).toMatchObject({ lost: false });
    await expect(VmRun.save(fleet)).rejects.toMatchObject({ type: 'HostQuarantined' });
    await expect(
      fleet.hosts.acquireHost('host-01', { workflowId: 'w', runId: 'r' }),
    ).rejects.toMatchObject({ type: 'HostQuarantined' });
    const again = await VmRun.restore(fleet, 'vm-01', {
      holder: { workflowId: 'by hand', runId: '1' },
    });
    await again.performAll(RESTORE);
    expect((await fleet.facts()).facts.running).toBe(true);
  });
});
