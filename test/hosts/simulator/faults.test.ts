/** What a step does when it fails before or after its effect, is slow, stuck, or loses its VF. */
import { ATTACH_VIRTUAL_FUNCTION, type VmStep } from '../../../contract/steps';
import {
  RESTORE,
  RESTORE_IN_ONE_STEP,
  SAVE,
  SETTINGS,
  SimulatedFleet,
  VmRun,
  fault,
} from './simulated-fleet';

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
const performable = <S extends VmStep>(steps: readonly S[]) =>
  steps.filter((s) => s !== 'awaitPause' && s !== 'awaitUpdate');

it.each(performable(SAVE))(
  '%s of a save that fails before its effect is performed by the next attempt',
  async (step) => {
    await save([fault(step, 'fail-before')]);
    const failed = await fleet.journal('failed');
    expect(failed.map((e) => [e.step, e.status])).toEqual([[step, 'HostStepFailed']]);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect((await fleet.facts()).facts.path).toBe('kept');
    await fleet.expectUnharmed();
  },
);

it.each(performable(SAVE))(
  '%s of a save whose reply is lost is observed, and has its effect exactly once',
  async (step) => {
    const run = await VmRun.save(fleet, 'vm-01', { faults: [fault(step, 'fail-after')] });
    await run.performBefore(step, SAVE);
    await expect(run.perform(step)).rejects.toMatchObject({
      type: 'HostStepFailed',
      message: expect.stringMatching(/outcome is unknown/),
    });
    const before = await fleet.commands();
    const observed = await run.perform(step);
    expect(observed).toMatchObject({ status: 'done', attempts: 2 });
    expect(await fleet.commands()).toEqual(before);
    if (step === 'concludeSave') {
      const { restoredByHostAt = '' } = (await run.perform('concludeSave')).evidence;
      const inMs = Date.parse(restoredByHostAt) - Date.now();
      expect(Math.abs(inMs - SETTINGS.maxSavedForMs)).toBeLessThan(5_000);
    }
    if (step === 'saveVirtualFunctionState')
      expect(observed.evidence).toEqual({ withoutVfRecord: null });
    const mark = MARKS[step];
    if (mark !== undefined) expect(before.filter((c) => c === mark)).toHaveLength(1);
    await run.performAll(SAVE.slice(SAVE.indexOf(step)));
    expect((await fleet.facts()).phase).toBe('saved');
    await fleet.expectUnharmed();
  },
);

it.each(performable([...RESTORE, 'retrieveAndRestoreVirtualFunction' as const]))(
  '%s of a restore whose reply is lost is observed, and has its effect exactly once',
  async (step) => {
    await save();
    const order: readonly VmStep[] =
      step === 'retrieveAndRestoreVirtualFunction' ? RESTORE_IN_ONE_STEP : RESTORE;
    const settings = {
      virtualFunctionRestore: order === RESTORE ? 'step-by-step' : 'one-step',
    } as const;
    const run = await VmRun.restore(fleet, 'vm-01', {
      settings,
      faults: [fault(step, 'fail-after')],
    });
    await run.performBefore(step, order);
    await expect(run.perform(step)).rejects.toMatchObject({ type: 'HostStepFailed' });
    const before = await fleet.commands();
    const observed = await run.perform(step);
    expect(await fleet.commands()).toEqual(before);
    const mark = MARKS[step];
    if (mark !== undefined)
      expect(before.filter((c) => c === mark).length).toBeGreaterThanOrEqual(1);
    if (step === 'verifyRestore')
      expect(observed.evidence).toMatchObject({
        vm: { phase: 'running', facts: { path: 'kept' } },
      });
    await run.performAll(order);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
    await fleet.expectUnharmed();
  },
);

it('a slow step takes its delay, and its time is in the outcome', async () => {
  const run = await VmRun.save(fleet, 'vm-01', {
    faults: [fault('pauseVm', 'slow', { delay: '60ms' })],
  });
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
  await expect(stuck).rejects.toMatchObject({
    type: 'HostStepFailed',
    message: expect.stringMatching(/did not answer/),
  });
  expect((await fleet.facts()).phase).toBe('paused');
});

it('a stuck step ends when nobody waits for it any more', async () => {
  const run = await VmRun.save(fleet, 'vm-01', { faults: [fault('pauseVm', 'stuck')] });
  await run.perform('disableOptimizations');
  await expect(run.perform('pauseVm', AbortSignal.timeout(30))).rejects.toMatchObject({
    type: 'HostStepFailed',
  });
  expect((await run.perform('pauseVm')).status).toBe('done');
});

it('a fault is met as often as it says, and no more', async () => {
  const run = await VmRun.save(fleet, 'vm-01', {
    faults: [fault('pauseVm', 'fail-before', { times: 2 })],
  });
  await run.perform('disableOptimizations');
  await expect(run.perform('pauseVm')).rejects.toMatchObject({ type: 'HostStepFailed' });
  await expect(run.perform('pauseVm')).rejects.toMatchObject({ type: 'HostStepFailed' });
  expect((await run.perform('pauseVm')).attempts).toBe(3);
});

describe('a VF that is gone', () => {
  const withoutVf = [
    'powerOnRestore',
    'restoreVm',
    'resumeSyntheticAdapter',
    'resumeVm',
    'enableOptimizations',
  ] as const;

  it.each([
    'disableOptimizations',
    'pauseVm',
    'saveVirtualFunctionState',
    'writeVirtualFunctionInfo',
    'saveSyntheticAdapter',
    'saveVm',
    'crossPointOfNoReturn',
    'resetVpciBusInterface',
    'tearDownSyntheticAdapter',
  ] as const)('at %s leaves a VM that comes back and gets a VF anew', async (step) => {
    await save([fault(step, 'vf-gone')]);
    const { vm } = fleet.objects();
    const known = SAVE.indexOf(step) <= SAVE.indexOf('writeVirtualFunctionInfo');
    expect(vm.record?.blocks.adapters['nic-0']?.withoutVf).toEqual(
      known ? 'the VF is neither allocated nor assigned any more' : null,
    );
    const restore = await VmRun.restore(fleet);
    await restore.performAll(['initializeSyntheticAdapter', 'reserveResources']);
    if (!known) {
      await expect(restore.perform('powerOnRestore')).rejects.toMatchObject({
        type: 'VirtualFunctionLost',
      });
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
  });

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
      await expect(restore.perform('assignVirtualFunction')).rejects.toMatchObject({
        type: 'VirtualFunctionLost',
      });
    }
    await restore.fence('recover');
    await restore.performAll([
      'detachHeldFunction',
      ...withoutVf,
      ...ATTACH_VIRTUAL_FUNCTION,
      'verifyRestore',
    ]);
    expect(await fleet.facts()).toMatchObject({
      phase: 'running',
      dataPath: 'vf',
      facts: { path: 'reattached' },
    });
    await fleet.expectUnharmed();
  });

  it.each(['restoreVm', 'resumeSyntheticAdapter', 'resumeVm', 'enableOptimizations'] as const)(
    'at %s, after it was restored, is a loss that is reported, not a breach',
    async (step) => {
      await save();
      const restore = await VmRun.restore(fleet, 'vm-01', { faults: [fault(step, 'vf-gone')] });
      const order = RESTORE.filter(
        (s) => !(step === 'restoreVm' && s === 'markVirtualFunctionAssigned'),
      );
      await restore.performAll(order.slice(0, -1));
      // A generation of its own: bus and assignment of the restore have their results already.
      await restore.fence('recover');
      await restore.performAll([...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
      expect(await fleet.facts()).toMatchObject({
        phase: 'running',
        dataPath: 'vf',
        facts: { path: 'reattached' },
      });
      await fleet.expectUnharmed();
    },
  );

  it('before the data path is on it again is offered anew', async () => {
    await save([fault('pauseVm', 'vf-gone')]);
    const restore = await VmRun.restore(fleet, 'vm-01', {
      faults: [fault('switchDataPath', 'vf-gone')],
    });
    await restore.performAll(['initializeSyntheticAdapter', 'reserveResources', ...withoutVf]);
    await expect(restore.performAll(ATTACH_VIRTUAL_FUNCTION)).rejects.toMatchObject({
      type: 'Refused',
    });
    await restore.fence('recover');
    await restore.performAll(ATTACH_VIRTUAL_FUNCTION);
    expect((await fleet.facts()).dataPath).toBe('vf');
    expect(fleet.objects().pf.vfs[0]?.ring.active).toBe(true);
    expect(fleet.objects().adapter.guest.events.map((e) => e.kind)).toEqual([
      'surpriseRemoval',
      'offer',
      'surpriseRemoval',
      'offer',
    ]);
  });
});
