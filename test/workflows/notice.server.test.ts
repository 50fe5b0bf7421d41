/** Guests and tenants are told before a VM pauses; no run fails, or waits longer than it says, for want of an answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import type { NoticeResult, ServiceHostResult } from '../../contract/results';
import type { ServicingProgress } from '../../workflows/service-host';
import { LocalServer, type Reply } from '../activities/local-server';
import { Suite, ending } from '../support/suite';

const SECRET = `whsec_${Buffer.from('a secret of thirty-two letters..').toString('base64')}`;
const webhook = new Webhook(SECRET);
let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('notice', {
    hosts: 9,
    vms: 2,
    env: { HOLDFAST_WEBHOOK_SECRET: SECRET },
  });
});
const servers: LocalServer[] = [];
afterAll(async () => {
  await suite.stop();
  await Promise.all(servers.map((server) => server.stop()));
});

/** Tenants of whom no other run tells anything. */
async function tenantsWho(reply: Reply): Promise<LocalServer> {
  const tenants = new LocalServer();
  await tenants.start();
  servers.push(tenants);
  tenants.reply = reply;
  return tenants;
}

const update = { version: '2.0.0' };
const ALL = ['vm-01', 'vm-02'];
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

test.concurrent('every guest acknowledges before the first VM pauses', async () => {
  const hostId = suite.freshHost();
  const tenants = await tenantsWho({ status: 200 });
  expect(await noticed(hostId, { notice: {} })).toEqual({
    acknowledged: ALL,
    unacknowledged: [],
    webhook: null,
  });
  expect(seq(hostId, 'Guest.AcknowledgeNotice')).toHaveLength(2);
  expect(Math.max(...seq(hostId, 'Guest.AcknowledgeNotice'))).toBeLessThan(
    Math.min(...seq(hostId, 'Hypervisor.SuspendVirtualProcessors')),
  );
  expect(tenants.received).toEqual([]);
});

test.concurrent('nobody is told where no notice was asked for', async () => {
  const hostId = suite.freshHost();
  expect(await noticed(hostId, {})).toBeNull();
  expect(seq(hostId, 'Guest.NoticeFreeze')).toEqual([]);
});

test.concurrent(
  'a guest that is deaf holds the run up for as long as it says, and no longer',
  async () => {
    const hostId = suite.freshHost();
    const handle = await suite.start('serviceHost', {
      hostId,
      update,
      notice: { waitUpTo: '6s' },
      faults: [{ vmId: 'vm-02', step: 'noticeGuests', kind: 'stuck' }],
    });
    const progress = await handle.query<ServicingProgress>('progress');
    await suite.until(hostId, 'vm-02', 'noticeGuests', 'command');
    expect(progress.phase === 'preflight' || progress.phase === 'notice').toBe(true);
    expect((await handle.query<ServicingProgress>('progress')).phase).toBe('notice');
    const result = (await handle.result()) as ServiceHostResult;
    expect(result).toMatchObject({
      outcome: 'updated',
      notice: { acknowledged: ['vm-01'], unacknowledged: ['vm-02'], webhook: null },
    });
    // By the host's own clock: what comes before and after takes as long as the machine needs.
    const journal = suite.journal(hostId).filter(({ step }) => step === 'noticeGuests');
    const [told] = journal.filter(({ command }) => command === 'Guest.NoticeFreeze');
    const waitedMs = (journal.at(-1)?.hostTimeMs ?? NaN) - (told?.hostTimeMs ?? NaN);
    // A timer may come a millisecond early.
    expect(waitedMs).toBeGreaterThan(5_990);
    expect(waitedMs).toBeLessThan(16_000);
  },
);

test.concurrent(
  'tenants get a signed message, and are asked again until they acknowledge',
  async () => {
    const hostId = suite.freshHost();
    const tenants = await tenantsWho({ status: 202 });
    const told = noticed(hostId, { notice: { guests: false, webhook: tenants.url } });
    for (const until = Date.now() + 20_000; tenants.received.length === 0 && Date.now() < until;)
      await delay(20);
    expect(seq(hostId, 'Hypervisor.SuspendVirtualProcessors')).toEqual([]);
    tenants.reply = { status: 200 };
    expect(await told).toEqual({ acknowledged: [], unacknowledged: [], webhook: 'acknowledged' });
    const messages = tenants.received.map(({ headers, body }) => {
      const signed = Object.entries(headers).map(([name, value]) => [name, String(value)]);
      return webhook.verify(body, Object.fromEntries(signed) as Record<string, string>);
    });
    expect(messages).toHaveLength(2);
    expect(messages[0]).toMatchObject({
      event: 'notice',
      hostId,
      vmIds: ALL,
      update: { component: 'vmWorkerProcess', version: '2.0.0' },
      blackoutBudget: '10s',
    });
    // The same message, so that the receiver can tell a repeat.
    expect(new Set(tenants.received.map((r) => r.headers['webhook-id'])).size).toBe(1);
  },
);

test.concurrent.each([
  ['did not acknowledge in time', { status: 202 }, 'timedOut'],
  ['could not take it', { status: 500 }, 'undelivered'],
  ['do not want it, which is not waited for', { status: 404 }, 'undelivered'],
] as const)('a host goes on although its tenants %s', async (_, reply, told) => {
  const tenants = await tenantsWho(reply);
  const waitUpTo = reply.status === 404 ? '1h' : '1s';
  expect(await noticed(suite.freshHost(), { notice: { webhook: tenants.url, waitUpTo } })).toEqual({
    acknowledged: ALL,
    unacknowledged: [],
    webhook: told,
  });
});

describe('stopping a run that waits for an answer', () => {
  const waiting = async () => {
    const hostId = suite.freshHost();
    const tenants = await tenantsWho({ status: 202 });
    const handle = await suite.start('serviceHost', {
      hostId,
      update,
      notice: { webhook: tenants.url, waitUpTo: '1h' },
      faults: [{ vmId: 'vm-01', step: 'noticeGuests', kind: 'stuck' }],
    });
    await suite.until(hostId, 'vm-01', 'noticeGuests', 'command');
    return { hostId, handle };
  };
  const expectUntouched = (hostId: string) => {
    expect(seq(hostId, 'Hypervisor.SuspendVirtualProcessors')).toEqual([]);
    expect(suite.stack.store.host(hostId)).toMatchObject({
      lease: null,
      versions: { vmWorkerProcess: '1.0.0' },
    });
  };

  test.concurrent('by an abort: neither guests nor tenants are waited for any more', async () => {
    const { hostId, handle } = await waiting();
    await handle.executeUpdate('abort', { args: [{ reason: 'for the test' }] });
    const ended = await ending(handle);
    expect(ended.type).toBe('HostNotUpdated');
    expect((ended.details as ServiceHostResult).notice).toMatchObject({
      unacknowledged: ['vm-01'],
      webhook: 'timedOut',
    });
    expectUntouched(hostId);
  });

  test.concurrent('by a cancel', async () => {
    const { hostId, handle } = await waiting();
    await handle.cancel();
    expect((await ending(handle)).type).toBe('Cancelled');
    expectUntouched(hostId);
  });
});
