import type { ServiceHostResult } from '../../contract/results';
import { Suite, ending } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 14);
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };
/** What all VMs of a host share: they are dark together. */
const hostWide = { component: 'vpciVsp', version: '2.0.0' } as const;
const paths = (result: ServiceHostResult) => result.vms.map((vm) => vm.facts.path);
const allRun = (hostId: string) =>
  suite.stack.store.host(hostId).vmIds.every((vmId) => suite.vm(hostId, vmId).phase === 'running');

describe('servicing a host', () => {
  test.concurrent(
    'keeps every VF, with the same identity, and the guests see nothing',
    async () => {
      const hostId = suite.freshHost();
      const result = await suite.run('serviceHost', { hostId, update });
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
    },
  );

  test.concurrent(
    'pauses no VM before all are prepared, and crosses with none before all are saved',
    async () => {
      const hostId = suite.freshHost();
      // One VM is late at each stage: without the gates the others would run ahead of it.
      const late = { kind: 'slow', delay: '500ms' } as const;
      await suite.run('serviceHost', {
        hostId,
        update: hostWide,
        faults: [
          { ...late, vmId: 'vm-02', step: 'disableOptimizations' },
          { ...late, vmId: 'vm-02', step: 'saveVm' },
          { ...late, vmId: 'vm-01', step: 'tearDownSyntheticAdapter' },
        ],
      });
      const journal = suite.journal(hostId);
      const last = (step: string) =>
        Math.max(
          ...journal.filter((e) => e.step === step && e.kind === 'result').map((e) => e.seq),
        );
      const first = (command: string) =>
        Math.min(...journal.filter((e) => e.command === command).map((e) => e.seq));
      expect(last('reserveResources')).toBeLessThan(first('Hypervisor.SuspendVirtualProcessors'));
      expect(last('disableOptimizations')).toBeLessThan(
        first('Hypervisor.SuspendVirtualProcessors'),
      );
      expect(last('saveVm')).toBeLessThan(first('PointOfNoReturn.Cross'));
      expect(last('tearDownSyntheticAdapter')).toBeLessThan(first('VMWP.Start'));
      expect(last('stageUpdate')).toBeLessThan(first('Hypervisor.SuspendVirtualProcessors'));
    },
  );

  test.concurrent(
    'does the same with one step for the VF, and with another way to hold it',
    async () => {
      const hostId = suite.freshHost();
      const result = await suite.run('serviceHost', {
        hostId,
        update: { version: '3.0.0' },
        virtualFunctionRestore: 'one-step',
        holdMode: 'omit',
      });
      expect(paths(result)).toEqual(['kept', 'kept']);
      expect(result.vms[0]?.steps.map((s) => s.name)).toContain(
        'retrieveAndRestoreVirtualFunction',
      );
    },
  );

  test.concurrent('the conventional way costs each guest two events and a new device', async () => {
    const hostId = suite.freshHost();
    const result = await suite.run('serviceHost', {
      hostId,
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

  test.concurrent(
    'what cannot keep VFs is refused, unless the conventional way is asked for',
    async () => {
      const hostId = suite.freshHost();
      const wish = {
        hostId,
        update: { component: 'vmSwitch', version: '9.0.0' },
      } as const;
      const refused = await suite.fails('serviceHost', wish);
      expect(refused.type).toBe('CannotKeep');
      expect(refused.message).toContain('vm-01');
      expect(suite.vm(hostId, 'vm-01').generation).toBe(0);
      expect(suite.stack.store.host(hostId).lease).toBeNull();
      const result = await suite.run('serviceHost', { ...wish, onCannotKeep: 'conventional' });
      expect(result).toMatchObject({ outcome: 'updated', versionAfter: '9.0.0' });
      const hypervisor = await suite.fails('serviceHost', {
        ...wish,
        update: { component: 'hypervisor', version: '9' },
        onCannotKeep: 'conventional',
      });
      expect(hypervisor.type).toBe('CannotKeep');
    },
  );
});

describe('going on from an update', () => {
  test.concurrent('the way back to the old version keeps every VF too', async () => {
    const hostId = suite.freshHost();
    const before = ['vm-01', 'vm-02'].map((id) => suite.vm(hostId, id).identity);
    await suite.run('serviceHost', { hostId, update });
    const back = await suite.run('serviceHost', {
      hostId,
      update: { version: '1.0.0' },
    });
    expect(back).toMatchObject({
      outcome: 'updated',
      versionBefore: '2.0.0',
      versionAfter: '1.0.0',
    });
    expect(paths(back)).toEqual(['kept', 'kept']);
    expect(back.vms.map((vm) => vm.facts.identityAfter)).toEqual(before);
  });

  test.concurrent('VMs that were dark as long as they may be are not touched', async () => {
    const hostId = suite.freshHost();
    await suite.run('serviceHost', { hostId, update });
    await suite.run('serviceHost', { hostId, update: { version: '1.0.0' } });
    const { blackouts, generation } = suite.vm(hostId, 'vm-02');
    expect(blackouts).toHaveLength(2);
    const from = suite.journal(hostId).length;
    const wish = { hostId, update, blackoutBudget: '10s' } as const;
    const refused = await suite.fails('serviceHost', {
      ...wish,
      blackoutAllowance: { atMost: '10s' },
    });
    expect(refused.type).toBe('BlackoutAllowanceSpent');
    expect(refused.message).toMatch(
      /vm-02: was dark for \d+\.\d s in the last 30d; another 10s would exceed its 10s/,
    );
    expect(suite.journal(hostId)).toHaveLength(from);
    expect(suite.vm(hostId, 'vm-02')).toMatchObject({ generation, blackouts });
    expect(suite.stack.store.host(hostId)).toMatchObject({ lease: null, servicing: null });
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

describe('stopping a run', () => {
  test.concurrent(
    'a cancel before the point of no return leaves every VM running as before',
    async () => {
      const hostId = suite.freshHost();
      const handle = await suite.start('serviceHost', {
        hostId,
        update,
        faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '1s' }],
      });
      await suite.until(hostId, 'vm-01', 'disableOptimizations', 'intent');
      await handle.cancel();
      expect((await ending(handle)).type).toBe('Cancelled');
      expect(allRun(hostId)).toBe(true);
      expect(suite.journal(hostId).some((e) => e.step === 'pauseVm' && e.kind === 'result')).toBe(
        false,
      );
      expect(suite.stack.store.host(hostId).versions.vmWorkerProcess).toBe('1.0.0');
    },
  );

  test.concurrent('an abort after it brings every VM back first', async () => {
    const hostId = suite.freshHost();
    const handle = await suite.start('serviceHost', {
      hostId,
      update: hostWide,
      faults: [{ vmId: 'vm-01', step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '1s' }],
    });
    await suite.until(hostId, 'vm-02', 'crossPointOfNoReturn', 'result');
    const answer = await handle.executeUpdate('abort', { args: [{ reason: 'health alarm' }] });
    expect(answer).toContain('brought back first');
    const ended = await ending(handle);
    expect(ended.type).toBe('HostNotUpdated');
    expect(paths(ended.details as ServiceHostResult)).toEqual(['kept', 'kept']);
    await expect(handle.executeUpdate('abort', { args: [{}] })).rejects.toThrow();
  });

  test.concurrent(
    'a second run of a host is refused while the first holds it, and names the holder',
    async () => {
      const hostId = suite.freshHost();
      const first = await suite.start('serviceHost', {
        hostId,
        update,
        faults: [{ step: 'stageUpdate', kind: 'slow', delay: '2s' }],
      });
      await suite.until(hostId, null, 'stageUpdate', 'intent');
      const second = await suite.fails('serviceHost', { hostId, update });
      expect(second.type).toBe('HostBusy');
      expect(second.message).toContain(first.workflowId);
      const save = await suite.fails('fastSave', { hostId, vmId: 'vm-01' });
      expect(save.type).toBe('HostBusy');
      expect(((await first.result()) as ServiceHostResult).outcome).toBe('updated');
    },
  );

  test.concurrent(
    'a save that was terminated while it prepared its VM is taken over by the next run of the host',
    async () => {
      const hostId = suite.freshHost();
      const save = await suite.start('fastSave', {
        hostId,
        vmId: 'vm-01',
        faults: [{ step: 'pauseVm', kind: 'stuck', times: 1000 }],
      });
      await suite.until(hostId, 'vm-01', 'pauseVm', 'intent');
      await save.terminate('a person pressed the wrong button');
      expect(suite.vm(hostId, 'vm-01').phase).toBe('preparing');
      const result = await suite.run('serviceHost', {
        hostId,
        update: { version: '3.0.0' },
      });
      expect(paths(result)).toEqual(['kept', 'kept']);
      expect(result.outcome).toBe('updated');
    },
  );

  test.concurrent(
    'a run that was terminated in the dark leaves no VM behind, and another takes the host over',
    async () => {
      const hostId = suite.freshHost();
      const first = await suite.start('serviceHost', {
        hostId,
        update: hostWide,
        blackoutBudget: '3s',
        faults: [{ step: 'commitUpdate', kind: 'slow', delay: '30s' }],
      });
      await suite.until(hostId, null, 'commitUpdate', 'intent');
      await first.terminate('a person pressed the wrong button');
      for (const vmId of ['vm-01', 'vm-02']) await suite.untilPhase(hostId, vmId, 'running');
      const result = await suite.run('serviceHost', {
        hostId,
        update: { ...hostWide, version: '4.0.0' },
      });
      expect(result).toMatchObject({ outcome: 'updated', versionAfter: '4.0.0' });
    },
  );
});
