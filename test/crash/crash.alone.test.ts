import type { ServiceHostResult } from '../../contract/results';
import { required } from '../support/required';
import { Suite, type OwnStack } from '../support/suite';
import { FleetUnderTest, over } from '../workflows/fleet/fleet-suite';

/** What dies here comes back, as under a service manager, unless a test says otherwise. */
let suite: Suite<OwnStack>;
beforeAll(async () => {
  suite = await Suite.start('crash', { hosts: 12, vms: 2 });
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };
const kill = (role: 'host' | 'orchestrator' | 'dead-man') => {
  process.kill(suite.stack.pid(role), 'SIGKILL');
};

/** Starts a servicing run that is slow at one step, lets something happen there, and answers how it ended. */
async function serviced(
  hostId: string,
  slow: {
    readonly vmId?: string;
    readonly step: 'saveVm' | 'resumeSyntheticAdapter' | 'commitUpdate' | 'disableOptimizations';
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

describe('the host worker killed with SIGKILL and started again', () => {
  test.each([
    { vmId: 'vm-01', step: 'disableOptimizations' },
    { vmId: 'vm-01', step: 'saveVm' },
    { step: 'commitUpdate' },
    { vmId: 'vm-02', step: 'resumeSyntheticAdapter' },
  ] as const)('in the middle of %j: the run completes and every VF is kept', async (slow) => {
    expectKept(await serviced(suite.freshHost(), slow, () => kill('host')));
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
test('the server frozen for 5 s in a blackout hardly lengthens it, since dark steps run in place', async () => {
  const server = Number(required('HOLDFAST_TEST_SERVER_PID'));
  const result = await serviced(suite.freshHost(), { vmId: 'vm-01', step: 'saveVm' }, () => {
    process.kill(server, 'SIGSTOP');
    setTimeout(() => process.kill(server, 'SIGCONT'), FROZEN_MS);
  });
  expectKept(result);
  expect(result.vms[0]?.facts.blackoutMs).toBeLessThan(FROZEN_MS);
});

test('with the host worker gone for good, the dead-man brings the VMs back by their deadline', async () => {
  const hostId = suite.freshHost();
  const handle = await suite.start('serviceHost', {
    hostId,
    update,
    blackoutBudget: '2s',
    faults: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '400ms' }],
  });
  await suite.until(hostId, 'vm-01', 'saveVm', 'intent');
  await suite.stack.stopProcess('host', 'SIGKILL');
  for (const vmId of ['vm-01', 'vm-02']) {
    await suite.untilPhase(hostId, vmId, 'running');
    expect(suite.vm(hostId, vmId)).toMatchObject({
      dataPath: 'vf',
      facts: { guestVisibleEvents: 0 },
    });
    expect(suite.vm(hostId, vmId).facts.blackoutMs).toBeLessThan(4_000);
  }
  await suite.stack.startProcess('host');
  await suite.stack.ready();
  await expect(handle.result()).rejects.toThrow();
  // Nothing of the old run is left in the way.
  expectKept(await suite.run('serviceHost', { hostId, update: { version: '3.0.0' } }));
});
