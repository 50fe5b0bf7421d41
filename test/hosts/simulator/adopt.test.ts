/** A new run goes on where an older one stopped: granted only where it can do no harm, and the older one is fenced. */
import { restoreFlow, saveFlow } from '../../../contract/flows';
import type { Adoption, OperationSettings } from '../../../contract/host';
import { DEAD_MAN, type Holder } from '../../../contract/ids';
import { ATTACH_VIRTUAL_FUNCTION, UNDO_SAVE, type VmStep } from '../../../contract/steps';
import {
  HOST,
  HostRun,
  IN_SERVICING_SAVE,
  SETTINGS,
  SimulatedFleet,
  VmRun,
  failsAs,
  fault,
  pairOf,
  prepared,
} from './simulated-fleet';

let fleet: SimulatedFleet;
const fleetOf = (vms: number) => (fleet = new SimulatedFleet({ vms }));
afterEach(() => fleet.close());

const NEW: Holder = { workflowId: 'fork', runId: 'run-2' };
const adoptionOf = ({ holder, lease }: VmRun, at: VmStep): Adoption => ({
  ...holder,
  generation: lease.generation,
  at,
});
interface More {
  readonly holder?: Holder;
  readonly settings?: Partial<OperationSettings>;
  readonly adopt?: Partial<Adoption>;
  readonly takeOverFrom?: Holder;
}
const forked =
  (kind: 'save' | 'restore') =>
  (old: VmRun, at: VmStep, { holder = NEW, settings = {}, adopt = {}, takeOverFrom }: More = {}) =>
    VmRun[kind](fleet, old.vmId, {
      holder,
      settings,
      adopt: { ...adoptionOf(old, at), ...adopt },
      ...(takeOverFrom === undefined ? {} : { takeOverFrom }),
    });
const forkOfSave = forked('save');
const forkOfRestore = forked('restore');
const refused = (message: RegExp) => failsAs('AdoptRefused', message);

const isWait = (step: VmStep) => step.startsWith('await');
const modified = saveFlow(SETTINGS);
const restoring = restoreFlow(SETTINGS);
const saved = async (vmId = 'vm-01', mode: OperationSettings['mode'] = 'modified') =>
  (await VmRun.save(fleet, vmId, { settings: { mode } })).performAll(saveFlow({ mode }));

async function expectBack(vmId: string, mode: OperationSettings['mode']): Promise<void> {
  const { phase, holder, facts } = await fleet.facts(vmId);
  expect({ phase, holder }).toEqual({ phase: 'running', holder: null });
  if (mode === 'conventional') return;
  expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
  expect(facts.identityAfter).toEqual(facts.identityBefore);
}

const MODES = ['modified', 'conventional'] as const;
const RESTORES = [
  { mode: 'modified', virtualFunctionRestore: 'step-by-step' },
  { mode: 'modified', virtualFunctionRestore: 'one-step' },
  { mode: 'conventional', virtualFunctionRestore: 'step-by-step' },
] as const;
/** Of the steps that are granted the first, where most is found in place, and the last, where nothing is; the rest are like them. */
const ends = (granted: readonly number[]) => [
  ...new Set([...granted.slice(0, 1), ...granted.slice(-1)]),
];
const everyStop = (flow: readonly VmStep[]) => flow.map((step, index) => [step, index] as const);
const vmNumber = (index: number) => `vm-${String(index + 1).padStart(2, '0')}`;

/** A conventional save has no bus interface left to reset. */
const leavesNothing = (flow: readonly VmStep[], step: VmStep) =>
  isWait(step) || (step === 'resetVpciBusInterface' && flow.includes('disconnectSyntheticAdapter'));

/** Which steps a run that stopped before `stopped` can be forked at: all that has been done, but not back over the mark. */
const isAllowed = (flow: readonly VmStep[], stopped: number, at: number) => {
  const mark = flow.indexOf('crossPointOfNoReturn');
  const missing = flow.findIndex((step, index) => index >= stopped && !leavesNothing(flow, step));
  return at <= missing && !(mark !== -1 && stopped > mark && at < mark);
};

describe.each(MODES)('a %s save', (mode) => {
  const flow = saveFlow({ mode });
  it.each(everyStop(flow))('that stopped before %s goes on from there', async (next, stopped) => {
    fleetOf(3);
    const settings = { mode };
    const granted = flow.flatMap((_step, at) => (isAllowed(flow, stopped, at) ? [at] : []));
    const begun = async (vmId: string) => {
      const old = await VmRun.save(fleet, vmId, { settings });
      await old.performAll(flow.slice(0, stopped));
      return old;
    };
    const old = await begun('vm-03');
    const before = fleet.photograph();
    for (const step of flow.filter((_step, at) => !granted.includes(at))) {
      await expect(forkOfSave(old, step, { settings })).rejects.toMatchObject(
        refused(/comes before|lies before/),
      );
    }
    expect(fleet.photograph()).toBe(before);
    for (const [index, at] of ends(granted).entries()) {
      const vmId = vmNumber(index);
      const old = await begun(vmId);
      const step = flow[at] ?? next;
      const fork = await forkOfSave(old, step, { settings });
      expect(fork.lease.adopted?.map((a) => a.step)).toEqual(flow.slice(0, at));
      if (!isWait(next)) {
        await expect(old.perform(next)).rejects.toMatchObject({ type: 'Fenced' });
      }
      await fork.performAll(flow.slice(at));
      const restore = await VmRun.restore(fleet, vmId);
      await restore.performAll(restoreFlow({ ...SETTINGS, mode }));
      await expectBack(vmId, mode);
    }
    await fleet.expectUnharmed();
  });
});

describe.each(RESTORES)('a restore ($mode, $virtualFunctionRestore)', (settings) => {
  const { mode } = settings;
  const flow = restoreFlow(settings);
  it.each(everyStop(flow))('that stopped before %s goes on from there', async (next, stopped) => {
    fleetOf(3);
    const resumes = flow.indexOf('resumeVm');
    const granted = flow.flatMap((_step, at) =>
      isAllowed(flow, stopped, at) && !(stopped > resumes && at < resumes) ? [at] : [],
    );
    const begun = async (vmId: string) => {
      await saved(vmId, mode);
      const old = await VmRun.restore(fleet, vmId, { settings });
      await old.performAll(flow.slice(0, stopped));
      return old;
    };
    const old = await begun('vm-03');
    const before = fleet.photograph();
    for (const step of flow.filter((_step, at) => !granted.includes(at))) {
      await expect(forkOfRestore(old, step, { settings })).rejects.toMatchObject(
        refused(/comes before|lies before/),
      );
    }
    expect(fleet.photograph()).toBe(before);
    for (const [index, at] of ends(granted).entries()) {
      const vmId = vmNumber(index);
      const old = await begun(vmId);
      const step = flow[at] ?? next;
      const fork = await forkOfRestore(old, step, { settings });
      if (!isWait(next)) {
        await expect(old.perform(next)).rejects.toMatchObject({ type: 'Fenced' });
      }
      await fork.performAll(flow.slice(at));
      await expectBack(vmId, mode);
    }
    await fleet.expectUnharmed();
  });
});

describe('what is granted', () => {
  it('fences a step of the older run that is under way, and it changes nothing', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet, 'vm-01', { faults: [fault('saveVm', 'stuck')] });
    await old.performBefore('saveVm', modified);
    const late = old.perform('saveVm').catch((error: unknown) => error);
    const fork = await forkOfSave(old, 'saveVm', { settings: { blackoutBudgetMs: 20_000 } });
    expect(await late).toMatchObject({ type: 'HostStepFailed' });
    const before = fleet.photograph();
    for (const step of ['saveVm', 'crossPointOfNoReturn', 'unsaveVm'] as const) {
      await expect(old.perform(step)).rejects.toMatchObject({ type: 'Fenced' });
    }
    await expect(old.fence('undo')).rejects.toMatchObject({ type: 'Fenced' });
    expect(fleet.photograph()).toBe(before);
    await fork.performAll(modified.slice(modified.indexOf('saveVm')));
    expect((await fleet.facts()).phase).toBe('saved');
  });

  it('is answered again in the same way, and only once journaled as new', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('saveVm', modified);
    const first = await forkOfSave(old, 'saveVm');
    const again = await forkOfSave(old, 'saveVm');
    expect({ ...again.lease, darkForMs: 0 }).toEqual({ ...first.lease, darkForMs: 0 });
  });

  it('is in the journal of the host, with both runs', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('saveVm', modified);
    const fork = await forkOfSave(old, 'saveVm');
    const adopted = (await fleet.journal('result')).filter((entry) => entry.step === 'adopt');
    expect(adopted).toMatchObject([{ generation: fork.lease.generation, status: 'paused' }]);
    const { holder, lease } = old;
    expect(adopted[0]?.detail).toBe(
      `workflow ${NEW.workflowId}, run ${NEW.runId} goes on at saveVm with generation ${String(lease.generation)} of workflow ${holder.workflowId}, run ${holder.runId}`,
    );
  });

  it('counts the budget of a save from the pause, and gives a restore a whole one', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet, 'vm-01', { settings: { blackoutBudgetMs: 2_000 } });
    await old.performBefore('saveVm', modified);
    const save = await forkOfSave(old, 'saveVm', { settings: { blackoutBudgetMs: 20_000 } });
    const { vm } = fleet.objects();
    expect(vm.deadlineMs).toBe((vm.partition.pausedAtMs ?? 0) + 20_000);
    await save.performAll(modified.slice(modified.indexOf('saveVm')));
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('powerOnRestore', restoring);
    await forkOfRestore(restore, 'powerOnRestore', { settings: { blackoutBudgetMs: 20_000 } });
    const left = (fleet.objects().vm.deadlineMs ?? 0) - fleet.objects().nowMs;
    expect(left).toBeGreaterThan(19_000);
    expect(left).toBeLessThanOrEqual(20_000);
  });

  it('says why a save goes on without a VF record, though the step that found out is not performed again', async () => {
    fleetOf(1);
    const faults = [fault('saveVirtualFunctionState', 'vf-gone')];
    const old = await VmRun.save(fleet, 'vm-01', { faults });
    await old.performBefore('saveVm', modified);
    const { lease } = await forkOfSave(old, 'saveVm');
    const found = lease.adopted?.find(({ step }) => step === 'saveVirtualFunctionState');
    expect(found?.evidence).toEqual({
      withoutVfRecord: expect.stringContaining('neither allocated nor assigned'),
    });
  });

  it('turns a stranded restore to another way of restoring the VF, and lifts the quarantine', async () => {
    fleetOf(1);
    await saved();
    const old = await VmRun.restore(fleet, 'vm-01', {
      faults: [fault('powerOnRestore', 'fail-before')],
    });
    await old.performBefore('powerOnRestore', restoring);
    await expect(old.perform('powerOnRestore')).rejects.toMatchObject({ type: 'HostStepFailed' });
    await old.fence('recover');
    await old.perform('strandVm');
    expect((await fleet.hosts.describe(HOST)).quarantine).toContain('stranded');
    const settings = { virtualFunctionRestore: 'one-step' } as const;
    const fork = await forkOfRestore(old, 'powerOnRestore', { settings });
    const flow = restoreFlow({ ...SETTINGS, ...settings });
    await fork.performAll(flow.slice(flow.indexOf('powerOnRestore')));
    await expectBack('vm-01', 'modified');
    await fleet.expectUnharmed();
  });

  it('finishes a stranded save, which a restore then ends', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('tearDownSyntheticAdapter', modified);
    await old.perform('strandVm');
    const fork = await forkOfSave(old, 'tearDownSyntheticAdapter');
    await fork.performAll(['tearDownSyntheticAdapter', 'concludeSave']);
    const restore = await VmRun.restore(fleet);
    await restore.performAll(restoring);
    await expectBack('vm-01', 'modified');
    await fleet.expectUnharmed();
  });

  it('takes a stranded VM out of a servicing run that is closed, and gives its update up', async () => {
    fleetOf(2);
    const host = await HostRun.arm(fleet);
    await host.perform('stageUpdate');
    const pairs = await host.beginAll();
    await prepared(pairs);
    // Its restores wait, its commit is armed and never comes: its run is terminated then.
    const gone = AbortSignal.abort();
    for (const { restore } of pairs.values())
      await restore.perform('awaitUpdate', gone).catch(() => undefined);
    await host.perform('commitUpdate', gone).catch(() => undefined);
    void host.perform('openGate');
    await Promise.all([...pairs.values()].map(({ save }) => save.performAll(IN_SERVICING_SAVE)));
    const { restore } = pairOf(pairs, 'vm-01');
    await restore.fence('recover');
    await restore.perform('strandVm');
    const takeOverFrom = host.holder;
    const fork = await forkOfRestore(restore, 'powerOnRestore', { takeOverFrom });
    await fork.performAll(restoring.slice(restoring.indexOf('powerOnRestore')));
    await expectBack('vm-01', 'modified');
    expect(fleet.store.host(HOST).servicing?.members).toEqual(['vm-02']);
    const other = pairOf(pairs, 'vm-02').restore;
    await other.performAll(restoring.slice(restoring.indexOf('awaitUpdate')));
    await expectBack('vm-02', 'modified');
    expect((await fleet.facts()).facts.stackVersion).toBe('1.0.0');
    await fleet.expectUnharmed();
  });

  it('begins a save anew that was undone', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('saveVm', modified);
    await old.fence('undo');
    await old.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    await expect(forkOfSave(old, 'saveVm')).rejects.toMatchObject(
      refused(/is running, and the effect of disableOptimizations/),
    );
    await (await forkOfSave(old, 'disableOptimizations')).performAll(modified);
    expect((await fleet.facts()).phase).toBe('saved');
  });

  it('goes on with a save whose undo had begun, from where nothing was taken back', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('crossPointOfNoReturn', modified);
    await old.fence('undo');
    await old.perform('unsaveVm');
    await expect(forkOfSave(old, 'crossPointOfNoReturn')).rejects.toMatchObject(
      refused(/go on at saveVirtualFunctionState at the latest/),
    );
    const at = modified.indexOf('saveVirtualFunctionState');
    await (await forkOfSave(old, 'saveVirtualFunctionState')).performAll(modified.slice(at));
    await (await VmRun.restore(fleet)).performAll(restoring);
    await expectBack('vm-01', 'modified');
    await fleet.expectUnharmed();
  });
});

describe('what is refused, with nothing changed', () => {
  async function expectRefused(fork: () => Promise<unknown>, message: RegExp): Promise<void> {
    const before = fleet.photograph();
    await expect(fork()).rejects.toMatchObject(refused(message));
    expect(fleet.photograph()).toBe(before);
    await fleet.expectUnharmed();
  }
  const paused = async (options: Parameters<typeof VmRun.save>[2] = {}) => {
    fleetOf(1);
    const old = await VmRun.save(fleet, 'vm-01', options);
    await old.performBefore('saveVm', modified);
    return old;
  };

  it('a VM that the dead-man has taken, or is about to take', async () => {
    const old = await paused();
    fleet.change(({ vm }) => (vm.deadlineMs = 1));
    await expectRefused(() => forkOfSave(old, 'saveVm'), /its deadline has passed.*dead-man/);
    await fleet.hosts.takeForDeadMan(HOST, 'vm-01');
    await expectRefused(() => forkOfSave(old, 'saveVm'), /the host’s dead-man brings it back/);
    expect(fleet.objects().vm.lease?.holder).toEqual(DEAD_MAN);
  });

  it('a generation that is not the present one, naming both and who holds the VM', async () => {
    const old = await paused();
    const wrong = { generation: old.lease.generation - 1 };
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { adopt: wrong }),
      /it has generation 1 now, not 0; it is paused, workflow beginSave\/vm-01, run run-1 holds it/,
    );
    const first = await forkOfSave(old, 'saveVm');
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { holder: { workflowId: 'fork', runId: 'run-3' } }),
      /generation 2 now, not 1.*workflow fork, run run-2 holds it/,
    );
    expect(fleet.objects().vm.lease?.generation).toBe(first.lease.generation);
  });

  it('a VM that another run holds with the very generation', async () => {
    const old = await paused();
    const runId = 'another';
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { adopt: { runId } }),
      /run run-1 holds it, not workflow beginSave\/vm-01, run another/,
    );
  });

  it('a save that has crossed, back over the mark', async () => {
    fleetOf(1);
    const old = await VmRun.save(fleet);
    await old.performBefore('tearDownSyntheticAdapter', modified);
    await expectRefused(
      () => forkOfSave(old, 'saveVm'),
      /has crossed the point of no return, and saveVm lies before it/,
    );
  });

  it('a save whose restore has begun, or is over', async () => {
    fleetOf(1);
    await saved();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('createVpciBus', restoring);
    await expectRefused(() => forkOfSave(restore, 'concludeSave'), /its restore has begun/);
    await restore.performAll(restoring.slice(restoring.indexOf('createVpciBus')));
    await expectRefused(() => forkOfSave(restore, 'disableOptimizations'), /save is over/);
    await expectRefused(() => forkOfRestore(restore, 'powerOnRestore'), /it runs, and nothing/);
  });

  it('a restore whose save has not crossed', async () => {
    const old = await paused();
    await expectRefused(
      () => forkOfRestore(old, 'initializeSyntheticAdapter'),
      /has not crossed the point of no return: fork the save/,
    );
  });

  it('a budget that is spent already', async () => {
    const old = await paused();
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { settings: { blackoutBudgetMs: 0 } }),
      /has been dark for \d+ ms, and blackoutBudget is 0 ms/,
    );
  });

  it('another mode or hold than the save has begun with', async () => {
    const old = await paused();
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { settings: { mode: 'conventional' } }),
      /has begun as modified; mode cannot become conventional/,
    );
    await expectRefused(
      () => forkOfSave(old, 'saveVm', { settings: { holdMode: 'block' } }),
      /hold is set already, as instruct-skip/,
    );
  });

  it('a save on a host that is quarantined for another VM', async () => {
    fleetOf(2);
    const old = await VmRun.save(fleet);
    await old.performBefore('saveVm', modified);
    const other = await VmRun.save(fleet, 'vm-02');
    await other.performBefore('tearDownSyntheticAdapter', modified);
    await other.perform('strandVm');
    await expect(forkOfSave(old, 'saveVm')).rejects.toMatchObject({ type: 'HostQuarantined' });
  });

  it('a VM that a servicing run counts on', async () => {
    fleetOf(2);
    const host = await HostRun.arm(fleet);
    await host.perform('stageUpdate');
    const pairs = await host.beginAll();
    const { save, restore } = pairOf(pairs, 'vm-01');
    await restore.performAll(['initializeSyntheticAdapter', 'reserveResources']);
    await expectRefused(() => forkOfSave(save, 'disableOptimizations'), /its restore is prepared/);
    await expectRefused(() => forkOfRestore(restore, 'reserveResources'), /generation/);
    fleet.change(({ vm }) => (vm.nextLease = null));
    const before = fleet.photograph();
    await expect(forkOfSave(save, 'disableOptimizations')).rejects.toMatchObject(
      failsAs('HostBusy', /service-host\/host-01, run run-1 services host host-01, and counts on/),
    );
    expect(fleet.photograph()).toBe(before);
  });
});

it('a VM whose VF was given up on the way back gets one anew after the fork of its restore', async () => {
  fleetOf(1);
  await saved();
  const old = await VmRun.restore(fleet);
  await old.performBefore('assignVirtualFunction', restoring);
  await old.fence('recover');
  await old.perform('detachHeldFunction');
  await old.perform('strandVm');
  const fork = await forkOfRestore(old, 'powerOnRestore');
  await fork.performAll(restoring.slice(restoring.indexOf('powerOnRestore'), -1));
  fork.direction = 'recover';
  await fork.performAll([...ATTACH_VIRTUAL_FUNCTION, 'verifyRestore']);
  expect((await fleet.facts()).facts).toMatchObject({ running: true, path: 'reattached' });
  await fleet.expectUnharmed();
});

it('a stranded VM that the dead-man brings back after a run that tried again is gone lifts the quarantine', async () => {
  fleetOf(1);
  await saved();
  const old = await VmRun.restore(fleet);
  await old.performBefore('powerOnRestore', restoring);
  await old.fence('recover');
  await old.perform('strandVm');
  await forkOfRestore(old, 'powerOnRestore');
  fleet.change(({ vm }) => (vm.deadlineMs = 1));
  const { generation } = await fleet.hosts.takeForDeadMan(HOST, 'vm-01');
  const deadMan = async (steps: readonly VmStep[]) => {
    for (const step of steps) {
      const call = { hostId: HOST, vmId: 'vm-01', generation, direction: 'recover' } as const;
      await fleet.hosts.perform(step, call, new AbortController().signal);
    }
  };
  await deadMan([...restoring.filter((s) => !isWait(s) && s !== 'verifyRestore'), 'endOperation']);
  await fleet.expectUnharmed();
});
