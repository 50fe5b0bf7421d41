import { Suite, ending } from '../support/suite';
import { waitedInVainMs } from './unreachable';

let suite: Suite;
/** No run of these tests gets as far as to touch it. */
let untouched: string;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 16);
  untouched = suite.freshHost();
});
afterAll(() => suite.stop());

/** A VM of a host that no other test uses. */
const fresh = () => ({ hostId: suite.freshHost(), vmId: 'vm-01' });

describe('a save and a restore on their own', () => {
  test.concurrent('keep the VF', async () => {
    const target = fresh();
    const { hostId, vmId } = target;
    const saved = await suite.run('fastSave', target);
    expect(saved).toMatchObject({ outcome: 'saved', mode: 'modified', withoutVfRecord: null });
    expect(Date.parse(saved.restoredByHostAt ?? '')).toBeGreaterThan(Date.now());
    expect(suite.vm(hostId, vmId).phase).toBe('saved');
    const restored = await suite.run('fastRestore', target);
    expect(restored.vm).toMatchObject({ path: 'kept', running: true, guestVisibleEvents: 0 });
    expect(restored.vm.identityAfter).toEqual(saved.identity);
  });

  test.concurrent('a restore obeys the mode that the save recorded', async () => {
    const vm = fresh();
    await suite.run('fastSave', { ...vm, mode: 'conventional' });
    const restored = await suite.run('fastRestore', vm);
    expect(restored).toMatchObject({
      mode: 'conventional',
      vm: { path: 'reattached', guestVisibleEvents: 2 },
    });
  });

  test.concurrent('the host restores a saved VM by itself when maxSavedFor is over', async () => {
    const vm = fresh();
    await suite.run('fastSave', { ...vm, maxSavedFor: '1s' });
    await suite.untilPhase(vm.hostId, vm.vmId, 'running');
    const { facts } = suite.vm(vm.hostId, vm.vmId);
    expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
    expect(facts.pathReason).toContain('dead-man');
  });
});

describe('bad input ends within seconds, typed, and changes nothing', () => {
  const vm = () => ({ hostId: untouched, vmId: 'vm-01' });
  const generation = () => suite.vm(untouched, 'vm-01').generation;

  // These two first, since they take longest: the others run beside them.
  test.concurrent('a save while another one is under way names the holder', async () => {
    const held = fresh();
    const first = await suite.start('fastSave', {
      ...held,
      faults: [{ step: 'disableOptimizations', kind: 'slow', delay: '8s' }],
    });
    await suite.until(held.hostId, held.vmId, 'disableOptimizations', 'intent');
    const second = await suite.fails('fastSave', held);
    expect(second.type).toBe('VmBusy');
    expect(second.message).toContain(first.workflowId);
    await first.result();
    await suite.run('fastRestore', held);
  });

  test.concurrent('a host that nobody serves is unreachable in bounded time', async () => {
    const run = await suite.start('fastSave', { hostId: 'host-99', vmId: 'vm-01' });
    const ended = await ending(run);
    expect(ended.type).toBe('HostUnreachable');
    expect(ended.message).toContain('host-99');
    const [waitedMs, ...more] = await waitedInVainMs(run);
    expect(waitedMs).toBeLessThan(15_000);
    expect(more).toEqual([]);
  });

  test.concurrent.each<[string, () => unknown, string[]]>([
    ['nothing at all', () => undefined, ['input']],
    ['text', () => untouched, ['input']],
    ['wrong types', () => ({ hostId: 3, vmId: null }), ['hostId', 'vmId']],
    ['a negative duration', () => ({ ...vm(), blackoutBudget: '-1s' }), ['blackoutBudget']],
    [
      'a budget over the hard limit',
      () => ({ ...vm(), blackoutBudget: '31s' }),
      ['blackoutBudget', '30s'],
    ],
    ['an unknown field', () => ({ ...vm(), blackoutBuget: '1s' }), ['blackoutBuget']],
    ['an unknown mode', () => ({ ...vm(), mode: 'fast' }), ['mode', 'conventional']],
    [
      'an unknown step in a fault',
      () => ({ ...vm(), faults: [{ step: 'reboot', kind: 'slow' }] }),
      ['faults.0.step'],
    ],
    [
      'an absurd number',
      () => ({ ...vm(), faults: [{ step: 'saveVm', kind: 'slow', times: -5 }] }),
      ['faults.0.times'],
    ],
  ])('%s', async (_, input, named) => {
    const before = generation();
    const ended = await suite.fails('fastSave', input());
    expect(ended.type).toBe('InvalidInput');
    for (const word of named) expect(ended.message).toContain(word);
    expect(generation()).toBe(before);
  });

  test.concurrent('parallelism of a servicing run has bounds', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: untouched,
      update: { version: '2' },
      parallelism: 0,
    });
    expect(ended).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('parallelism') as string,
    });
  });

  test.concurrent('a VM that the host does not have', async () => {
    const ended = await suite.fails('fastSave', { ...vm(), vmId: 'vm-99' });
    expect(ended.type).toBe('UnknownVm');
    expect(ended.message).toContain('vm-01');
  });

  test.concurrent('a restore of a VM that runs', async () => {
    expect((await suite.fails('fastRestore', vm())).type).toBe('NoRecord');
  });

  test.concurrent('a second save of a saved VM', async () => {
    const saved = fresh();
    await suite.run('fastSave', saved);
    expect((await suite.fails('fastSave', saved)).type).toBe('AlreadySaved');
    await suite.run('fastRestore', saved);
  });
});

describe('failing and stopping', () => {
  test.concurrent('a save that fails before the point of no return is undone', async () => {
    const { hostId, vmId } = fresh();
    const before = suite.vm(hostId, vmId).identity;
    const ended = await suite.fails('fastSave', {
      hostId,
      vmId,
      blackoutBudget: '5s',
      faults: [{ step: 'saveSyntheticAdapter', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('SaveUndone');
    expect(ended.message).toContain('saveSyntheticAdapter');
    expect(suite.vm(hostId, vmId)).toMatchObject({
      phase: 'running',
      identity: before,
      dataPath: 'vf',
    });
    expect(suite.vm(hostId, vmId).facts.guestVisibleEvents).toBe(0);
  });

  test.concurrent(
    'a mark whose every reply is lost is found out, and the save goes on from there',
    async () => {
      const vm = fresh();
      const saved = await suite.run('fastSave', {
        ...vm,
        blackoutBudget: '5s',
        faults: [{ step: 'crossPointOfNoReturn', kind: 'fail-after', times: 1000 }],
      });
      expect(saved.outcome).toBe('saved');
      expect((await suite.run('fastRestore', vm)).vm.path).toBe('kept');
    },
  );

  test.concurrent('a cancel before the point of no return resumes the VM', async () => {
    const { hostId, vmId } = fresh();
    const handle = await suite.start('fastSave', {
      hostId,
      vmId,
      faults: [{ step: 'saveVirtualFunctionState', kind: 'slow', delay: '1s' }],
    });
    await suite.until(hostId, vmId, 'saveVirtualFunctionState', 'intent');
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expect(suite.vm(hostId, vmId)).toMatchObject({ phase: 'running', dataPath: 'vf' });
    expect(suite.journal(hostId, vmId).some((e) => e.command === 'PointOfNoReturn.Cross')).toBe(
      false,
    );
  });

  test.concurrent('a cancel after it brings the VM back first', async () => {
    const { hostId, vmId } = fresh();
    const handle = await suite.start('fastSave', {
      hostId,
      vmId,
      faults: [{ step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '1s' }],
    });
    await suite.until(hostId, vmId, 'tearDownSyntheticAdapter', 'intent');
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expect(suite.vm(hostId, vmId)).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
  });

  test.concurrent(
    'a restore takes over a save that was terminated past the mark, and finishes it first',
    async () => {
      const { hostId, vmId } = fresh();
      const first = await suite.start('fastSave', {
        hostId,
        vmId,
        blackoutBudget: '30s',
        faults: [{ step: 'tearDownSyntheticAdapter', kind: 'stuck', times: 1 }],
      });
      await suite.until(hostId, vmId, 'tearDownSyntheticAdapter', 'intent');
      await first.terminate('pulled the plug');
      expect(suite.vm(hostId, vmId).phase).toBe('crossed');
      const restored = await suite.run('fastRestore', { hostId, vmId });
      expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
    },
  );

  test.concurrent('a resume whose every reply is lost is found out', async () => {
    const vm = fresh();
    await suite.run('fastSave', vm);
    const restored = await suite.run('fastRestore', {
      ...vm,
      blackoutBudget: '5s',
      faults: [{ step: 'resumeVm', kind: 'fail-after', times: 1000 }],
    });
    expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
  });

  test.concurrent(
    'a save that was terminated in the dark is taken over by the next, which undoes it first',
    async () => {
      const vm = fresh();
      const first = await suite.start('fastSave', {
        ...vm,
        blackoutBudget: '30s',
        faults: [{ step: 'saveVm', kind: 'stuck', times: 1000 }],
      });
      await suite.until(vm.hostId, vm.vmId, 'saveVm', 'intent');
      await first.terminate('pulled the plug');
      const saved = await suite.run('fastSave', vm);
      expect(saved.outcome).toBe('saved');
      const restored = await suite.run('fastRestore', vm);
      expect(restored.vm.path).toBe('kept');
    },
  );

  test.concurrent(
    'a save whose budget is spent is undone by the dead-man if its run does not',
    async () => {
      const { hostId, vmId } = fresh();
      const handle = await suite.start('fastSave', {
        hostId,
        vmId,
        blackoutBudget: '1s',
        faults: [{ step: 'saveVm', kind: 'stuck', times: 1000 }],
      });
      await suite.until(hostId, vmId, 'pauseVm', 'result');
      await handle.terminate('nobody is left to undo it');
      await suite.untilPhase(hostId, vmId, 'running');
      expect(suite.vm(hostId, vmId).facts.blackoutMs).toBeLessThan(3_000);
    },
  );
});

describe('what people see', () => {
  test.concurrent(
    'search attributes, details, a query with a description, and the next action in the memo',
    async () => {
      const vm = fresh();
      const handle = await suite.start('fastSave', vm);
      await handle.result();
      const description = await handle.describe();
      expect(description.searchAttributes).toMatchObject({
        HostId: [vm.hostId],
        VmId: [vm.vmId],
        Outcome: ['saved'],
        SaveMode: ['modified'],
      });
      expect(description.memo?.['nextAction']).toContain('fastRestore');
      const metadata: {
        definition?: { queryDefinitions?: { name?: string; description?: string }[] };
        currentDetails?: string;
      } = await handle.query('__temporal_workflow_metadata');
      const progress = metadata.definition?.queryDefinitions?.find((q) => q.name === 'progress');
      expect(progress?.description).toMatch(/steps/);
      expect(metadata.currentDetails).toContain('disableOptimizations');
      const failed = await suite.start('fastSave', vm);
      await ending(failed);
      const { memo, searchAttributes } = await failed.describe();
      expect(memo?.['nextAction']).toContain('fastRestore');
      expect(searchAttributes).toMatchObject({ Outcome: ['AlreadySaved'] });
    },
  );
});
