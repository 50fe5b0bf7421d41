/** Guests are told that their VMs will freeze, and have a time to say that they know. */
import type { Fault } from '../../../contract/faults';
import { HostRun, NO_LATENCY, SimulatedFleet, fault } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet({ vms: 3 })));
afterEach(() => fleet.close());

const arm = (guestNoticeMs: number, faults: readonly Fault[] = []) =>
  HostRun.arm(fleet, { guestNoticeMs, faults });
const commands = async (vmId: string) =>
  (await fleet.hosts.readJournal('host-01', { vmId })).map((e) => e.command);

it('ends as soon as every guest has acknowledged', async () => {
  const host = await arm(60_000);
  const { status, evidence } = await host.perform('noticeGuests');
  expect({ status, evidence }).toEqual({
    status: 'done',
    evidence: { acknowledged: ['vm-01', 'vm-02', 'vm-03'], unacknowledged: [] },
  });
  expect(await commands('vm-02')).toEqual(['Guest.NoticeFreeze', 'Guest.AcknowledgeNotice']);
  // It is no event of a device: a save after it still finds that the guest saw nothing.
  expect(fleet.objects('vm-02').adapter.guest.events).toEqual([]);
});

it.each([['stuck'], ['fail-before']] as const)(
  'a guest that is deaf (%s) is waited for in vain',
  async (kind) => {
    const host = await arm(150, [fault('noticeGuests', kind, { vmId: 'vm-02', delay: '1ms' })]);
    const from = performance.now();
    const { evidence } = await host.perform('noticeGuests');
    expect(performance.now() - from).toBeGreaterThanOrEqual(149);
    expect(evidence).toEqual({ acknowledged: ['vm-01', 'vm-03'], unacknowledged: ['vm-02'] });
    expect(await commands('vm-02')).toEqual(['Guest.NoticeFreeze']);
  },
);

it('a guest that hangs acknowledges nothing', async () => {
  fleet.change(({ vm }) => {
    vm.guestHangs = true;
  }, 'vm-03');
  const { evidence } = await (await arm(50)).perform('noticeGuests');
  expect(evidence).toMatchObject({ unacknowledged: ['vm-03'] });
});

it.each([
  ['in time', 5_000, []],
  ['too late', 50, ['vm-01']],
])('a guest that is slow acknowledges %s', async (_, waitMs, unacknowledged) => {
  const host = await arm(waitMs, [fault('noticeGuests', 'slow', { delay: '200ms' })]);
  const { evidence } = await host.perform('noticeGuests');
  expect(evidence).toMatchObject({ unacknowledged });
});

it('takes the time of the profile', async () => {
  await fleet.close();
  const operations = { noticeGuests: { p50: 100, p99: 100 } };
  fleet = new SimulatedFleet({ vms: 1 }, { ...NO_LATENCY, operations });
  const host = await arm(5_000);
  const from = performance.now();
  expect((await host.perform('noticeGuests')).evidence).toMatchObject({ unacknowledged: [] });
  expect(performance.now() - from).toBeGreaterThanOrEqual(99);
});

it('the time goes on over a restart of the worker, and the guests are told once', async () => {
  const host = await arm(1_500, [fault('noticeGuests', 'stuck')]);
  await expect(host.perform('noticeGuests', AbortSignal.timeout(1_000))).rejects.toMatchObject({
    type: 'NotReachedInTime',
  });
  const restartedAt = performance.now();
  const { evidence } = await host.perform('noticeGuests');
  // It waits for what is left, a third, and not for the whole time again.
  expect(performance.now() - restartedAt).toBeLessThan(1_500);
  expect(evidence).toMatchObject({ unacknowledged: ['vm-01'] });
  expect((await host.perform('noticeGuests')).evidence).toEqual(evidence);
  expect(await commands('vm-01')).toEqual(['Guest.NoticeFreeze']);
});

it('an abort ends the wait', async () => {
  const host = await arm(60_000, [fault('noticeGuests', 'stuck')]);
  const told = host.perform('noticeGuests');
  await fleet.hosts.abortServicing(host.call, 'for the test');
  expect((await told).evidence).toMatchObject({ unacknowledged: ['vm-01'] });
});

it('nobody is told whom the run does not mean to tell', async () => {
  const host = await HostRun.arm(fleet);
  expect(await host.perform('noticeGuests')).toMatchObject({ status: 'notApplicable' });
  expect(await commands('vm-01')).toEqual([]);
});
