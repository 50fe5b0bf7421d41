import type { ServiceHostResult } from '../../contract/results';
import { Suite, ending } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('service-host', { hosts: 14 });
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };
const paths = (result: ServiceHostResult) => result.vms.map((vm) => vm.facts.path);
const allRun = (hostId: string) =>
  suite.stack.store.host(hostId).vmIds.every((vmId) => suite.vm(hostId, vmId).phase === 'running');

describe('servicing a host', () => {
  test('keeps every VF, with the same identity, and the guests see nothing', async () => {
    const result = await suite.run('serviceHost', { hostId: 'host-01', update });
    expect(result).toMatchObject({
      outcome: 'updated',
      versionBefore: '1.0.0',
      versionAfter: '2.0.0',
      forbiddenCommands: 0,
      invariants: { violated: 0 },
    });
    expect(result.invariants.checked).toBeGreaterThan(100);
    for (const { facts } of result.vms) {
      expect(facts).toMatchObject({
        path: 'kept',
        guestVisibleEvents: 0,
        stackVersion: '2.0.0',
        withinBudget: true,
      });
      expect(facts.identityAfter).toEqual(facts.identityBefore);
      expect(facts.identityAfter).toMatchObject({
        vfId: expect.any(Number),
        luid: expect.any(String),
      });
      expect(facts.blackoutMs).toBeGreaterThan(0);
      expect(facts.vfOutageMs).toBeCloseTo(facts.blackoutMs, 3);
    }
  });

  test('pauses no VM before all are prepared, and crosses with none before all are saved', async () => {
    // One VM is late at each stage: without the gates the others would run ahead of it.
    const late = { kind: 'slow', delay: '500ms' } as const;
    await suite.run('serviceHost', {
      hostId: 'host-02',
      update,
      faults: [
        { ...late, vmId: 'vm-03', step: 'disableOptimizations' },
        { ...late, vmId: 'vm-02', step: 'saveVm' },
        { ...late, vmId: 'vm-01', step: 'tearDownSyntheticAdapter' },
      ],
    });
    const journal = suite.journal('host-02');
    const last = (step: string) =>
      Math.max(...journal.filter((e) => e.step === step && e.kind === 'result').map((e) => e.seq));
    const first = (command: string) =>
      Math.min(...journal.filter((e) => e.command === command).map((e) => e.seq));
    expect(last('reserveResources')).toBeLessThan(first('Hypervisor.SuspendVirtualProcessors'));
    expect(last('disableOptimizations')).toBeLessThan(first('Hypervisor.SuspendVirtualProcessors'));
    expect(last('saveVm')).toBeLessThan(first('PointOfNoReturn.Cross'));
    expect(last('tearDownSyntheticAdapter')).toBeLessThan(first('VMWP.Start'));
    expect(last('stageUpdate')).toBeLessThan(first('Hypervisor.SuspendVirtualProcessors'));
  });

  test('does the same with every dark step on the task queue, and with one step for the VF', async () => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-02',
      update: { version: '3.0.0' },
      stepPlacement: 'task-queue',
      virtualFunctionRestore: 'one-step',
      holdMode: 'omit',
    });
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    expect(result.vms[0]?.steps.map((s) => s.name)).toContain('retrieveAndRestoreVirtualFunction');
  });

  test('the conventional way costs each guest two events and a new device', async () => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-03',
      update,
      mode: 'conventional',
    });
    expect(result.outcome).toBe('updated');
    for (const { mode, facts } of result.vms) {
      expect(mode).toBe('conventional');
      expect(facts).toMatchObject({ path: 'reattached', guestVisibleEvents: 2 });
      expect(facts.identityAfter?.luid).not.toBe(facts.identityBefore?.luid);
    }
  });

  test('what cannot keep VFs is refused, unless the conventional way is asked for', async () => {
    const wish = {
      hostId: 'host-04',
      update: { component: 'vmSwitch', version: '9.0.0' },
    } as const;
    const refused = await suite.fails('serviceHost', wish);
    expect(refused.type).toBe('CannotKeep');
    expect(refused.message).toContain('vm-01');
    expect(suite.vm('host-04', 'vm-01').generation).toBe(0);
    expect(suite.stack.store.host('host-04').lease).toBeNull();
    const result = await suite.run('serviceHost', { ...wish, onCannotKeep: 'conventional' });
    expect(result).toMatchObject({ outcome: 'updated', versionAfter: '9.0.0' });
    const hypervisor = await suite.fails('serviceHost', {
      ...wish,
      update: { component: 'hypervisor', version: '9' },
      onCannotKeep: 'conventional',
    });
    expect(hypervisor.type).toBe('CannotKeep');
  });
});

describe('going on from an update', () => {
  test('the way back to the old version keeps every VF too', async () => {
    const before = ['vm-01', 'vm-02', 'vm-03'].map((id) => suite.vm('host-14', id).identity);
    await suite.run('serviceHost', { hostId: 'host-14', update });
    const back = await suite.run('serviceHost', {
      hostId: 'host-14',
      update: { version: '1.0.0' },
    });
    expect(back).toMatchObject({
      outcome: 'updated',
      versionBefore: '2.0.0',
      versionAfter: '1.0.0',
    });
    expect(paths(back)).toEqual(['kept', 'kept', 'kept']);
    expect(back.vms.map((vm) => vm.facts.identityAfter)).toEqual(before);
  });

  test('VMs that were dark as long as they may be are not touched', async () => {
    const { blackouts, generation } = suite.vm('host-14', 'vm-02');
    expect(blackouts).toHaveLength(2);
    const from = suite.journal('host-14').length;
    const wish = { hostId: 'host-14', update, blackoutBudget: '10s' } as const;
    const refused = await suite.fails('serviceHost', {
      ...wish,
      blackoutAllowance: { atMost: '10s' },
    });
    expect(refused.type).toBe('BlackoutAllowanceSpent');
    expect(refused.message).toMatch(
      /vm-02: was dark for \d+\.\d s in the last 30d; another 10s would exceed its 10s/,
    );
    expect(suite.journal('host-14')).toHaveLength(from);
    expect(suite.vm('host-14', 'vm-02')).toMatchObject({ generation, blackouts });
    expect(suite.stack.store.host('host-14')).toMatchObject({ lease: null, servicing: null });
    // What cannot be kept in any case is not a matter of waiting.
    const never = await suite.fails('serviceHost', {
      ...wish,
      update: { component: 'vmSwitch', version: '2.0.0' },
      blackoutAllowance: { atMost: '10s' },
    });
    expect(never.type).toBe('CannotKeep');
    const result = await suite.run('serviceHost', {
      ...wish,
      blackoutAllowance: { atMost: '30s' },
    });
    expect(result.outcome).toBe('updated');
  });
});

describe('when something fails', () => {
  test('before the point of no return: all VMs are undone and run with their VF, on the old version', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-05',
      update,
      blackoutBudget: '3s',
      faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('HostNotUpdated');
    expect(ended.message).toContain('vm-02');
    const result = ended.details as ServiceHostResult;
    expect(result).toMatchObject({
      outcome: 'notUpdated',
      versionAfter: '1.0.0',
      invariants: { violated: 0 },
    });
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    for (const { facts } of result.vms) expect(facts.identityAfter).toEqual(facts.identityBefore);
    expect(allRun('host-05')).toBe(true);
  });

  test('one VM can be left out where the update is per VM', async () => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-05',
      update,
      onSaveFailure: 'leave-out',
      blackoutBudget: '6s',
      faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1000 }],
    });
    expect(result.outcome).toBe('degraded');
    expect(result.vms.map((vm) => vm.facts.stackVersion)).toEqual(['2.0.0', '1.0.0', '2.0.0']);
    expect(allRun('host-05')).toBe(true);
  });

  test.each([
    ['fail-before', 'saveVirtualFunctionState'],
    ['fail-after', 'saveSyntheticAdapter'],
    ['fail-after', 'crossPointOfNoReturn'],
    ['fail-after', 'resumeVm'],
    ['fail-before', 'assignVirtualFunction'],
    ['stuck', 'restoreVm'],
    ['slow', 'pauseVm'],
  ] as const)('a %s at %s is survived and every VF kept', async (kind, step) => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-06',
      update,
      faults: [{ vmId: 'vm-01', step, kind, delay: '100ms' }],
    });
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    expect(result.outcome).toBe('updated');
    expect(result.invariants.violated).toBe(0);
  });

  test('a mark whose every reply is lost is found out, and the VM comes back the way forward', async () => {
    // The update is given up meanwhile: it would leave the other VMs too little time.
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-06',
      update: { version: '8.0.0' },
      blackoutBudget: '5s',
      faults: [{ vmId: 'vm-01', step: 'crossPointOfNoReturn', kind: 'fail-after', times: 1000 }],
    });
    const result = ended.details as ServiceHostResult;
    expect(result).toMatchObject({ outcome: 'notUpdated', invariants: { violated: 0 } });
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
  });

  test('a VF that cannot be had back is attached anew, after the blackout', async () => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-07',
      update,
      blackoutBudget: '3s',
      faults: [
        { vmId: 'vm-03', step: 'restoreVirtualFunctionState', kind: 'fail-before', times: 1000 },
      ],
    });
    expect(result.outcome).toBe('degraded');
    expect(paths(result)).toEqual(['kept', 'kept', 'reattached']);
    expect(result.vms[2]?.facts.blackoutMs).toBeLessThan(result.vms[2]?.facts.vfOutageMs ?? 0);
  });

  test('a VF that goes while it is held, with none to be had, leaves the VM on the synthetic path', async () => {
    const result = await suite.run('serviceHost', {
      hostId: 'host-07',
      update,
      faults: [
        { vmId: 'vm-01', step: 'saveVirtualFunctionState', kind: 'vf-gone' },
        { vmId: 'vm-01', step: 'allocateVirtualFunction', kind: 'fail-before', times: 1000 },
      ],
    });
    expect(result.outcome).toBe('degraded');
    expect(result.vms[0]?.facts).toMatchObject({
      path: 'synthetic-only',
      running: true,
      identityAfter: null,
    });
    expect(result.vms[0]?.facts.pathReason).toContain('allocated');
  });

  test('an update that cannot be committed is rolled back and the VMs come back on the old version', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-08',
      update,
      faults: [{ step: 'commitUpdate', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('HostNotUpdated');
    const result = ended.details as ServiceHostResult;
    expect(result.versionAfter).toBe('1.0.0');
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    expect(result.vms.every((vm) => vm.facts.stackVersion === '1.0.0')).toBe(true);
  });

  test.each([
    ['fails-to-start', 'vmWorkerProcess 2.0.0 did not start'],
    ['starts-old-version', 'what started says that it is vmWorkerProcess 1.0.0, not 2.0.0'],
    ['fails-verification', 'vmWorkerProcess 2.0.0 started, but its own checks failed'],
  ] as const)(
    'an update that %s is taken back by the host itself, and every VF kept',
    async (kind, says) => {
      const ended = await suite.fails('serviceHost', {
        hostId: 'host-13',
        update,
        faults: [{ step: 'commitUpdate', kind }],
      });
      expect(ended.type).toBe('HostNotUpdated');
      expect(ended.message).toContain(says);
      const result = ended.details as ServiceHostResult;
      expect(result).toMatchObject({
        outcome: 'notUpdated',
        reason: expect.stringContaining(says),
        versionAfter: '1.0.0',
        invariants: { violated: 0 },
      });
      expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
      for (const { facts } of result.vms) {
        expect(facts).toMatchObject({ stackVersion: '1.0.0', guestVisibleEvents: 0 });
        expect(facts.identityAfter).toEqual(facts.identityBefore);
      }
      // Inside the blackout no failure has to be heard of first: the VMs were back before the commit answered.
      const journal = suite.journal('host-13');
      const at = (step: string, kindOf: string) =>
        Math.max(...journal.filter((e) => e.step === step && e.kind === kindOf).map((e) => e.seq));
      expect(at('resumeVm', 'command')).toBeLessThan(at('commitUpdate', 'failed'));
    },
  );

  test('an update that does not come in time is given up before the budget is spent', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-08',
      update,
      blackoutBudget: '2s',
      faults: [{ step: 'commitUpdate', kind: 'slow', delay: '20s' }],
    });
    expect(ended.type).toBe('HostNotUpdated');
    const result = ended.details as ServiceHostResult;
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    for (const { facts } of result.vms) expect(facts.blackoutMs).toBeLessThan(2_500);
  });

  test('a VM with no safe way forward stays held, the host is quarantined and the message says what to do', async () => {
    const ended = await suite.fails('serviceHost', {
      hostId: 'host-09',
      update,
      blackoutBudget: '4s',
      faults: [{ vmId: 'vm-01', step: 'restoreVm', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('VmStranded');
    expect(ended.message).toContain('fastRestore');
    expect(suite.vm('host-09', 'vm-01')).toMatchObject({ phase: 'stranded' });
    expect(suite.vm('host-09', 'vm-02').facts.path).toBe('kept');
    expect((await suite.fails('serviceHost', { hostId: 'host-09', update })).type).not.toBe('');
    // The operator mended the cause: the named action works.
    const restored = await suite.run('fastRestore', { hostId: 'host-09', vmId: 'vm-01' });
    expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
  });
});

describe('stopping a run', () => {
  test('a cancel before the point of no return leaves every VM running as before', async () => {
    const handle = await suite.start('serviceHost', {
      hostId: 'host-10',
      update,
      faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '1s' }],
    });
    await suite.until('host-10', 'vm-01', 'disableOptimizations', 'intent');
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expect(allRun('host-10')).toBe(true);
    expect(suite.journal('host-10').some((e) => e.step === 'pauseVm' && e.kind === 'result')).toBe(
      false,
    );
    expect(suite.stack.store.host('host-10').versions.vmWorkerProcess).toBe('1.0.0');
  });

  test('an abort after it brings every VM back first', async () => {
    const handle = await suite.start('serviceHost', {
      hostId: 'host-10',
      update,
      faults: [{ vmId: 'vm-01', step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '1s' }],
    });
    await suite.until('host-10', 'vm-02', 'crossPointOfNoReturn', 'result');
    const answer = await handle.executeUpdate('abort', { args: [{ reason: 'health alarm' }] });
    expect(answer).toContain('brought back first');
    const ended = await ending(handle);
    expect(ended.type).toBe('HostNotUpdated');
    expect(paths(ended.details as ServiceHostResult)).toEqual(['kept', 'kept', 'kept']);
    await expect(handle.executeUpdate('abort', { args: [{}] })).rejects.toThrow();
  });

  test('a second run of a host is refused while the first holds it, and names the holder', async () => {
    const first = await suite.start('serviceHost', {
      hostId: 'host-11',
      update,
      faults: [{ step: 'stageUpdate', kind: 'slow', delay: '2s' }],
    });
    await suite.until('host-11', null, 'stageUpdate', 'intent');
    const second = await suite.fails('serviceHost', { hostId: 'host-11', update });
    expect(second.type).toBe('HostBusy');
    expect(second.message).toContain(first.workflowId);
    const save = await suite.fails('fastSave', { hostId: 'host-11', vmId: 'vm-01' });
    expect(save.type).toBe('HostBusy');
    expect(((await first.result()) as ServiceHostResult).outcome).toBe('updated');
  });

  test('a save that was terminated while it prepared its VM is taken over by the next run of the host', async () => {
    const save = await suite.start('fastSave', {
      hostId: 'host-11',
      vmId: 'vm-01',
      faults: [{ step: 'pauseVm', kind: 'stuck', times: 1000 }],
    });
    await suite.until('host-11', 'vm-01', 'pauseVm', 'intent');
    await save.terminate('a person pressed the wrong button');
    expect(suite.vm('host-11', 'vm-01').phase).toBe('preparing');
    const result = await suite.run('serviceHost', {
      hostId: 'host-11',
      update: { version: '3.0.0' },
    });
    expect(paths(result)).toEqual(['kept', 'kept', 'kept']);
    expect(result.outcome).toBe('updated');
  });

  test('a run that was terminated in the dark leaves no VM behind, and another takes the host over', async () => {
    const first = await suite.start('serviceHost', {
      hostId: 'host-12',
      update,
      blackoutBudget: '3s',
      faults: [{ step: 'commitUpdate', kind: 'slow', delay: '30s' }],
    });
    await suite.until('host-12', null, 'commitUpdate', 'intent');
    await first.terminate('a person pressed the wrong button');
    for (const vmId of ['vm-01', 'vm-02', 'vm-03'])
      await suite.untilPhase('host-12', vmId, 'running');
    const result = await suite.run('serviceHost', {
      hostId: 'host-12',
      update: { version: '4.0.0' },
    });
    expect(result).toMatchObject({ outcome: 'updated', versionAfter: '4.0.0' });
  });
});
