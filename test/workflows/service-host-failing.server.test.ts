/** Servicing a host when something fails: what is undone, what goes forward, and what is left as it is. */
import type { ServiceHostResult } from '../../contract/results';
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 20);
});
afterAll(() => suite.stop());

/** What all VMs of a host share: they are dark together. What each has of its own: service-vm-by-vm.server.test.ts. */
const update = { component: 'vpciVsp', version: '2.0.0' } as const;
const paths = (result: ServiceHostResult) => result.vms.map((vm) => vm.facts.path);
const allRun = (hostId: string) =>
  suite.stack.store.host(hostId).vmIds.every((vmId) => suite.vm(hostId, vmId).phase === 'running');

describe('when something fails', () => {
  test.concurrent(
    'before the point of no return: all VMs are undone and run with their VF, on the old version',
    async () => {
      const hostId = suite.freshHost();
      const ended = await suite.fails('serviceHost', {
        hostId,
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
      expect(paths(result)).toEqual(['kept', 'kept']);
      for (const { facts } of result.vms) expect(facts.identityAfter).toEqual(facts.identityBefore);
      expect(allRun(hostId)).toBe(true);
    },
  );

  test.concurrent.each([
    ['fail-before', 'saveVirtualFunctionState'],
    ['fail-after', 'saveSyntheticAdapter'],
    ['fail-after', 'crossPointOfNoReturn'],
    ['fail-after', 'resumeVm'],
    ['fail-before', 'assignVirtualFunction'],
    ['stuck', 'restoreVm'],
    ['slow', 'pauseVm'],
  ] as const)('a %s at %s is survived and every VF kept', async (kind, step) => {
    const hostId = suite.freshHost();
    const result = await suite.run('serviceHost', {
      hostId,
      update,
      faults: [{ vmId: 'vm-01', step, kind, delay: '100ms' }],
    });
    expect(paths(result)).toEqual(['kept', 'kept']);
    expect(result.outcome).toBe('updated');
    expect(result.invariants.violated).toBe(0);
  });

  test.concurrent(
    'a mark whose every reply is lost is found out, and the VM comes back the way forward',
    async () => {
      const hostId = suite.freshHost();
      const result = await suite.run('serviceHost', {
        hostId,
        update: { ...update, version: '8.0.0' },
        faults: [{ vmId: 'vm-01', step: 'crossPointOfNoReturn', kind: 'fail-after', times: 1000 }],
      });
      expect(result).toMatchObject({ outcome: 'updated', invariants: { violated: 0 } });
      expect(paths(result)).toEqual(['kept', 'kept']);
      // It is given up after a second, and not when the budget is spent: then the update would have come too late.
      const names = result.vms[0]?.steps.filter(({ direction }) => direction === 'recover');
      expect(names?.map(({ name }) => name)).toContain('tearDownSyntheticAdapter');
    },
  );

  test.concurrent('a VF that cannot be had back is attached anew, after the blackout', async () => {
    const hostId = suite.freshHost();
    const result = await suite.run('serviceHost', {
      hostId,
      update,
      blackoutBudget: '3s',
      faults: [
        { vmId: 'vm-02', step: 'restoreVirtualFunctionState', kind: 'fail-before', times: 1000 },
      ],
    });
    expect(result.outcome).toBe('degraded');
    expect(paths(result)).toEqual(['kept', 'reattached']);
    expect(result.vms[1]?.facts.blackoutMs).toBeLessThan(result.vms[1]?.facts.vfOutageMs ?? 0);
  });

  test.concurrent(
    'a VF that goes while it is held, with none to be had, leaves the VM on the synthetic path',
    async () => {
      const hostId = suite.freshHost();
      const result = await suite.run('serviceHost', {
        hostId,
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
    },
  );

  test.concurrent(
    'an update that cannot be committed is rolled back and the VMs come back on the old version',
    async () => {
      const hostId = suite.freshHost();
      const ended = await suite.fails('serviceHost', {
        hostId,
        update,
        faults: [{ step: 'commitUpdate', kind: 'fail-before', times: 1000 }],
      });
      expect(ended.type).toBe('HostNotUpdated');
      const result = ended.details as ServiceHostResult;
      expect(result.versionAfter).toBe('1.0.0');
      expect(paths(result)).toEqual(['kept', 'kept']);
    },
  );

  test.concurrent.each([
    ['fails-to-start', 'vpciVsp 2.0.0 did not start'],
    ['starts-old-version', 'what started says that it is vpciVsp 1.0.0, not 2.0.0'],
    ['fails-verification', 'vpciVsp 2.0.0 started, but its own checks failed'],
  ] as const)(
    'an update that %s is taken back by the host itself, and every VF kept',
    async (kind, says) => {
      const hostId = suite.freshHost();
      const ended = await suite.fails('serviceHost', {
        hostId,
        update,
        faults: [{ step: 'stageUpdate', kind }],
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
      expect(paths(result)).toEqual(['kept', 'kept']);
      for (const { facts } of result.vms) {
        expect(facts).toMatchObject({ stackVersion: '1.0.0', guestVisibleEvents: 0 });
        expect(facts.identityAfter).toEqual(facts.identityBefore);
      }
      // Inside the blackout no failure has to be heard of first: the VMs were back before the commit answered.
      const journal = suite.journal(hostId);
      const at = (step: string, kindOf: string) =>
        Math.max(...journal.filter((e) => e.step === step && e.kind === kindOf).map((e) => e.seq));
      expect(at('resumeVm', 'command')).toBeLessThan(at('commitUpdate', 'failed'));
    },
  );

  test.concurrent(
    'an update that does not come in time is given up before the budget is spent',
    async () => {
      const hostId = suite.freshHost();
      const ended = await suite.fails('serviceHost', {
        hostId,
        update,
        blackoutBudget: '2s',
        faults: [{ step: 'commitUpdate', kind: 'slow', delay: '20s' }],
      });
      expect(ended.type).toBe('HostNotUpdated');
      const result = ended.details as ServiceHostResult;
      expect(paths(result)).toEqual(['kept', 'kept']);
      for (const { facts } of result.vms) expect(facts.blackoutMs).toBeLessThan(2_500);
    },
  );

  test.concurrent(
    'a VM with no safe way forward stays held, the host is quarantined and the message says what to do',
    async () => {
      const hostId = suite.freshHost();
      const ended = await suite.fails('serviceHost', {
        hostId,
        update,
        blackoutBudget: '4s',
        faults: [{ vmId: 'vm-01', step: 'restoreVm', kind: 'fail-before', times: 1000 }],
      });
      expect(ended.type).toBe('VmStranded');
      expect(ended.message).toContain('fastRestore');
      expect(suite.vm(hostId, 'vm-01')).toMatchObject({ phase: 'stranded' });
      expect(suite.vm(hostId, 'vm-02').facts.path).toBe('kept');
      expect((await suite.fails('serviceHost', { hostId, update })).type).not.toBe('');
      // The operator mended the cause: the named action works.
      const restored = await suite.run('fastRestore', { hostId, vmId: 'vm-01' });
      expect(restored.vm).toMatchObject({ running: true, path: 'kept' });
    },
  );
});
