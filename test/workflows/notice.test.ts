/** Guests and tenants are told before a VM pauses; no run fails, or waits longer than it says, for want of an answer. */
import { Webhook } from 'standardwebhooks';
import type { NoticeResult, ServiceHostResult } from '../../contract/results';
import type { ServicingProgress } from '../../workflows/service-host';
import { LocalServer } from '../activities/local-server';
import { Suite, ending } from '../support/suite';

const SECRET = `whsec_${Buffer.from('a secret of thirty-two letters..').toString('base64')}`;
const tenants = new LocalServer();
let suite: Suite;
beforeAll(async () => {
  await tenants.start();
  suite = await Suite.start('notice', { hosts: 9, env: { HOLDFAST_WEBHOOK_SECRET: SECRET } });
});
afterAll(async () => {
  await suite.stop();
  await tenants.stop();
});
beforeEach(() => {
  tenants.received.length = 0;
  tenants.reply = { status: 200 };
});

const update = { version: '2.0.0' };
const ALL = ['vm-01', 'vm-02', 'vm-03'];
const seq = (hostId: string, command: string) =>
  suite
    .journal(hostId)
    .filter((e) => e.command === command)
    .map((e) => e.seq);

async function noticed(hostId: string, more: object): Promise<NoticeResult | null> {
  const result: ServiceHostResult = await suite.run('serviceHost', { hostId, update, ...more });
  expect(result.outcome).toBe('updated');
  expect(result.vms.map((vm) => vm.facts)).toMatchObject(
    ALL.map(() => ({ path: 'kept', guestVisibleEvents: 0 })),
  );
  return result.notice;
}

test('every guest acknowledges before the first VM pauses', async () => {
  expect(await noticed('host-01', { notice: {} })).toEqual({
    acknowledged: ALL,
    unacknowledged: [],
    webhook: null,
  });
  expect(seq('host-01', 'Guest.AcknowledgeNotice')).toHaveLength(3);
  expect(Math.max(...seq('host-01', 'Guest.AcknowledgeNotice'))).toBeLessThan(
    Math.min(...seq('host-01', 'Hypervisor.SuspendVirtualProcessors')),
  );
  expect(tenants.received).toEqual([]);
});

test('nobody is told where no notice was asked for', async () => {
  expect(await noticed('host-02', {})).toBeNull();
  expect(seq('host-02', 'Guest.NoticeFreeze')).toEqual([]);
});

test('a guest that is deaf holds the run up for as long as it says, and no longer', async () => {
  const faults = [{ vmId: 'vm-02', step: 'noticeGuests', kind: 'stuck' }] as const;
  const from = Date.now();
  const handle = await suite.start('serviceHost', {
    hostId: 'host-03',
    update,
    notice: { waitUpTo: '2s' },
    faults,
  });
  const progress = await handle.query<ServicingProgress>('progress');
  await suite.until('host-03', 'vm-02', 'noticeGuests', 'command');
  expect(progress.phase === 'preflight' || progress.phase === 'notice').toBe(true);
  expect((await handle.query<ServicingProgress>('progress')).phase).toBe('notice');
  const result = (await handle.result()) as ServiceHostResult;
  expect(Date.now() - from).toBeGreaterThanOrEqual(2_000);
  expect(Date.now() - from).toBeLessThan(12_000);
  expect(result).toMatchObject({
    outcome: 'updated',
    notice: { acknowledged: ['vm-01', 'vm-03'], unacknowledged: ['vm-02'], webhook: null },
  });
});

test('tenants get a signed message, and are asked again until they acknowledge', async () => {
  tenants.reply = { status: 202 };
  const told = noticed('host-04', { notice: { guests: false, webhook: tenants.url } });
  for (const until = Date.now() + 20_000; tenants.received.length === 0 && Date.now() < until;)
    await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seq('host-04', 'Hypervisor.SuspendVirtualProcessors')).toEqual([]);
  tenants.reply = { status: 200 };
  expect(await told).toEqual({ acknowledged: [], unacknowledged: [], webhook: 'acknowledged' });
  const messages = tenants.received.map(({ headers, body }) => {
    const signed = Object.entries(headers).map(([name, value]) => [name, String(value)]);
    return new Webhook(SECRET).verify(body, Object.fromEntries(signed) as Record<string, string>);
  });
  expect(messages).toHaveLength(2);
  expect(messages[0]).toMatchObject({
    event: 'notice',
    hostId: 'host-04',
    vmIds: ALL,
    update: { component: 'vmWorkerProcess', version: '2.0.0' },
    blackoutBudget: '10s',
  });
  // The same message, so that the receiver can tell a repeat.
  expect(new Set(tenants.received.map((r) => r.headers['webhook-id'])).size).toBe(1);
});

test.each([
  ['host-05', 'did not acknowledge in time', { status: 202 }, 'timedOut'],
  ['host-06', 'could not take it', { status: 500 }, 'undelivered'],
  ['host-07', 'do not want it, which is not waited for', { status: 404 }, 'undelivered'],
] as const)('%s goes on although its tenants %s', async (hostId, _, reply, webhook) => {
  tenants.reply = reply;
  const waitUpTo = reply.status === 404 ? '1h' : '1s';
  expect(await noticed(hostId, { notice: { webhook: tenants.url, waitUpTo } })).toEqual({
    acknowledged: ALL,
    unacknowledged: [],
    webhook,
  });
});

test('a restart of the host worker does not cut the time short', async () => {
  const faults = [{ vmId: 'vm-01', step: 'noticeGuests', kind: 'slow', delay: '8s' }] as const;
  const told = noticed('host-08', { notice: { waitUpTo: '1h' }, faults });
  await suite.until('host-08', 'vm-01', 'noticeGuests', 'command');
  process.kill(suite.stack.pid('host'), 'SIGKILL');
  expect(await told).toMatchObject({ acknowledged: ALL, unacknowledged: [] });
  expect(seq('host-08', 'Guest.NoticeFreeze')).toHaveLength(3);
});

describe('stopping a run that waits for an answer', () => {
  const waiting = async () => {
    tenants.reply = { status: 202 };
    const handle = await suite.start('serviceHost', {
      hostId: 'host-09',
      update,
      notice: { webhook: tenants.url, waitUpTo: '1h' },
      faults: [{ vmId: 'vm-01', step: 'noticeGuests', kind: 'stuck' }],
    });
    await suite.until('host-09', 'vm-01', 'noticeGuests', 'command');
    return handle;
  };
  const expectUntouched = () => {
    expect(seq('host-09', 'Hypervisor.SuspendVirtualProcessors')).toEqual([]);
    expect(suite.stack.store.host('host-09')).toMatchObject({
      lease: null,
      versions: { vmWorkerProcess: '1.0.0' },
    });
  };

  test('by an abort: neither guests nor tenants are waited for any more', async () => {
    const handle = await waiting();
    await handle.executeUpdate('abort', { args: [{ reason: 'for the test' }] });
    const ended = await ending(handle);
    expect(ended.type).toBe('HostNotUpdated');
    expect((ended.details as ServiceHostResult).notice).toMatchObject({
      unacknowledged: ['vm-01'],
      webhook: 'timedOut',
    });
    expectUntouched();
  });

  test('by a cancel', async () => {
    const handle = await waiting();
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expectUntouched();
  });
});
