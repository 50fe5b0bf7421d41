/** What is updated VM by VM: each VM has a version of its own, goes dark in its turn, and can go back (host-model.md, section 11). */
import type { Fault } from '../../../contract/faults';
import type { ServicingOrder } from '../../../contract/host';
import { UNDO_SAVE, type VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import {
  HostRun,
  IN_SERVICING_SAVE,
  PREPARE_RESTORE,
  RESTORE,
  ROLLING,
  SAVE,
  SimulatedFleet,
  VmRun,
  failsAs,
  fault,
  settledSoon,
  type Pair,
} from './simulated-fleet';

let fleet: SimulatedFleet;
const use = (vms = 2, more: object = {}) => (fleet = new SimulatedFleet({ vms, ...more }));
afterEach(() => fleet.close());

const UPDATE = { component: 'vmWorkerProcess', version: '2.0.0' } as const;
async function arm(
  faults: readonly Fault[] = [],
  {
    rolling = {},
    ...more
  }: { rolling?: object } & Partial<Omit<ServicingOrder, 'rolling' | 'settings'>> = {},
): Promise<HostRun> {
  const order = { update: UPDATE, rolling: { ...ROLLING, ...rolling }, faults, ...more };
  const host = await HostRun.arm(fleet, order);
  await host.perform('stageUpdate');
  return host;
}
const hostFault = (kind: Fault['kind']): Fault => ({
  step: 'stageUpdate',
  kind,
  times: 1,
  delay: '1s',
});
const servicing = () => {
  const { servicing: run } = fleet.store.host('host-01');
  if (run === null) throw new Error('no servicing run');
  return run;
};
const versions = async () =>
  (await fleet.hosts.describe('host-01')).vms.map((vm) => vm.stackVersion);

const DARK_RESTORE = RESTORE.slice(RESTORE.indexOf('awaitUpdate'));
const AFTER_GATE = RESTORE.slice(
  RESTORE.indexOf('powerOnRestore'),
  RESTORE.indexOf('resumeVm') + 1,
);
const upTo = <Step extends VmStep>(steps: readonly Step[], step: VmStep) =>
  steps.slice(0, steps.indexOf(step as Step));

/** Both runs of a VM, as the workflows go: the restore prepares and waits, the save goes down, the restore brings it back. */
async function service(host: HostRun, vmId: string) {
  const { save, restore } = await host.begin(vmId);
  await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
  const restoring = restore.performAll(DARK_RESTORE, true);
  const saving = save.performAll(IN_SERVICING_SAVE, true);
  return Promise.allSettled([saving, restoring]);
}
/** A VM that is down, with its restore at the gate. */
async function down(host: HostRun, vmId = 'vm-01'): Promise<Pair> {
  const pair = await host.begin(vmId);
  await pair.restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
  const waiting = pair.restore.perform('awaitUpdate');
  await pair.save.performAll(IN_SERVICING_SAVE);
  await waiting;
  return pair;
}
async function backOnTheOld({ restore }: Pair): Promise<void> {
  await restore.fence('recover');
  await restore.perform('retreatToOldStack');
  await restore.performAll([...AFTER_GATE, 'enableOptimizations', 'verifyRestore']);
}
async function expectKept(vmId: string, stackVersion: string): Promise<void> {
  const { phase, facts, holder } = await fleet.facts(vmId);
  expect({ phase, holder }).toEqual({ phase: 'running', holder: null });
  expect(facts).toMatchObject({ path: 'kept', stackVersion, guestVisibleEvents: 0 });
  expect(facts.identityAfter).toEqual(facts.identityBefore);
}

describe('versions', () => {
  it('are the VMs’ own, and the default of the host flips after the last one', async () => {
    use(2);
    const host = await arm();
    await service(host, 'vm-01');
    expect(await versions()).toEqual(['2.0.0', '1.0.0']);
    expect(fleet.store.host('host-01').versions.vmWorkerProcess).toBe('1.0.0');
    await expect(host.perform('commitUpdate')).rejects.toMatchObject(
      failsAs('Refused', /2\.0\.0 is not what every VM runs: vm-02 \(1\.0\.0\)/),
    );
    expect(fleet.store.host('host-01').versions.vmWorkerProcess).toBe('1.0.0');
    await service(host, 'vm-02');
    await host.perform('commitUpdate');
    expect(fleet.store.host('host-01')).toMatchObject({
      versions: { vmWorkerProcess: '2.0.0' },
      staged: null,
    });
    for (const vmId of fleet.vmIds) await expectKept(vmId, '2.0.0');
    await fleet.expectUnharmed();
  });

  it('a VM of a half-updated host that is saved by itself comes back on its own version', async () => {
    use(2);
    const host = await arm();
    await service(host, 'vm-01');
    await fleet.hosts.releaseHost(host.call);
    for (const vmId of fleet.vmIds) {
      await (await VmRun.save(fleet, vmId)).performAll(SAVE);
      await (await VmRun.restore(fleet, vmId)).performAll(RESTORE);
    }
    expect(await versions()).toEqual(['2.0.0', '1.0.0']);
  });

  it('a VM that is started cold gets the default, not what was verified on others only', async () => {
    use(2);
    const host = await arm();
    await service(host, 'vm-01');
    const { restore } = await down(host, 'vm-02');
    await restore.fence('recover');
    await restore.performAll(['coldStartVm', 'resumeVm']);
    expect(await versions()).toEqual(['2.0.0', '1.0.0']);
  });

  it('a third one is refused before anything is touched, unless it is agreed to', async () => {
    use(2);
    const host = await arm();
    await service(host, 'vm-01');
    await fleet.hosts.releaseHost(host.call);
    const holder = { workflowId: 'next', runId: 'run' };
    const next = (version: string, rolling = {}) =>
      HostRun.arm(
        fleet,
        { update: { ...UPDATE, version }, rolling: { ...ROLLING, ...rolling } },
        holder,
      );
    const third = await next('3.0.0');
    await expect(third.perform('stageUpdate')).rejects.toMatchObject(
      failsAs('ThirdVersion', /run 2\.0\.0 and 1\.0\.0; 3\.0\.0 would be a third version/),
    );
    expect(fleet.store.host('host-01').staged).toBeNull();
    await fleet.hosts.releaseHost(third.call);
    for (const [version, rolling] of [
      ['2.0.0'],
      ['1.0.0'],
      ['3.0.0', { allowThirdVersion: true }],
    ] as const) {
      const agreed = await next(version, rolling);
      expect((await agreed.perform('stageUpdate')).evidence).toEqual({ staged: version });
      await fleet.hosts.releaseHost(agreed.call);
    }
  });
});

describe('the successor', () => {
  it.each([
    ['fails-to-start', /vm-01 has no successor: vmWorkerProcess 2\.0\.0 did not start/],
    ['starts-old-version', /says that it is vmWorkerProcess 1\.0\.0, not 2\.0\.0/],
    ['fails-verification', /vmWorkerProcess 2\.0\.0 started, but its own checks failed/],
  ] as const)('is asked what it is before the VM pauses: an update that %s', async (kind, says) => {
    use(1);
    const host = await arm([hostFault(kind)]);
    const { restore } = await host.begin('vm-01');
    await expect(restore.perform('initializeSyntheticAdapter')).rejects.toMatchObject(
      failsAs('UpdateFailed', says),
    );
    expect(await fleet.facts()).toMatchObject({
      darkForMs: 0,
      blackouts: [],
      stackVersion: '1.0.0',
    });
  });

  it.each(['pauseVm', 'saveVm', 'crossPointOfNoReturn'] as const)(
    'that ends at %s keeps its VM from crossing: it is undone, and runs as before',
    async (step) => {
      use(1);
      const at = step === 'crossPointOfNoReturn' ? 'saveVm' : step;
      const host = await arm([fault(at, 'successor-dies')]);
      const [saved] = await Promise.all([
        (async () => {
          const { save, restore } = await host.begin('vm-01');
          await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
          void restore.perform('awaitUpdate').catch(() => undefined);
          await save.performAll(upTo(IN_SERVICING_SAVE, 'crossPointOfNoReturn'));
          await expect(save.perform('crossPointOfNoReturn')).rejects.toMatchObject(
            failsAs('SuccessorEnded', /the successor of vm-01, has ended/),
          );
          return save;
        })(),
      ]);
      await saved.fence('undo');
      await saved.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
      await expectKept('vm-01', '1.0.0');
      await fleet.expectUnharmed();
    },
  );

  it.each(AFTER_GATE)(
    'that ends at %s loses nothing: the VM comes back on the old version, its VF kept',
    async (step) => {
      use(1);
      const host = await arm([fault(step, 'successor-dies')]);
      const pair = await down(host);
      const dying = pair.restore.performAll(AFTER_GATE);
      await expect(dying).rejects.toMatchObject({ type: 'SuccessorEnded' });
      await backOnTheOld(pair);
      await expectKept('vm-01', '1.0.0');
      const resets = (await fleet.commands()).filter(
        (c) => c.includes('RESET_VF') || c.includes('FREE_VF'),
      );
      expect(resets).toEqual([]);
      await fleet.expectUnharmed();
    },
  );

  it('of another version than is wanted, or of a VF that was reset, is not crossed to', async () => {
    use(2);
    const host = await arm();
    const toMark = async (vmId: string) => {
      const { save, restore } = await host.begin(vmId);
      await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
      void restore.perform('awaitUpdate').catch(() => undefined);
      await save.performAll(upTo(IN_SERVICING_SAVE, 'crossPointOfNoReturn'));
      return save;
    };
    const first = await toMark('vm-01');
    fleet.change(({ vm }) => {
      if (vm.successor !== null) vm.successor.workerProcess.version = '1.5.0';
    });
    await expect(first.perform('crossPointOfNoReturn')).rejects.toMatchObject(
      failsAs('Refused', /it has one of 1\.5\.0, not of 2\.0\.0/),
    );
    await first.fence('undo');
    await first.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    servicing();
    fleet.store.updateHost('host-01', ({ host: { servicing: run } }) => {
      if (run !== null) run.aborted = null;
    });
    const second = await toMark('vm-02');
    fleet.change(({ pf, vm }) => {
      const vf = pf.vfs.find(({ ownerVmId }) => ownerVmId === vm.vmId);
      if (vf !== undefined) vf.configEpoch += 1;
    }, 'vm-02');
    await expect(second.perform('crossPointOfNoReturn')).rejects.toMatchObject(
      failsAs('ConfigEpochChanged', /the VF of nic-0 was reset while it was saved/),
    );
  });
});

describe('the turn to go dark', () => {
  it('waits for the VM’s own restore, and for no other VM', async () => {
    use(2);
    const host = await arm();
    const { save, restore } = await host.begin('vm-01');
    await save.perform('disableOptimizations');
    const passed = jest.fn();
    const pausing = save.perform('awaitPause').then(passed);
    await settledSoon();
    expect(passed).not.toHaveBeenCalled();
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    void restore.perform('awaitUpdate').catch(() => undefined);
    await pausing;
    expect(servicing().turns).toEqual([{ vmId: 'vm-01', devices: ['pf-0'] }]);
  });

  it('is one VM’s at a time where they share a PF', async () => {
    use(2);
    const host = await arm();
    const order: string[] = [];
    const one = service(host, 'vm-01').then(() => order.push('vm-01'));
    const two = service(host, 'vm-02').then(() => order.push('vm-02'));
    await Promise.all([one, two]);
    const journal = await fleet.hosts.readJournal('host-01', { limit: 100_000 });
    const dark = journal
      .filter((e) => e.command?.endsWith('VirtualProcessors'))
      .map((e) => e.command);
    expect(dark).toEqual([
      'Hypervisor.SuspendVirtualProcessors',
      'Hypervisor.ResumeVirtualProcessors',
      'Hypervisor.SuspendVirtualProcessors',
      'Hypervisor.ResumeVirtualProcessors',
    ]);
    for (const vmId of fleet.vmIds) await expectKept(vmId, '2.0.0');
  });

  it('is over when a save is given up before its VM was dark', async () => {
    use(2);
    const host = await arm([], { rolling: { onSaveFailure: 'continue' } });
    const { save, restore } = await host.begin('vm-01');
    await save.perform('disableOptimizations');
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    void restore.perform('awaitUpdate').catch(() => undefined);
    await save.perform('awaitPause');
    await save.fence('undo');
    await save.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    await service(host, 'vm-02');
    await expectKept('vm-02', '2.0.0');
  });
});

describe('a VM that cannot be saved', () => {
  it.each([
    ['stop', /the run stopped at vm-01, which could not be saved/],
    ['continue', null],
  ] as const)('with policy %s', async (onSaveFailure, aborted) => {
    use(2);
    const host = await arm([], { rolling: { onSaveFailure } });
    const { save } = await host.begin('vm-01');
    await save.performAll(['disableOptimizations', 'pauseVm']);
    await save.fence('undo');
    await save.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    if (aborted === null) {
      await service(host, 'vm-02');
      await expectKept('vm-02', '2.0.0');
    } else {
      expect(servicing().aborted).toMatch(aborted);
      const { save: second } = await host.begin('vm-02').catch(async () => ({
        save: await VmRun.save(fleet, 'vm-02', { parent: host.holder }),
      }));
      await second.perform('disableOptimizations');
      await expect(second.perform('awaitPause')).rejects.toMatchObject(
        failsAs('BarrierBroken', /vm-02 does not pause: the run stopped at vm-01/),
      );
      expect((await fleet.facts('vm-02')).blackouts).toEqual([]);
    }
  });

  it('a run that is stopped lets a VM go on whose turn it is', async () => {
    use(1);
    const host = await arm();
    const { save, restore } = await host.begin('vm-01');
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    const restoring = restore.performAll(DARK_RESTORE);
    await save.performAll(upTo(IN_SERVICING_SAVE, 'saveVm'));
    await fleet.hosts.abortServicing(host.call, 'for the test');
    await save.performAll(IN_SERVICING_SAVE.slice(IN_SERVICING_SAVE.indexOf('saveVm')));
    await restoring;
    await expectKept('vm-01', '2.0.0');
  });
});

describe('back on the old version', () => {
  it('a record that the new version cannot read is read by the one that wrote it', async () => {
    use(2);
    const host = await arm([hostFault('cannot-read-record')]);
    const pair = await down(host);
    await expect(pair.restore.perform('powerOnRestore')).rejects.toMatchObject(
      failsAs('RecordUnreadable', /version 2\.0\.0 cannot read the record of vm-01/),
    );
    await backOnTheOld(pair);
    await expectKept('vm-01', '1.0.0');
    expect((await fleet.facts()).facts.pathReason).toMatch(/^back on 1\.0\.0/);
    expect(servicing().aborted).toBe('the run stopped at vm-01, which went back to 1.0.0');
    await fleet.expectUnharmed();
  });

  it('journals the whole sequence of claim 10 once more', async () => {
    use(1);
    const host = await arm();
    const pair = await down(host);
    await pair.restore.perform('powerOnRestore');
    await backOnTheOld(pair);
    const reads = (await fleet.commands()).filter(
      (c) => c.startsWith('VDEV.PowerOnRestore') || c.startsWith('Repository.Read'),
    );
    const once = [
      'VDEV.PowerOnRestore (begin)',
      'Repository.ReadVdevVersion',
      'Repository.ReadBlockCount',
      'Repository.ReadSettings',
      'Repository.ReadVirtualFunctionInfo',
      'VDEV.PowerOnRestore (end)',
    ];
    expect(reads.filter((c) => once.includes(c))).toEqual([...once, ...once]);
  });

  it.each(AFTER_GATE)('from whatever the new version had restored, before %s', async (step) => {
    use(1, { adapters: 'one' });
    const host = await arm();
    const pair = await down(host);
    await pair.restore.performAll(upTo(AFTER_GATE, step));
    await backOnTheOld(pair);
    await expectKept('vm-01', '1.0.0');
    await fleet.expectUnharmed();
  });

  it('of a VM with several adapters, half of whose VFs the new version had', async () => {
    use(4, { adapters: 'mixed' });
    const host = await arm();
    for (const vmId of fleet.vmIds) {
      fleet.store.updateHost('host-01', ({ host: { servicing: run } }) => {
        if (run !== null) run.aborted = null;
      });
      const pair = await down(host, vmId);
      await pair.restore.performAll(upTo(AFTER_GATE, 'restoreVm'));
      await backOnTheOld(pair);
      await expectKept(vmId, '1.0.0');
    }
    await fleet.expectUnharmed();
  });

  it('is refused while the old process runs, and of a VM that runs', async () => {
    use(1);
    const host = await arm();
    const { save } = await host.begin('vm-01');
    await save.performAll(['disableOptimizations', 'pauseVm']);
    await save.fence('recover');
    await expect(save.perform('retreatToOldStack')).rejects.toMatchObject({ type: 'Refused' });
  });

  it('is a thing of the restore: a repeat is answered, and an older generation refused', async () => {
    use(1);
    const host = await arm();
    const { restore } = await down(host);
    expect(restore.lease.canRetreat).toBe(true);
    await restore.fence('recover');
    expect(restore.lease.canRetreat).toBe(true);
    await restore.perform('retreatToOldStack');
    expect(await restore.perform('retreatToOldStack')).toMatchObject({
      status: 'alreadyDone',
      evidence: { version: '1.0.0' },
    });
    const old = { ...restore.lease };
    await restore.fence('recover');
    expect(restore.lease.canRetreat).toBe(false);
    const late = { hostId: 'host-01', vmId: 'vm-01', generation: old.generation } as const;
    await expect(
      fleet.hosts.perform(
        'powerOnRestore',
        { ...late, direction: 'recover' },
        new AbortController().signal,
      ),
    ).rejects.toMatchObject({ type: 'Fenced' });
  });
});

describe('the dead-man', () => {
  async function watchUntilBack(vmId: string): Promise<string[]> {
    const said: string[] = [];
    const stop = new AbortController();
    const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
    for (const until = Date.now() + 30_000; ; await settledSoon(10)) {
      const { partition, lease } = fleet.objects(vmId).vm;
      if (partition.state === 'running' && lease === null) break;
      if (Date.now() > until) throw new Error(`not back: ${said.join('; ')}`);
    }
    stop.abort();
    await watching;
    return said;
  }
  const overdue = () =>
    fleet.change(({ vm }) => {
      vm.deadlineMs = 1;
    });

  it.each([...AFTER_GATE.slice(1), 'awaitUpdate'] as const)(
    'takes a VM whose restore on the new version stopped before %s to the old one, its VF kept',
    async (step) => {
      use(1);
      const host = await arm();
      const pair = await down(host);
      if (step !== 'awaitUpdate') await pair.restore.performAll(upTo(AFTER_GATE, step));
      overdue();
      await watchUntilBack('vm-01');
      await expectKept('vm-01', '1.0.0');
      expect((await fleet.facts()).facts.pathReason).toMatch(/^back on 1\.0\.0/);
      expect(servicing().aborted).toBe('the run stopped at vm-01, which went back to 1.0.0');
      await fleet.expectUnharmed();
    },
  );

  it('does too where the new version cannot read the record, and where its process has ended', async () => {
    use(1);
    const host = await arm([hostFault('cannot-read-record')]);
    const pair = await down(host);
    await expect(pair.restore.perform('powerOnRestore')).rejects.toMatchObject({
      type: 'RecordUnreadable',
    });
    overdue();
    await watchUntilBack('vm-01');
    await expectKept('vm-01', '1.0.0');
  });

  it('gives no update up that others are in the middle of, and commits none', async () => {
    use(2);
    const host = await arm([], { rolling: { onSaveFailure: 'continue' } });
    await down(host, 'vm-01');
    overdue();
    await watchUntilBack('vm-01');
    expect(servicing().update).toBe('armed');
    await service(host, 'vm-02');
    expect(await versions()).toEqual(['1.0.0', '2.0.0']);
    expect(fleet.store.host('host-01').versions.vmWorkerProcess).toBe('1.0.0');
  });
});

describe('a process that ends before it has brought its VM back', () => {
  it.each(AFTER_GATE)(
    'at %s of a lone restore is followed by another, by the dead-man',
    async (step) => {
      use(1);
      await (await VmRun.save(fleet)).performAll(SAVE);
      const restore = await VmRun.restore(fleet, 'vm-01', {
        faults: [fault(step, 'successor-dies')],
      });
      await expect(restore.performAll(RESTORE)).rejects.toMatchObject({ type: 'SuccessorEnded' });
      await rescued();
      await expectKept('vm-01', '1.0.0');
      await fleet.expectUnharmed();
    },
  );

  it('of the dead-man’s own restore is followed by another, and not for ever', async () => {
    use(2);
    const host = await arm([
      fault('restoreVm', 'successor-dies', { times: 2 }),
      fault('restoreVm', 'successor-dies', { vmId: 'vm-02', times: 1_000 }),
    ]);
    await down(host, 'vm-01');
    await rescued();
    await expectKept('vm-01', '1.0.0');
    fleet.store.updateHost('host-01', ({ host: { servicing: run } }) => {
      if (run !== null) run.aborted = null;
    });
    await down(host, 'vm-02');
    await rescued('vm-02', 'stranded');
    expect((await fleet.facts('vm-02')).facts.path).toBe('stranded');
  });

  /** By the dead-man, at once. */
  async function rescued(vmId = 'vm-01', phase = 'running'): Promise<void> {
    fleet.change(({ vm }) => void (vm.deadlineMs = 1), vmId);
    const stop = new AbortController();
    const watching = new DeadMan(fleet.hosts, () => undefined).watch(stop.signal);
    for (const until = Date.now() + 30_000; ; await settledSoon(10)) {
      const seen = await fleet.facts(vmId);
      if (seen.phase === phase && seen.holder === null) break;
      if (Date.now() > until) throw new Error(`${vmId} is ${seen.phase}`);
    }
    stop.abort();
    await watching;
  }
});

describe('nothing is left of a run that is over', () => {
  it('a VM that was not let pause is saved alone, with no successor of the new version', async () => {
    use(1);
    const host = await arm();
    const restore = await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    const waiting = restore.perform('awaitUpdate');
    await settledSoon();
    await fleet.hosts.abortServicing(host.call, 'for the test');
    expect(await waiting).toMatchObject({ reason: 'saveUndone' });
    await fleet.hosts.releaseHost(host.call);
    const lone = await VmRun.save(fleet, 'vm-01', { holder: { workflowId: 'lone', runId: 'x' } });
    await lone.performAll(SAVE);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    await expectKept('vm-01', '1.0.0');
  });

  it('a VM that it left dark comes back on its own version when a person restores it', async () => {
    use(1);
    const host = await arm();
    const { restore } = await down(host);
    await fleet.hosts.releaseHost(host.call);
    const by = { holder: { workflowId: 'lone', runId: 'x' }, takeOverFrom: restore.holder };
    await (await VmRun.restore(fleet, 'vm-01', by)).performAll(RESTORE);
    await expectKept('vm-01', '1.0.0');
  });

  it('the next run of the host knows nothing of its versions', async () => {
    use(1);
    const host = await arm();
    await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
    expect(fleet.objects().vm.versions).toEqual({
      target: '2.0.0',
      fallback: '1.0.0',
      retreated: false,
    });
    await fleet.hosts.releaseHost(host.call);
    await HostRun.arm(fleet, {}, { workflowId: 'next', runId: 'run' });
    expect(fleet.objects().vm.versions).toBeUndefined();
  });
});

it('a VM that is started cold after the new version had claimed it gets the default all the same', async () => {
  use(2);
  const host = await arm();
  const { restore } = await down(host);
  await restore.perform('powerOnRestore');
  fleet.change(({ vm }) => void (vm.partition.state = 'gone'));
  await expect(restore.perform('restoreVm')).rejects.toMatchObject({ type: 'VmStateLost' });
  await restore.fence('recover');
  await restore.performAll(['coldStartVm', 'resumeVm']);
  expect(await versions()).toEqual(['1.0.0', '1.0.0']);
});

describe('a VM that its run leaves as it is', () => {
  it('because its restore has failed is not saved by a save that begins later', async () => {
    use(1);
    const host = await arm([], { rolling: { onSaveFailure: 'continue' } });
    const restore = await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
    await restore.perform('initializeSyntheticAdapter');
    await restore.fence('undo');
    await restore.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    const save = await VmRun.save(fleet, 'vm-01', { parent: host.holder });
    await save.perform('disableOptimizations');
    await expect(save.perform('awaitPause')).rejects.toMatchObject(
      failsAs('BarrierBroken', /its save or its restore has failed already/),
    );
  });

  it('because its save has failed is not waited for by a restore that begins later', async () => {
    use(1);
    const host = await arm([], { rolling: { onSaveFailure: 'continue' } });
    const save = await VmRun.save(fleet, 'vm-01', { parent: host.holder });
    await save.performAll(['disableOptimizations', 'pauseVm']);
    await save.fence('undo');
    await save.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    const restore = await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    expect(await restore.perform('awaitUpdate')).toMatchObject({ reason: 'saveUndone' });
  });

  it('a turn that nobody has taken yet is given back when the run is stopped', async () => {
    use(2);
    const host = await arm();
    const { save, restore } = await host.begin('vm-01');
    await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
    const waiting = restore.perform('awaitUpdate');
    await save.performAll(['disableOptimizations', 'awaitPause']);
    expect(servicing().turns).toHaveLength(1);
    await fleet.hosts.abortServicing(host.call, 'for the test');
    expect(servicing().turns).toEqual([]);
    expect(await waiting).toMatchObject({ reason: 'saveUndone' });
    await save.performAll(upTo(IN_SERVICING_SAVE.slice(2), 'crossPointOfNoReturn'));
    await expect(save.perform('crossPointOfNoReturn')).rejects.toMatchObject({
      type: 'BarrierBroken',
    });
  });
});

it('no more VMs are dark than may be, and a stranded one is no more in the way', async () => {
  use(6, { adapters: 'mixed' });
  const host = await arm([], { rolling: { parallelism: 1 } });
  // They share no PF: vm-01 has its VF of pf-0, vm-05 of pf-1.
  const { save, restore } = await host.begin('vm-01');
  await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
  void restore.perform('awaitUpdate').catch(() => undefined);
  await save.performAll(upTo(IN_SERVICING_SAVE, 'crossPointOfNoReturn'));
  const passed = jest.fn();
  const other = await host.begin('vm-05');
  await other.restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
  void other.restore.perform('awaitUpdate').catch(() => undefined);
  await other.save.perform('disableOptimizations');
  const pausing = other.save.perform('awaitPause').then(passed);
  await settledSoon();
  expect(passed).not.toHaveBeenCalled();
  expect(save.lease.canRetreat).toBe(false);
  await save.performAll(IN_SERVICING_SAVE.slice(IN_SERVICING_SAVE.indexOf('crossPointOfNoReturn')));
  await restore.fence('recover');
  await restore.perform('strandVm');
  await pausing;
});

it('what the new version had restored counts as not restored', async () => {
  use(1);
  const host = await arm();
  const { restore } = await down(host);
  await restore.performAll(upTo(AFTER_GATE, 'resumeVm'));
  expect(fleet.objects().adapter.nic.restored).not.toEqual([]);
  await restore.fence('recover');
  await restore.perform('retreatToOldStack');
  const { vm, adapter } = fleet.objects();
  expect([vm.vmStateRestored, adapter.vfStateRestored, adapter.nic.restored]).toEqual([
    false,
    false,
    [],
  ]);
  expect(adapter.vpci.interface).toEqual({ state: 'none', madeBy: null });
  expect(vm.partition).toMatchObject({ state: 'preserved', custodian: 'hypervisor' });
  expect(vm.record).toMatchObject({ state: 'committed', claimedBy: null });
});

it('a guest that reboots between the canary and its own turn gets the default, and its turn all the same', async () => {
  use(2);
  const host = await arm();
  await service(host, 'vm-01');
  // Its worker process is another one afterwards: made of what the host has for whatever starts anew.
  fleet.change(({ host: { versions: byDefault }, vm }) => {
    vm.workerProcess.version = byDefault.vmWorkerProcess;
  }, 'vm-02');
  expect(await versions()).toEqual(['2.0.0', '1.0.0']);
  await service(host, 'vm-02');
  await expectKept('vm-02', '2.0.0');
});

it('a run that takes a half-done one over knows what its VMs run, and goes on with the others', async () => {
  use(2);
  const first = await arm();
  await service(first, 'vm-01');
  const { save } = await first.begin('vm-02');
  await save.performAll(['disableOptimizations']);
  const holder = { workflowId: 'service-host/host-01', runId: 'run-2' };
  const generation = await fleet.hosts.acquireHost('host-01', holder, first.holder);
  expect(servicing().aborted).toBe('its run was taken over');
  await expect(save.perform('awaitPause')).rejects.toMatchObject({ type: 'BarrierBroken' });
  await save.fence('undo');
  await save.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
  const call = { hostId: 'host-01', generation };
  const vms = [{ vmId: 'vm-02', mode: 'modified' }] as const;
  const { order } = servicing();
  await fleet.hosts.armServicing(call, { ...order, vms });
  const second = await HostRun.arm(fleet, { ...order, vms }, holder);
  await second.perform('stageUpdate');
  const runs = { parent: holder, holder: { workflowId: 'save', runId: 'run-2' } };
  const restore = await VmRun.restore(fleet, 'vm-02', { parent: holder });
  const again = await VmRun.save(fleet, 'vm-02', runs);
  await restore.performAll(PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate'));
  const restoring = restore.performAll(DARK_RESTORE);
  await again.performAll(IN_SERVICING_SAVE);
  await restoring;
  await second.perform('commitUpdate');
  expect(await versions()).toEqual(['2.0.0', '2.0.0']);
  await fleet.expectUnharmed();
});
