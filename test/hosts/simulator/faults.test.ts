/** What a step does when it fails before or after its effect, is slow, stuck, or loses its VF; and every undo. */
import {
  ATTACH_VIRTUAL_FUNCTION,
  UNDO_SAVE,
  type VmStep,
} from '../../../contract/steps';
import { RESTORE, RESTORE_IN_ONE_STEP, SAVE, SimulatedFleet, VmRun, fault } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const save = async (faults: readonly ReturnType<typeof fault>[] = []) => {
  const run = await VmRun.save(fleet, 'vm-01', { faults });
  await run.performAll(SAVE, true);
  return run;
};
const MARKS: Partial<Record<VmStep, string>> = {
  pauseVm: 'Hypervisor.SuspendVirtualProcessors',
  saveVm: 'Repository.Commit',
  crossPointOfNoReturn: 'PointOfNoReturn.Cross',
  tearDownSyntheticAdapter: 'VMWP.Exit',
  powerOnRestore: 'VMWP.Start',
  assignVirtualFunction: 'VPCI.AssignDevice',
  restoreVm: 'Hypervisor.RestorePartition',
  resumeVm: 'Hypervisor.ResumeVirtualProcessors',
  verifyRestore: 'Lease.Release',
};
/** Steps that only wait have no effect that could be lost. */
const performable = <S extends VmStep>(steps: readonly S[]) => steps.filter((s) => s !== 'awaitPause' && s !== 'awaitUpdate');

it.each(performable(SAVE))('%s of a save that fails before its effect is performed by the next attempt', async (step) => {
  await save([fault(step, 'fail-before')]);
  const failed = await fleet.journal('failed');
  expect(failed.map((e) => [e.step, e.status])).toEqual([[step, 'HostStepFailed']]);
  await (await VmRun.restore(fleet)).performAll(RESTORE);
  expect((await fleet.facts()).facts.path).toBe('kept');
  await fleet.expectUnharmed();
});

it.each(performable(SAVE))('%s of a save whose reply is lost is observed, and has its effect exactly once', async (step) => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault(step, 'fail-after')] });
  await run.performBefore(step, SAVE);
  await expect(run.perform(step)).rejects.toMatchObject({ type: 'HostStepFailed', message: expect.stringMatching(/outcome is unknown/) });
  const before = await fleet.commands();
  expect(await run.perform(step)).toMatchObject({ status: 'done', attempts: 2 });
  expect(await fleet.commands()).toEqual(before);
  const mark = MARKS[step];
  if (mark !== undefined) expect(before.filter((c) => c === mark)).toHaveLength(1);
  await run.performAll(SAVE.slice(SAVE.indexOf(step)));
  expect((await fleet.facts()).phase).toBe('saved');
  await fleet.expectUnharmed();
});

it.each(performable([...RESTORE, 'retrieveAndRestoreVirtualFunction' as const]))(
  '%s of a restore whose reply is lost is observed, and has its effect exactly once',
  async (step) => {
    await save();
    const order: readonly VmStep[] = step === 'retrieveAndRestoreVirtualFunction' ? RESTORE_IN_ONE_STEP : RESTORE;
    const settings = { virtualFunctionRestore: order === RESTORE ? 'step-by-step' : 'one-step' } as const;
    const run = await VmRun.restore(fleet, 'vm-01', { settings, faults: [fault(step, 'fail-after')] });
    await run.performBefore(step, order);
    await expect(run.perform(step)).rejects.toMatchObject({ type: 'HostStepFailed' });
    const before = await fleet.commands();
    const observed = await run.perform(step);
    expect(await fleet.commands()).toEqual(before);
    const mark = MARKS[step];
    if (mark !== undefined) expect(before.filter((c) => c === mark).length).toBeGreaterThanOrEqual(1);
    if (step === 'verifyRestore') expect(observed.evidence['vm']).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
    await run.performAll(order);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
    await fleet.expectUnharmed();
  },
);

it('a slow step takes its delay, and its time is in the outcome', async () => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'slow', { delay: '60ms' })] });
  await run.perform('disableOptimizations');
  expect((await run.perform('pauseVm')).ms).toBeGreaterThanOrEqual(59);
});

it('a stuck step never answers, until the next attempt supersedes it', async () => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'stuck')] });
  await run.perform('disableOptimizations');
  const stuck = run.perform('pauseVm');
  let ended = false;
  stuck.catch(() => {
    ended = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(ended).toBe(false);
  expect((await run.perform('pauseVm')).attempts).toBe(2);
  await expect(stuck).rejects.toMatchObject({ type: 'HostStepFailed', message: expect.stringMatching(/did not answer/) });
  expect((await fleet.facts()).phase).toBe('paused');
});

it('a stuck step ends when nobody waits for it any more', async () => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'stuck')] });
  await run.perform('disableOptimizations');
  await expect(run.perform('pauseVm', AbortSignal.timeout(30))).rejects.toMatchObject({ type: 'HostStepFailed' });
  expect((await run.perform('pauseVm')).status).toBe('done');
});

it('a fault is met as often as it says, and no more', async () => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'fail-before', { times: 2 })] });
  await run.perform('disableOptimizations');
  await expect(run.perform('pauseVm')).rejects.toMatchObject({ type: 'HostStepFailed' });
  await expect(run.perform('pauseVm')).rejects.toMatchObject({ type: 'HostStepFailed' });
  expect((await run.perform('pauseVm')).attempts).toBe(3);
});

describe('a VF that is gone', () => {
  const withoutVf = ['powerOnRestore', 'restoreVm', 'resumeSyntheticAdapter', 'resumeVm', 'enableOptimizations'] as const;

  it.each(['disableOptimizations', 'pauseVm', 'saveVirtualFunctionState', 'writeVirtualFunctionInfo', 'saveSyntheticAdapter'] as const)(
    'at %s leaves a VM that comes back and gets a VF anew',
    async (step) => {
      await save([fault(step, 'vf-gone')]);
      const { vm } = fleet.objects();
      const known = step !== 'saveSyntheticAdapter';
      expect(vm.record?.withoutVf).toEqual(known ? 'the VF is neither allocated nor assigned any more' : null);
      const restore = await VmRun.restore(fleet);
      await restore.performAll(['initializeSyntheticAdapter', 'reserveResources']);
      if (!known) {
        await expect(restore.perform('powerOnRestore')).rejects.toMatchObject({ type: 'VirtualFunctionLost' });
        await restore.fence('recover');
        await restore.perform('detachHeldFunction');
      }
      await restore.performAll([...withoutVf, ...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
      expect(await fleet.facts()).toMatchObject({
        phase: 'running',
        dataPath: 'vf',
        facts: { path: 'reattached', guestVisibleEvents: 2 },
      });
      await fleet.expectUnharmed();
    },
  );

  it.each([
    ['powerOnRestore', 'VirtualFunctionLost'],
    ['createVpciBus', null],
    ['assignVirtualFunction', 'VirtualFunctionLost'],
    ['restoreVirtualFunctionState', 'Refused'],
    ['markVirtualFunctionAssigned', 'VirtualFunctionLost'],
  ] as const)('at %s of a restore is detached, and attached anew', async (step, type) => {
    await save();
    const restore = await VmRun.restore(fleet, 'vm-01', { faults: [fault(step, 'vf-gone')] });
    await restore.performBefore(step, RESTORE);
    if (type !== null) await expect(restore.perform(step)).rejects.toMatchObject({ type });
    else {
      await restore.perform(step);
      await expect(restore.perform('assignVirtualFunction')).rejects.toMatchObject({ type: 'VirtualFunctionLost' });
    }
    await restore.fence('recover');
    await restore.performAll(['detachHeldFunction', ...withoutVf, ...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', dataPath: 'vf', facts: { path: 'reattached' } });
    await fleet.expectUnharmed();
  });

  it.each(['restoreVm', 'resumeSyntheticAdapter', 'resumeVm', 'enableOptimizations'] as const)(
    'at %s, after it was restored, is a loss that is reported, not a breach',
    async (step) => {
      await save();
      const restore = await VmRun.restore(fleet, 'vm-01', { faults: [fault(step, 'vf-gone')] });
      const order = RESTORE.filter((s) => !(step === 'restoreVm' && s === 'markVirtualFunctionAssigned'));
      await restore.performAll(order.slice(0, -1));
      // A generation of its own: bus and assignment of the restore have their results already.
      await restore.fence('recover');
      await restore.performAll([...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
      expect(await fleet.facts()).toMatchObject({ phase: 'running', dataPath: 'vf', facts: { path: 'reattached' } });
      await fleet.expectUnharmed();
    },
  );

  it('before the data path is on it again is offered anew', async () => {
    await save([fault('pauseVm', 'vf-gone')]);
    const restore = await VmRun.restore(fleet, 'vm-01', { faults: [fault('switchDataPath', 'vf-gone')] });
    await restore.performAll(['initializeSyntheticAdapter', 'reserveResources', ...withoutVf]);
    await expect(restore.performAll(ATTACH_VIRTUAL_FUNCTION)).rejects.toMatchObject({ type: 'Refused' });
    await restore.fence('recover');
    await restore.performAll(ATTACH_VIRTUAL_FUNCTION);
    expect((await fleet.facts()).dataPath).toBe('vf');
    expect(fleet.objects().pf.vfs[0]?.ring.active).toBe(true);
    expect(fleet.objects().vm.guest.events.map((e) => e.kind)).toEqual(['surpriseRemoval', 'offer', 'surpriseRemoval', 'offer']);
  });
});

describe('an undo', () => {
  const undo = [...UNDO_SAVE, 'enableOptimizations', 'endOperation'] as const;
  const undoable = SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn') + 1).filter((s) => s !== 'awaitPause');

  it.each(undoable.flatMap((step) => [[step, 'fail-before'], [step, 'fail-after']] as const).filter(([step, kind]) => !(step === 'crossPointOfNoReturn' && kind === 'fail-after')))(
    'after %s met %s leaves the VM running with its VF',
    async (step, kind) => {
      const before = await fleet.facts();
      const run = await VmRun.save(fleet, 'vm-01', { faults: [fault(step, kind)] });
      await run.performBefore(step, SAVE);
      await expect(run.perform(step)).rejects.toMatchObject({ type: 'HostStepFailed' });
      await run.fence('undo');
      expect(run.lease.crossed).toBe(false);
      await run.performAll(undo);
      const after = await fleet.facts();
      expect(after).toMatchObject({ phase: 'running', holder: null, identity: before.identity, dataPath: 'vf' });
      expect(after.facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
      expect(fleet.objects().vm).toMatchObject({ custody: null, deadlineMs: null, vpci: { hold: null }, nic: { saving: 'none' }, adapter: { state: 'Running', optimizations: 'enabled' } });
      await fleet.expectUnharmed();
      // And the next save finds nothing left over.
      await (await VmRun.save(fleet)).performAll(SAVE);
      await (await VmRun.restore(fleet)).performAll(RESTORE);
      expect((await fleet.facts()).identity).toEqual(before.identity);
    },
  );

  it('learns from the fence that the point of no return was crossed although the reply was lost', async () => {
    const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('crossPointOfNoReturn', 'fail-after')] });
    await run.performBefore('crossPointOfNoReturn', SAVE);
    await expect(run.perform('crossPointOfNoReturn')).rejects.toMatchObject({ type: 'HostStepFailed' });
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
    expect((await restore.perform('recreateSyntheticAdapter')).evidence).toEqual({ lost: ['forwarding', 'firewall'] });
    await restore.performAll(['resumeVm', 'enableOptimizations', 'verifyRestore']);
    expect((await fleet.facts()).facts).toMatchObject({ path: 'kept', pathReason: expect.stringContaining('firewall') });
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
    await restore.performAll(['coldStartVm', 'resumeVm', 'enableOptimizations', ...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', dataPath: 'vf', facts: { path: 'restarted', pathReason: expect.stringContaining('memory') } });
    expect(fleet.objects().vm.record?.state).toBe('discarded');
  });

  it('a stranded VM stays held and paused, quarantines the host, and can still be restored by a person', async () => {
    await save();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('restoreVm', RESTORE);
    await restore.fence('recover');
    await restore.perform('strandVm');
    expect(await fleet.facts()).toMatchObject({ phase: 'stranded', holder: null, facts: { running: false, path: 'stranded' } });
    expect(fleet.objects().vm.custody).toMatchObject({ lost: false });
    await expect(VmRun.save(fleet)).rejects.toMatchObject({ type: 'HostQuarantined' });
    await expect(fleet.hosts.acquireHost('host-01', { workflowId: 'w', runId: 'r' })).rejects.toMatchObject({ type: 'HostQuarantined' });
    const again = await VmRun.restore(fleet, 'vm-01', { holder: { workflowId: 'by hand', runId: '1' } });
    await again.performAll(RESTORE);
    expect((await fleet.facts()).facts.running).toBe(true);
  });
});
