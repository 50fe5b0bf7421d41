import { Suite, ending } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('vm-runs');
});
afterAll(() => suite.stop());

const vm = (hostId: string, vmId = 'vm-01') => ({ hostId, vmId });

describe('a save and a restore on their own', () => {
  test.each(['task-queue', 'in-place'] as const)('keep the VF, steps %s', async (stepPlacement) => {
    const target = { ...vm('host-01'), stepPlacement };
    const saved = await suite.run('fastSave', target);
    expect(saved).toMatchObject({ outcome: 'saved', mode: 'modified', withoutVfRecord: null });
    expect(Date.parse(saved.restoredByHostAt ?? '')).toBeGreaterThan(Date.now());
    expect(suite.vm('host-01', 'vm-01').phase).toBe('saved');
    const restored = await suite.run('fastRestore', target);
    expect(restored.vm).toMatchObject({ path: 'kept', running: true, guestVisibleEvents: 0 });
    expect(restored.vm.identityAfter).toEqual(saved.identity);
  });

  test('a restore obeys the mode that the save recorded', async () => {
    await suite.run('fastSave', { ...vm('host-02'), mode: 'conventional' });
    const restored = await suite.run('fastRestore', vm('host-02'));
    expect(restored).toMatchObject({
      mode: 'conventional',
      vm: { path: 'reattached', guestVisibleEvents: 2 },
    });
  });

  test('the host restores a saved VM by itself when maxSavedFor is over', async () => {
    await suite.run('fastSave', { ...vm('host-02', 'vm-02'), maxSavedFor: '1s' });
    await suite.untilPhase('host-02', 'vm-02', 'running');
    const { facts } = suite.vm('host-02', 'vm-02');
    expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
    expect(facts.pathReason).toContain('dead-man');
  });
});

describe('bad input ends within seconds, typed, and changes nothing', () => {
  const generation = () => suite.vm('host-03', 'vm-01').generation;

  test.each([
    ['nothing at all', undefined, ['input']],
    ['text', 'host-03', ['input']],
    ['wrong types', { hostId: 3, vmId: null }, ['hostId', 'vmId']],
    ['a negative duration', { ...vm('host-03'), blackoutBudget: '-1s' }, ['blackoutBudget']],
    [
      'a budget over the hard limit',
      { ...vm('host-03'), blackoutBudget: '31s' },
      ['blackoutBudget', '30s'],
    ],
    ['an unknown field', { ...vm('host-03'), blackoutBuget: '1s' }, ['blackoutBuget']],
    ['an unknown mode', { ...vm('host-03'), mode: 'fast' }, ['mode', 'conventional']],
    [
      'an unknown step in a fault',
      { ...vm('host-03'), faults: [{ step: 'reboot', kind: 'slow' }] },
      ['faults.0.step'],
    ],
    [
      'an absurd number',
      { ...vm('host-03'), faults: [{ step: 'saveVm', kind: 'slow', times: -5 }] },
      ['faults.0.times'],
    ],
  ])('%s', async (_, input, named) => {
    const before = generation();
    const ended = await suite.fails('fastSave', input);
    expect(ended.type).toBe('InvalidInput');
    for (const word of named) expect(ended.message).toContain(word);
    expect(generation()).toBe(before);
  });

  test('parallelism of a servicing run has bounds', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-03',
      update: { version: '2' },
      parallelism: 0,
    });
    expect(ended).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('parallelism') as string,
    });
  });

  test('a VM that the host does not have', async () => {
    const ended = await suite.fails('fastSave', vm('host-03', 'vm-99'));
    expect(ended.type).toBe('UnknownVm');
    expect(ended.message).toContain('vm-01');
  });

  test('a restore of a VM that runs', async () => {
    expect((await suite.fails('fastRestore', vm('host-03'))).type).toBe('NoRecord');
  });

  test('a second save of a saved VM', async () => {
    await suite.run('fastSave', vm('host-03', 'vm-02'));
    expect((await suite.fails('fastSave', vm('host-03', 'vm-02'))).type).toBe('AlreadySaved');
    await suite.run('fastRestore', vm('host-03', 'vm-02'));
  });

  test('a save while another one is under way names the holder', async () => {
    const first = await suite.start('fastSave', {
      ...vm('host-03', 'vm-03'),
      faults: [{ step: 'disableOptimizations', kind: 'slow', delay: '2s' }],
    });
    await suite.until('host-03', 'vm-03', 'disableOptimizations', 'intent');
    const second = await suite.fails('fastSave', vm('host-03', 'vm-03'));
    expect(second.type).toBe('VmBusy');
    expect(second.message).toContain(first.workflowId);
    await first.result();
    await suite.run('fastRestore', vm('host-03', 'vm-03'));
  });

  test('a host that nobody serves is unreachable in bounded time', async () => {
    const startedAt = Date.now();
    const ended = await suite.fails('fastSave', vm('host-99'));
    expect(ended.type).toBe('HostUnreachable');
    expect(ended.message).toContain('host-99');
    expect(Date.now() - startedAt).toBeLessThan(15_000);
  });
});

describe('failing and stopping', () => {
  test('a save that fails before the point of no return is undone', async () => {
    const before = suite.vm('host-04', 'vm-01').identity;
    const ended = await suite.fails('fastSave', {
      ...vm('host-04'),
      blackoutBudget: '2s',
      faults: [{ step: 'saveSyntheticAdapter', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('SaveUndone');
    expect(ended.message).toContain('saveSyntheticAdapter');
    expect(suite.vm('host-04', 'vm-01')).toMatchObject({
      phase: 'running',
      identity: before,
      dataPath: 'vf',
    });
    expect(suite.vm('host-04', 'vm-01').facts.guestVisibleEvents).toBe(0);
  });

  test('a mark whose every reply is lost is found out, and the save goes on from there', async () => {
    const saved = await suite.run('fastSave', {
      ...vm('host-04', 'vm-02'),
      blackoutBudget: '2s',
      faults: [{ step: 'crossPointOfNoReturn', kind: 'fail-after', times: 1000 }],
    });
    expect(saved.outcome).toBe('saved');
    expect((await suite.run('fastRestore', vm('host-04', 'vm-02'))).vm.path).toBe('kept');
  });

  test('a cancel before the point of no return resumes the VM', async () => {
    const handle = await suite.start('fastSave', {
      ...vm('host-05'),
      faults: [{ step: 'saveVirtualFunctionState', kind: 'slow', delay: '1s' }],
    });
    await suite.until('host-05', 'vm-01', 'saveVirtualFunctionState', 'intent');
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expect(suite.vm('host-05', 'vm-01')).toMatchObject({ phase: 'running', dataPath: 'vf' });
    expect(
      suite.journal('host-05', 'vm-01').some((e) => e.command === 'PointOfNoReturn.Cross'),
    ).toBe(false);
  });

  test('a cancel after it brings the VM back first', async () => {
    const handle = await suite.start('fastSave', {
      ...vm('host-05', 'vm-02'),
      faults: [{ step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '1s' }],
    });
    await suite.until('host-05', 'vm-02', 'tearDownSyntheticAdapter', 'intent');
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expect(suite.vm('host-05', 'vm-02')).toMatchObject({
      phase: 'running',
      facts: { path: 'kept' },
    });
  });

  test('a restore takes over a save that was terminated past the mark, and finishes it first', async () => {
    const first = await suite.start('fastSave', {
      ...vm('host-06', 'vm-02'),
      blackoutBudget: '30s',
      faults: [{ step: 'tearDownSyntheticAdapter', kind: 'stuck', times: 1 }],
    });
    await suite.until('host-06', 'vm-02', 'tearDownSyntheticAdapter', 'intent');
    await first.terminate('pulled the plug');
    expect(suite.vm('host-06', 'vm-02').phase).toBe('crossed');
    const restored = await suite.run('fastRestore', vm('host-06', 'vm-02'));
    expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
  });

  test('a resume whose every reply is lost is found out', async () => {
    await suite.run('fastSave', vm('host-06', 'vm-03'));
    const restored = await suite.run('fastRestore', {
      ...vm('host-06', 'vm-03'),
      blackoutBudget: '2s',
      faults: [{ step: 'resumeVm', kind: 'fail-after', times: 1000 }],
    });
    expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
  });

  test('a save that was terminated in the dark is taken over by the next, which undoes it first', async () => {
    const first = await suite.start('fastSave', {
      ...vm('host-06'),
      blackoutBudget: '30s',
      faults: [{ step: 'saveVm', kind: 'stuck', times: 1000 }],
    });
    await suite.until('host-06', 'vm-01', 'saveVm', 'intent');
    await first.terminate('pulled the plug');
    const saved = await suite.run('fastSave', vm('host-06'));
    expect(saved.outcome).toBe('saved');
    const restored = await suite.run('fastRestore', vm('host-06'));
    expect(restored.vm.path).toBe('kept');
  });

  test('a save whose budget is spent is undone by the dead-man if its run does not', async () => {
    const handle = await suite.start('fastSave', {
      ...vm('host-07'),
      blackoutBudget: '1s',
      faults: [{ step: 'saveVm', kind: 'stuck', times: 1000 }],
    });
    await suite.until('host-07', 'vm-01', 'pauseVm', 'result');
    await handle.terminate('nobody is left to undo it');
    await suite.untilPhase('host-07', 'vm-01', 'running');
    expect(suite.vm('host-07', 'vm-01').facts.blackoutMs).toBeLessThan(3_000);
  });
});

describe('what people see', () => {
  test('search attributes, details, a query with a description, and the next action in the memo', async () => {
    const handle = await suite.start('fastSave', vm('host-08'));
    await handle.result();
    const description = await handle.describe();
    expect(description.searchAttributes).toMatchObject({
      HostId: ['host-08'],
      VmId: ['vm-01'],
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
    const failed = await suite.start('fastSave', vm('host-08'));
    await ending(failed);
    const { memo, searchAttributes } = await failed.describe();
    expect(memo?.['nextAction']).toContain('fastRestore');
    expect(searchAttributes).toMatchObject({ Outcome: ['AlreadySaved'] });
  });
});
