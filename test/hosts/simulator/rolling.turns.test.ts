/** Whose turn it is to go dark, where VMs are updated one by one, and what ends a turn (host-model.md, section 11). */
import { UNDO_SAVE } from '../../../contract/steps';
import {
  DARK_RESTORE,
  PREPARE,
  arm,
  expectKept,
  fleet,
  service,
  servicing,
  upTo,
  use,
  versions,
} from './rolling-run';
import { IN_SERVICING_SAVE, VmRun, failsAs, settledSoon } from './simulated-fleet';

afterEach(() => fleet.close());

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
    await restore.performAll(PREPARE);
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
    await restore.performAll(PREPARE);
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
    await restore.performAll(PREPARE);
    const restoring = restore.performAll(DARK_RESTORE);
    await save.performAll(upTo(IN_SERVICING_SAVE, 'saveVm'));
    await fleet.hosts.abortServicing(host.call, 'for the test');
    await save.performAll(IN_SERVICING_SAVE.slice(IN_SERVICING_SAVE.indexOf('saveVm')));
    await restoring;
    await expectKept('vm-01', '2.0.0');
  });
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
    await restore.performAll(PREPARE);
    expect(await restore.perform('awaitUpdate')).toMatchObject({ reason: 'saveUndone' });
  });

  it('a turn that nobody has taken yet is given back when the run is stopped', async () => {
    use(2);
    const host = await arm();
    const { save, restore } = await host.begin('vm-01');
    await restore.performAll(PREPARE);
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
  await restore.performAll(PREPARE);
  void restore.perform('awaitUpdate').catch(() => undefined);
  await save.performAll(upTo(IN_SERVICING_SAVE, 'crossPointOfNoReturn'));
  const passed = jest.fn();
  const other = await host.begin('vm-05');
  await other.restore.performAll(PREPARE);
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

it('a VM whose turn has come goes on when another one stops the run, and is not told otherwise', async () => {
  use(5, { adapters: 'mixed' });
  const host = await arm();
  const { save, restore } = await host.begin('vm-05');
  await restore.performAll(PREPARE);
  const restoring = restore.performAll(DARK_RESTORE);
  await save.performAll(['disableOptimizations', 'awaitPause']);
  const other = await VmRun.save(fleet, 'vm-01', { parent: host.holder });
  await other.perform('disableOptimizations');
  await other.fence('undo');
  expect(servicing().aborted).toContain('the run stopped at vm-01');
  await settledSoon();
  await save.performAll(IN_SERVICING_SAVE.slice(IN_SERVICING_SAVE.indexOf('pauseVm')));
  await restoring;
  expect(await versions()).toEqual(['1.0.0', '1.0.0', '1.0.0', '1.0.0', '2.0.0']);
});
