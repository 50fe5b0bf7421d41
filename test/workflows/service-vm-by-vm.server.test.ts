/** What each VM has of its own is updated VM by VM: in turn, looked at, and back where it does not work. */
import type { FaultInput } from '../../contract/faults';
import type { ServiceHostInput } from '../../contract/inputs';
import type { ServiceHostResult } from '../../contract/results';
import { servicingReport, servicingTable, succeeded } from '../../scripts/servicing-report';
import { Suite, ending, type Ended } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 4 }, 24);
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };
const OFTEN = 1_000;
const wish = (
  faults: readonly FaultInput[] = [],
  rolling: ServiceHostInput['rolling'] = {},
): ServiceHostInput => ({
  hostId: suite.freshHost(),
  update,
  rolling: { bakeFor: '50ms', ...rolling },
  faults: [...faults],
});
const resultOf = (ended: Ended) => ended.details as ServiceHostResult;
const versions = ({ vms }: ServiceHostResult) => vms.map(({ facts }) => facts.stackVersion);
const blackoutsOf = (hostId: string) =>
  suite.stack.store.host(hostId).vmIds.map((id) => suite.vm(hostId, id).blackouts.length);
const byDefault = (hostId: string) => suite.stack.store.host(hostId).versions.vmWorkerProcess;
function expectKept({ vms, invariants, forbiddenCommands }: ServiceHostResult): void {
  expect({ violated: invariants.violated, forbiddenCommands }).toEqual({
    violated: 0,
    forbiddenCommands: 0,
  });
  for (const { facts } of vms) {
    expect(facts).toMatchObject({ running: true, path: 'kept', guestVisibleEvents: 0 });
    expect(facts.identityAfter).toEqual(facts.identityBefore);
  }
}
/** In the order of the journal: which VM went down, and came back. */
const darkness = (hostId: string) =>
  suite.journal(hostId).flatMap(({ command, vmId }) => {
    if (command === 'Hypervisor.SuspendVirtualProcessors') return [`${String(vmId)} down`];
    return command === 'Hypervisor.ResumeVirtualProcessors' ? [`${String(vmId)} up`] : [];
  });

describe('nothing goes wrong', () => {
  test.concurrent('each VM goes alone, the canary first; then the default flips', async () => {
    const input = wish();
    const { hostId } = input;
    const result = await suite.run('serviceHost', input);
    expect(result).toMatchObject({ outcome: 'updated', versionAfter: '2.0.0', reason: null });
    expect(versions(result)).toEqual(['2.0.0', '2.0.0', '2.0.0', '2.0.0']);
    expectKept(result);
    const dark = darkness(hostId);
    expect(dark.slice(0, 2)).toEqual(['vm-01 down', 'vm-01 up']);
    // All VMs here have their VF of one PF: never two of them are down.
    for (let i = 0; i < dark.length; i += 2)
      expect(dark[i]?.replace(' down', ' up')).toBe(dark[i + 1]);
    expect(dark).toHaveLength(8);
    const journal = suite.journal(hostId);
    const last = Math.max(
      ...journal
        .filter((e) => e.command === 'Hypervisor.ResumeVirtualProcessors')
        .map((e) => e.seq),
    );
    expect(journal.find((e) => e.command === 'Stack.Flip')?.seq).toBeGreaterThan(last);
  });

  test.concurrent('several canaries go one by one, and none at all is a choice', async () => {
    const results = await Promise.all(
      [3, 0].map(async (canary) => suite.run('serviceHost', wish([], { canary }))),
    );
    expect(results.map(({ outcome }) => outcome)).toEqual(['updated', 'updated']);
  });

  test.concurrent('a host on which all VMs are there is not touched, and is updated', async () => {
    const input = wish();
    await suite.run('serviceHost', input);
    const before = blackoutsOf(input.hostId);
    expect(await suite.run('serviceHost', input)).toMatchObject({ outcome: 'updated' });
    expect(blackoutsOf(input.hostId)).toEqual(before);
  });
});

describe('the update is bad', () => {
  test.concurrent.each([
    ['fails-to-start', 'vmWorkerProcess 2.0.0 did not start'],
    ['starts-old-version', 'what started says that it is vmWorkerProcess 1.0.0, not 2.0.0'],
    ['fails-verification', 'vmWorkerProcess 2.0.0 started, but its own checks failed'],
  ] as const)('%s: it is found out before any VM pauses', async (kind, says) => {
    const input = wish([{ step: 'stageUpdate', kind }]);
    const ended = await suite.fails('serviceHost', input);
    expect(ended.type).toBe('HostNotUpdated');
    expect(ended.message).toContain(says);
    expect(blackoutsOf(input.hostId)).toEqual([0, 0, 0, 0]);
    expectKept(resultOf(ended));
  });

  test.concurrent(
    'it cannot read the record of the canary: one VM is touched, none loses its VF',
    async () => {
      const input = wish([{ step: 'stageUpdate', kind: 'cannot-read-record' }]);
      const ended = await suite.fails('serviceHost', input);
      expect(ended.type).toBe('HostNotUpdated');
      expect(ended.message).toContain('vm-01 runs 1.0.0: back on 1.0.0');
      expectKept(resultOf(ended));
      expect(blackoutsOf(input.hostId)).toEqual([1, 0, 0, 0]);
      const [canary] = resultOf(ended).vms;
      expect(canary?.steps.map(({ name }) => name)).toContain('retreatToOldStack');
    },
  );

  test.concurrent.each(['powerOnRestore', 'restoreVm', 'resumeVm'] as const)(
    'its worker process ends at %s: the VM is back on the old version, its VF kept',
    async (step) => {
      const input = wish([{ vmId: 'vm-02', step, kind: 'successor-dies' }]);
      const ended = await suite.fails('serviceHost', input);
      expect(ended.type).toBe('HostMixed');
      expectKept(resultOf(ended));
      expect(versions(resultOf(ended)).slice(0, 2)).toEqual(['2.0.0', '1.0.0']);
      expect(byDefault(input.hostId)).toBe('1.0.0');
    },
  );

  test.concurrent(
    'a step of it keeps failing: it has 40 % of the budget, then the old one',
    async () => {
      const input = wish([{ vmId: 'vm-01', step: 'restoreVm', kind: 'fail-before', times: OFTEN }]);
      // The fault meets the old version too, which has no way back from there.
      const ended = await suite.fails('serviceHost', { ...input, blackoutBudget: '2s' });
      expect(ended.type).toBe('VmStranded');
      const at = (command: string) =>
        suite.journal(input.hostId).find((e) => e.command === command)?.hostTimeMs ?? NaN;
      const tried = at('VMWP.Terminate') - at('Hypervisor.SuspendVirtualProcessors');
      expect(tried).toBeGreaterThanOrEqual(800);
    },
  );

  test.concurrent(
    'processes of both versions end under it: a third one brings the VM back',
    async () => {
      const dies = { vmId: 'vm-01', step: 'restoreVm', kind: 'successor-dies', times: 2 } as const;
      const ended = await suite.fails('serviceHost', wish([dies]));
      expect(ended.type).toBe('HostNotUpdated');
      expectKept(resultOf(ended));
    },
  );

  test.concurrent(
    'the VF of the canary goes, and then its process: no other VM is touched',
    async () => {
      const input = wish([
        { vmId: 'vm-01', step: 'powerOnRestore', kind: 'vf-gone' },
        { vmId: 'vm-01', step: 'restoreVm', kind: 'successor-dies' },
      ]);
      const ended = await suite.fails('serviceHost', input);
      expect(ended.type).toBe('HostNotUpdated');
      const [canary] = resultOf(ended).vms;
      expect(canary?.facts).toMatchObject({
        running: true,
        path: 'reattached',
        stackVersion: '1.0.0',
      });
      expect(blackoutsOf(input.hostId)).toEqual([1, 0, 0, 0]);
    },
  );

  test.concurrent('a canary that lost its VF is none to follow', async () => {
    const input = wish([{ vmId: 'vm-01', step: 'powerOnRestore', kind: 'vf-gone' }]);
    const ended = await suite.fails('serviceHost', input);
    expect(ended.type).toBe('HostMixed');
    expect(ended.message).toContain('vm-01, a canary, did not keep its VF: reattached');
    expect(blackoutsOf(input.hostId)).toEqual([1, 0, 0, 0]);
  });

  test.concurrent(
    'a canary that hangs stops it there; the way back takes only that VM',
    async () => {
      const input = wish([{ vmId: 'vm-01', step: 'resumeVm', kind: 'guest-hangs' }]);
      const ended = await suite.fails('serviceHost', input);
      expect(ended.type).toBe('HostMixed');
      expect(ended.message).toContain('vm-01, a canary, answers no heartbeat');
      expect(versions(resultOf(ended))).toEqual(['2.0.0', '1.0.0', '1.0.0', '1.0.0']);
      const { hostId } = input;
      const back = await suite.run('serviceHost', {
        hostId,
        update: { version: '1.0.0' },
        rolling: { bakeFor: '0s' },
      });
      expect(back.outcome).toBe('updated');
      expect(blackoutsOf(hostId)).toEqual([2, 0, 0, 0]);
    },
  );
});

describe('a VM cannot be saved', () => {
  const cannotBeSaved = {
    vmId: 'vm-02',
    step: 'saveVm',
    kind: 'fail-before',
    times: OFTEN,
  } as const;

  test.concurrent(
    'the host stops there, mixed; the next run goes on with those that are left',
    async () => {
      const input = wish([cannotBeSaved], { parallelism: 1 });
      const { hostId } = input;
      const ended = await suite.fails('serviceHost', input);
      expect(ended.type).toBe('HostMixed');
      expect(ended.message).toContain('vm-02');
      expect(versions(resultOf(ended))).toEqual(['2.0.0', '1.0.0', '1.0.0', '1.0.0']);
      expectKept(resultOf(ended));
      expect(blackoutsOf(hostId)).toEqual([1, 1, 0, 0]);
      expect(byDefault(hostId)).toBe('1.0.0');
      const third = await suite.fails('serviceHost', { hostId, update: { version: '3.0.0' } });
      expect(third.type).toBe('ThirdVersion');
      const next = await suite.run('serviceHost', { ...input, faults: [] });
      expect(next.outcome).toBe('updated');
      expect(blackoutsOf(hostId)).toEqual([1, 2, 1, 1]);
      expect(byDefault(hostId)).toBe('2.0.0');
    },
  );

  test.concurrent(
    'by policy the next is the canary where the first could not be saved',
    async () => {
      const canary = { ...cannotBeSaved, vmId: 'vm-01' };
      const hangs = { vmId: 'vm-02', step: 'resumeVm', kind: 'guest-hangs' } as const;
      const input = wish([canary, hangs], { onSaveFailure: 'continue' });
      const ended = await suite.fails('serviceHost', input);
      expect(ended.message).toContain('vm-01');
      expect(versions(resultOf(ended))).toEqual(['1.0.0', '2.0.0', '1.0.0', '1.0.0']);
    },
  );

  test.concurrent('a VM whose allowance its own failure has spent is left as it is', async () => {
    const { hostId } = wish();
    await suite.run('serviceHost', { hostId, update, rolling: { bakeFor: '0s' } });
    suite.stack.store.update(hostId, 'vm-03', ({ vm }) => {
      vm.blackouts = [{ endedAtMs: Date.now(), ms: 25_000 }];
    });
    const back = { hostId, update: { version: '1.0.0' }, rolling: { bakeFor: '0s' } };
    const refused = await suite.fails('serviceHost', { ...back, blackoutAllowance: {} });
    expect(refused.type).toBe('BlackoutAllowanceSpent');
    // It is spent only once the run has begun.
    suite.stack.store.update(hostId, 'vm-03', ({ vm }) => void (vm.blackouts = []));
    const slow = { vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '700ms' } as const;
    const handle = await suite.start('serviceHost', {
      ...back,
      blackoutAllowance: {},
      faults: [slow],
    });
    await suite.until(hostId, 'vm-01', 'saveVm', 'intent');
    suite.stack.store.update(hostId, 'vm-03', ({ vm }) => {
      vm.blackouts = [{ endedAtMs: Date.now(), ms: 25_000 }];
    });
    const ended = await ending(handle);
    expect(ended.type).toBe('HostMixed');
    expect(ended.message).toContain('vm-03 was left as it is: was dark for 25.0 s');
    expect(versions(resultOf(ended))).toEqual(['1.0.0', '1.0.0', '2.0.0', '1.0.0']);
  });

  test.concurrent('a mixed host reads as a failure wherever it is looked at', async () => {
    const input = wish([cannotBeSaved], { parallelism: 1 });
    const handle = await suite.start('serviceHost', input);
    const ended = await ending(handle);
    expect(ended.message).toContain('start again, which goes on with the VMs that are left');
    expect(resultOf(ended).outcome).toBe('mixed');
    const { searchAttributes, memo, status } = await handle.describe();
    expect([status.name, searchAttributes['Outcome']]).toEqual(['FAILED', ['HostMixed']]);
    expect(memo?.['nextAction']).toContain('service the host with the old version');
    const metadata = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(metadata.currentDetails).toContain('**Failed: HostMixed.**');
    expect(metadata.currentDetails).toContain(`**${input.hostId}: mixed**`);
    const run = { hostId: input.hostId, result: resultOf(ended), failure: '', started: true };
    expect(succeeded([run])).toBe(false);
    expect(servicingTable(run)).toContain(`${input.hostId} mixed:`);
    expect(servicingReport('run', 1, [run]).hosts[0]?.outcome).toBe('mixed');
  });

  test.concurrent('by policy the others go on: mixed all the same', async () => {
    const input = wish([cannotBeSaved], { onSaveFailure: 'continue' });
    const ended = await suite.fails('serviceHost', input);
    expect(ended.type).toBe('HostMixed');
    expect(versions(resultOf(ended))).toEqual(['2.0.0', '1.0.0', '2.0.0', '2.0.0']);
    expectKept(resultOf(ended));
  });
});

describe('a person stops it', () => {
  const bakes = () => wish([], { bakeFor: '10m' });
  const canaryIsBack = async (hostId: string) => {
    await suite.until(hostId, 'vm-01', 'verifyRestore', 'result');
  };

  test.concurrent('an abort between two VMs leaves the others untouched', async () => {
    const input = bakes();
    const handle = await suite.start('serviceHost', input);
    await canaryIsBack(input.hostId);
    const answer = await handle.executeUpdate('abort', { args: [{ reason: 'health alarm' }] });
    expect(answer).toContain('No other VM is updated');
    const ended = await ending(handle);
    expect(ended.type).toBe('HostMixed');
    expect(ended.message).toContain('health alarm');
    expect(blackoutsOf(input.hostId)).toEqual([1, 0, 0, 0]);
    expectKept(resultOf(ended));
  });

  test.concurrent('a cancel between two VMs does too', async () => {
    const input = bakes();
    const handle = await suite.start('serviceHost', input);
    await canaryIsBack(input.hostId);
    await handle.cancel();
    const ended = await ending(handle);
    expect(ended.type).toBe('HostMixed');
    expect(blackoutsOf(input.hostId)).toEqual([1, 0, 0, 0]);
  });

  test.concurrent('after a terminate another run goes on with the VMs that are left', async () => {
    const input = bakes();
    const handle = await suite.start('serviceHost', input);
    await canaryIsBack(input.hostId);
    await handle.terminate('a person pressed the wrong button');
    const next = await suite.run('serviceHost', { ...input, rolling: { bakeFor: '0s' } });
    expect(next.outcome).toBe('updated');
    expect(blackoutsOf(input.hostId)).toEqual([1, 1, 1, 1]);
  });
});
