import type { ServiceHostResult } from '../../contract/results';
import { required } from '../support/required';
import { Suite, ending, type OwnStack } from '../support/suite';
import { FleetUnderTest, over } from '../workflows/fleet/fleet-suite';

/** What dies here comes back, as under a service manager, unless a test says otherwise. */
let suite: Suite<OwnStack>;
beforeAll(async () => {
  suite = await Suite.start('crash', { hosts: 13, vms: 2 });
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };
/** All VMs are dark together. */
const hostWide = { component: 'vpciVsp', version: '2.0.0' } as const;
/** When the dead-man would take a dark VM over from its run: whatever goes on before that goes on by itself. */
const BUDGET_MS = 10_000;
const kill = (role: 'host' | 'orchestrator' | 'dead-man') => {
  process.kill(suite.stack.pid(role), 'SIGKILL');
};

/** Starts a servicing run that is slow at one step, lets something happen there, and answers how it ended. */
async function serviced(
  hostId: string,
  slow: {
    readonly vmId?: string;
    readonly step: 'saveVm' | 'commitUpdate' | 'disableOptimizations';
  },
  happen: () => void,
): Promise<ServiceHostResult> {
  const handle = await suite.start('serviceHost', {
    hostId,
    update,
    faults: [{ ...slow, kind: 'slow', delay: '400ms' }],
  });
  await suite.until(hostId, slow.vmId ?? null, slow.step, 'intent');
  happen();
  return (await handle.result()) as ServiceHostResult;
}

function expectKept(result: ServiceHostResult): void {
  expect(result).toMatchObject({
    outcome: 'updated',
    forbiddenCommands: 0,
    invariants: { violated: 0 },
  });
  for (const { facts } of result.vms) {
    expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0, running: true });
    expect(facts.identityAfter).toEqual(facts.identityBefore);
  }
}

/** What the VMs' steps were performed under: one generation each for save and restore, whoever performed them. */
const generationsOf = (hostId: string, vmId: string) =>
  new Set(
    suite
      .journal(hostId, vmId)
      .filter(({ kind }) => kind === 'intent')
      .map(({ generation }) => generation),
  );

describe('the host worker killed with SIGKILL and started again', () => {
  test.each([{ vmId: 'vm-01', step: 'disableOptimizations' }, { step: 'commitUpdate' }] as const)(
    'in the middle of %j: the run completes and every VF is kept',
    async (slow) => {
      const hostId = suite.freshHost();
      expectKept(await serviced(hostId, slow, () => kill('host')));
      for (const vmId of ['vm-01', 'vm-02']) expect(generationsOf(hostId, vmId).size).toBe(2);
      await suite.stack.ready();
    },
  );

  test('in the middle of a save: the dead-man goes on at once, and starts no update that nobody is there for', async () => {
    const hostId = suite.freshHost();
    const run = await suite.start('serviceHost', {
      hostId,
      update: hostWide,
      faults: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '400ms' }],
    });
    await suite.until(hostId, 'vm-01', 'saveVm', 'intent');
    await suite.stack.stopProcess('host', 'SIGKILL');
    for (const vmId of ['vm-01', 'vm-02']) {
      await suite.untilPhase(hostId, vmId, 'preparing');
      const { facts, generation } = suite.vm(hostId, vmId);
      expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0, stackVersion: '1.0.0' });
      expect(facts.blackoutMs).toBeLessThan(BUDGET_MS / 2);
      // The keys of the run itself: nobody has fenced it.
      expect([generation, generationsOf(hostId, vmId).size]).toEqual([2, 2]);
    }
    await suite.stack.startProcess('host');
    await suite.stack.ready();
    expect((await ending(run)).type).toBe('HostNotUpdated');
    expectKept(await suite.run('serviceHost', { hostId, update: hostWide }));
  });

  test('stopped with SIGSTOP while VMs are dark: it is ended, and its steps go on', async () => {
    const hostId = suite.freshHost();
    const stopped = suite.stack.pid('host');
    const run = await suite.start('serviceHost', {
      hostId,
      update: hostWide,
      faults: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '400ms' }],
    });
    await suite.until(hostId, 'vm-01', 'saveVm', 'intent');
    process.kill(stopped, 'SIGSTOP');
    for (const vmId of ['vm-01', 'vm-02']) {
      await suite.untilPhase(hostId, vmId, 'preparing');
      expect(suite.vm(hostId, vmId).facts.blackoutMs).toBeLessThan(BUDGET_MS / 2);
    }
    await run.result().catch(() => undefined);
    expect(suite.stack.pid('host')).not.toBe(stopped);
    for (const vmId of ['vm-01', 'vm-02'])
      expect(suite.vm(hostId, vmId)).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
    await suite.stack.ready();
  });

  test('between two VMs that are updated one by one: the run goes on with the next', async () => {
    const hostId = suite.freshHost();
    const run = await suite.start('serviceHost', { hostId, update, rolling: { bakeFor: '1s' } });
    await suite.until(hostId, 'vm-01', 'verifyRestore', 'result');
    kill('host');
    expect(suite.stack.store.host(hostId).versions.vmWorkerProcess).toBe('1.0.0');
    expectKept((await run.result()) as ServiceHostResult);
    for (const vmId of ['vm-01', 'vm-02']) {
      expect(suite.vm(hostId, vmId).stackVersion).toBe('2.0.0');
      expect(generationsOf(hostId, vmId).size).toBe(2);
    }
    await suite.stack.ready();
  });

  test('while guests are given notice: the time that they have is not cut short', async () => {
    const hostId = suite.freshHost();
    const run = await suite.start('serviceHost', {
      hostId,
      update,
      notice: { waitUpTo: '1h' },
      faults: [{ vmId: 'vm-01', step: 'noticeGuests', kind: 'slow', delay: '6s' }],
    });
    await suite.until(hostId, 'vm-01', 'noticeGuests', 'command');
    kill('host');
    const result = (await run.result()) as ServiceHostResult;
    expectKept(result);
    expect(result.notice).toMatchObject({ acknowledged: ['vm-01', 'vm-02'], unacknowledged: [] });
    const told = suite.journal(hostId).filter((e) => e.command === 'Guest.NoticeFreeze');
    expect(told).toHaveLength(2);
    await suite.stack.ready();
  });
});

test('the orchestrator killed in a blackout hardly lengthens it', async () => {
  const undisturbed = await serviced(
    suite.freshHost(),
    { vmId: 'vm-01', step: 'saveVm' },
    () => undefined,
  );
  const result = await serviced(suite.freshHost(), { vmId: 'vm-01', step: 'saveVm' }, () =>
    kill('orchestrator'),
  );
  expectKept(result);
  const blackoutMs = ({ vms }: ServiceHostResult) => vms[0]?.facts.blackoutMs ?? NaN;
  expect(blackoutMs(result)).toBeLessThan(6 * blackoutMs(undisturbed));
  await suite.stack.ready();
});

test('an orchestrator that is killed in the middle of a wave changes nothing but the time', async () => {
  const [a, b, c] = suite.freshHosts(3) as [string, string, string];
  const run = await FleetUnderTest.start(suite, {
    ...over([a, b, c], { canary: 0, maxConcurrentHosts: 2, ramp: false }),
    faults: { [a]: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '500ms' }] },
  });
  await suite.until(a, 'vm-01', 'saveVm', 'intent');
  kill('orchestrator');
  const result = await run.result();
  expect(result).toMatchObject({ outcome: 'updated', counts: { updated: 3 } });
  for (const hostId of [a, b, c]) {
    expect(suite.stack.store.host(hostId).generation).toBe(1);
    for (const vmId of ['vm-01', 'vm-02']) expect(suite.vm(hostId, vmId).facts.path).toBe('kept');
  }
  await suite.stack.ready();
});

const FROZEN_MS = 5_000;
test('the server frozen for 5 s in a blackout hardly lengthens it, since the host goes on by itself', async () => {
  const server = Number(required('HOLDFAST_TEST_SERVER_PID'));
  const result = await serviced(suite.freshHost(), { vmId: 'vm-01', step: 'saveVm' }, () => {
    process.kill(server, 'SIGSTOP');
    setTimeout(() => process.kill(server, 'SIGCONT'), FROZEN_MS);
  });
  expectKept(result);
  expect(result.vms[0]?.facts.blackoutMs).toBeLessThan(FROZEN_MS);
});
