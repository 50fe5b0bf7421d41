/** What is updated VM by VM: each VM has a version of its own, and a successor that is proved (host-model.md, section 11). */
import { UNDO_SAVE } from '../../../contract/steps';
import {
  AFTER_GATE,
  DARK_RESTORE,
  PREPARE,
  UPDATE,
  arm,
  backOnTheOld,
  down,
  expectKept,
  fleet,
  hostFault,
  service,
  servicing,
  upTo,
  use,
  versions,
} from './rolling-run';
import {
  HostRun,
  IN_SERVICING_SAVE,
  RESTORE,
  ROLLING,
  SAVE,
  VmRun,
  failsAs,
  fault,
  settledSoon,
} from './simulated-fleet';

afterEach(() => fleet.close());

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
          await restore.performAll(PREPARE);
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
      await restore.performAll(PREPARE);
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

describe('nothing is left of a run that is over', () => {
  it('a VM that was not let pause is saved alone, with no successor of the new version', async () => {
    use(1);
    const host = await arm();
    const restore = await VmRun.restore(fleet, 'vm-01', { parent: host.holder });
    await restore.performAll(PREPARE);
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
  await restore.performAll(PREPARE);
  const restoring = restore.performAll(DARK_RESTORE);
  await again.performAll(IN_SERVICING_SAVE);
  await restoring;
  await second.perform('commitUpdate');
  expect(await versions()).toEqual(['2.0.0', '2.0.0']);
  await fleet.expectUnharmed();
});
