/** A VM that the new version does not bring back: by the old one, its VF kept (host-model.md, section 11). */
import {
  AFTER_GATE,
  arm,
  backOnTheOld,
  down,
  expectKept,
  fleet,
  hostFault,
  rescued,
  service,
  servicing,
  upTo,
  use,
  versions,
} from './rolling-run';
import { RESTORE, SAVE, VmRun, failsAs, fault } from './simulated-fleet';

afterEach(() => fleet.close());

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
  it.each([...AFTER_GATE.slice(1), 'awaitUpdate'] as const)(
    'takes a VM whose restore on the new version stopped before %s to the old one, its VF kept',
    async (step) => {
      use(1);
      const host = await arm();
      const pair = await down(host);
      if (step !== 'awaitUpdate') await pair.restore.performAll(upTo(AFTER_GATE, step));
      await rescued();
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
    await rescued();
    await expectKept('vm-01', '1.0.0');
  });

  it('gives no update up that others are in the middle of, and commits none', async () => {
    use(2);
    const host = await arm([], { rolling: { onSaveFailure: 'continue' } });
    await down(host, 'vm-01');
    await rescued();
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
