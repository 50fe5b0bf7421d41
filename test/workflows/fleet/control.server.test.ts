/** What people do to a fleet update while it runs, and what it waits for. */
import { Webhook } from 'standardwebhooks';
import { serviceHostId } from '../../../contract/queues';
import { LocalServer } from '../../activities/local-server';
import { Suite } from '../../support/suite';
import { FleetUnderTest, WHY, allRun, isUntouched, outcomes, over } from './fleet-suite';

const SECRET = 'whsec_aG9sZGZhc3QtdGVzdC1zZWNyZXQtMTIzNA==';
const webhook = new Webhook(SECRET);
let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('fleet-control', {
    hosts: 21,
    vms: 2,
    env: { HOLDFAST_WEBHOOK_SECRET: SECRET },
  });
});
afterAll(() => suite.stop());

const start = (input: Parameters<typeof FleetUnderTest.start>[1]) =>
  FleetUnderTest.start(suite, input);
const slow = (step: 'stageUpdate', delay: string) => [{ step, kind: 'slow', delay } as const];

describe('a person', () => {
  test.concurrent(
    'pauses in the middle of a blackout: it takes effect after it, and no VM notices',
    async () => {
      const [a, b] = suite.freshHosts(2) as [string, string];
      const run = await start({
        ...over([a, b]),
        update: { component: 'vpciVsp', version: '2.0.0' },
        faults: {
          [a]: [
            { vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '1s' },
            // The VMs are still dark when the answer comes, however busy the machine is.
            { step: 'commitUpdate', kind: 'slow', delay: '4s' },
          ],
        },
      });
      await suite.until(a, 'vm-01', 'saveVm', 'intent');
      const answer = await run.control('pause');
      expect(answer).toBe(`Paused: no host starts; 1 in flight finish first: ${a}.`);
      expect(suite.vm(a, 'vm-01').darkForMs).toBeGreaterThan(0);
      await run.waitsFor('operator');
      await run.until('the host is done', (p) => p.inFlight.length === 0);
      for (const vmId of ['vm-01', 'vm-02'])
        expect(suite.vm(a, vmId)).toMatchObject({
          phase: 'running',
          facts: { path: 'kept', guestVisibleEvents: 0 },
        });
      expect(isUntouched(suite, b)).toBe(true);
      expect(await run.refused('pause')).toContain('paused already, by ada');
      expect(await run.control('resume')).toBe('Goes on.');
      const result = await run.result();
      expect(result.outcome).toBe('updated');
      expect(result.interventions).toMatchObject([
        { action: 'pause', ...WHY, answer },
        { action: 'resume', ...WHY, answer: 'Goes on.' },
      ]);
      expect(result.interventions[0]?.at).toMatch(/^\d{4}-\d\d-\d\dT/);
    },
  );

  test.concurrent(
    'aborts in the middle of a wave: what is in flight finishes, nothing else is started',
    async () => {
      const [a, b, c] = suite.freshHosts(3) as [string, string, string];
      const run = await start({
        ...over([a, b, c], { canary: 0 }),
        faults: { [a]: slow('stageUpdate', '3s') },
      });
      await suite.until(a, null, 'stageUpdate', 'intent');
      expect(await run.control('abort')).toContain(`1 in flight finish first: ${a}`);
      const { type, result } = await run.fails();
      expect(type).toBe('FleetAborted');
      expect(outcomes(result)).toEqual({ [a]: 'updated', [b]: 'notStarted', [c]: 'notStarted' });
      expect(allRun(suite, [a, b, c])).toBe(true);
    },
  );

  test.concurrent('cancels the run: it ends like an abort, as cancelled', async () => {
    const [a, b] = suite.freshHosts(2) as [string, string];
    const run = await start({ ...over([a, b]), faults: { [a]: slow('stageUpdate', '3s') } });
    await suite.until(a, null, 'stageUpdate', 'intent');
    await run.handle.cancel();
    expect((await run.fails()).type).toBe('Cancelled');
    expect(suite.stack.store.host(a).versions.vmWorkerProcess).toBe('2.0.0');
    expect(isUntouched(suite, b)).toBe(true);
  });

  test.concurrent('approves wave by wave', async () => {
    const [a, b] = suite.freshHosts(2) as [string, string];
    const run = await start(over([a, b], { approval: 'every-wave' }));
    expect((await run.waitsFor('approval')).waiting?.detail).toContain('wave 1');
    expect(await run.attribute('WaitingFor')).toBe('approval');
    expect([a, b].every((hostId) => isUntouched(suite, hostId))).toBe(true);
    expect(await run.refused('approve', { wave: 3 })).toContain('there are 2 waves');
    expect(await run.control('approve', { wave: 1 })).toBe('Wave 1 is approved.');
    expect(await run.refused('approve', { wave: 1 })).toContain('approved already');
    await run.until('waits for wave 2', (p) => p.wave === 2 && p.waiting?.for === 'approval');
    expect(isUntouched(suite, b)).toBe(true);
    await run.control('approve', { wave: 2 });
    expect((await run.result()).outcome).toBe('updated');
  });

  test.concurrent(
    'skips a host, changes the concurrency, and is refused what does not fit',
    async () => {
      const [a, b, c] = suite.freshHosts(3) as [string, string, string];
      const run = await start({
        ...over([a, b, c], { canary: 0, ramp: false, maxConcurrentHosts: 1 }),
        // Long enough for all that is asked meanwhile.
        faults: { [a]: slow('stageUpdate', '8s'), [c]: slow('stageUpdate', '2s') },
      });
      await suite.until(a, null, 'stageUpdate', 'intent');
      expect(await run.control('skipHost', { hostId: b })).toBe(`${b} (wave 1) will be left out.`);
      expect(await run.refused('skipHost', { hostId: a })).toContain('in flight');
      expect(await run.refused('skipHost', { hostId: 'host-zz' })).toContain('not planned');
      expect(await run.refused('retryFailed')).toContain('no host has failed');
      expect(await run.refused('resume')).toContain('not paused');
      expect(await run.refused('approve', { wave: 1 })).toContain('needs no approval');
      expect(await run.refused('setConcurrency', { hosts: 0 })).toContain('hosts');
      expect(await run.refused('abort', { by: '' })).toContain('by');
      expect(await run.control('setConcurrency', { hosts: 2 })).toContain(
        'At most 2 hosts in flight instead of 1',
      );
      // The second place is taken at once, while the first host is still in flight.
      await run.until('two in flight', (p) => p.inFlight.length === 2);
      const result = await run.result();
      expect(outcomes(result)).toEqual({ [a]: 'updated', [b]: 'skipped', [c]: 'updated' });
      expect(result.outcome).toBe('incomplete');
      expect(isUntouched(suite, b)).toBe(true);
    },
  );
});

describe('two fleets that overlap', () => {
  test.concurrent('the second reports the host as busy and carries on', async () => {
    const [a, b] = suite.freshHosts(2) as [string, string];
    const first = await start({ ...over([a]), faults: { [a]: slow('stageUpdate', '8s') } });
    await suite.until(a, null, 'stageUpdate', 'intent');
    const second = await (await start(over([a, b], { canary: 0 }))).result();
    expect(outcomes(second)).toEqual({ [a]: 'busy', [b]: 'updated' });
    expect(second).toMatchObject({ outcome: 'incomplete', counts: { busy: 1, failed: 0 } });
    expect(second.hosts[0]?.reason).toContain(serviceHostId(a));
    expect((await first.result()).outcome).toBe('updated');
  });

  test.concurrent(
    'whoever holds the host: a run that a person started with an id of its own counts too; it can be waited for',
    async () => {
      const a = suite.freshHost();
      const person = await suite.start('serviceHost', {
        hostId: a,
        update: { version: '1.5.0' },
        faults: slow('stageUpdate', '8s'),
      });
      await suite.until(a, null, 'stageUpdate', 'intent');
      const run = await start(over([a], { onBusy: 'wait' }));
      await run.waitsFor('busyHost');
      await person.result();
      expect(outcomes(await run.result())).toEqual({ [a]: 'updated' });
    },
  );
});

describe('a run waits', () => {
  const clock = (inMs: number) => new Date(Date.now() + inMs).toISOString().slice(11, 16);
  const HOUR = 3_600_000;

  test.concurrent('for its maintenance window, and starts nothing before', async () => {
    const a = suite.freshHost();
    const run = await start({
      ...over([a]),
      maintenanceWindow: { open: [{ from: clock(2 * HOUR), to: clock(3 * HOUR) }] },
    });
    const { waiting } = await run.waitsFor('window');
    expect(waiting?.detail).toContain('opens');
    expect(await run.attribute('WaitingFor')).toBe('window');
    expect(isUntouched(suite, a)).toBe(true);
    await run.control('abort');
    expect((await run.fails()).type).toBe('FleetAborted');
  });

  test.concurrent('when the window is open but too short for one more host', async () => {
    const a = suite.freshHost();
    const window = { open: [{ from: clock(-HOUR), to: clock(HOUR) }] };
    const run = await start({ ...over([a]), maintenanceWindow: { ...window, hostTakes: '90m' } });
    await run.waitsFor('window');
    await run.control('abort');
    await run.fails();
    expect(isUntouched(suite, a)).toBe(true);
    // The same window is open for a host that fits.
    const fits = await start({ ...over([a]), maintenanceWindow: { ...window, hostTakes: '5m' } });
    expect((await fits.result()).outcome).toBe('updated');
  });

  test.concurrent(
    'for a person, when a probe is inconclusive; going on is that person’s decision',
    async () => {
      const a = suite.freshHost();
      const run = await start({
        ...over([a]),
        health: { prometheus: [{ url: 'http://127.0.0.1:9', query: 'up', atLeast: 1 }] },
      });
      const before = await run.waitsFor('operator');
      expect(before.paused?.reason).toContain('inconclusive');
      expect(isUntouched(suite, a)).toBe(true);
      await run.control('resume');
      await run.until(
        'paused once more',
        (p) => p.waiting?.for === 'operator' && p.waves[0]?.updated === 1,
      );
      await run.control('resume');
      await run.until('paused at the end', (p) => p.paused?.reason.includes('after') === true);
      await run.control('resume');
      expect(await run.result()).toMatchObject({
        outcome: 'updated',
        decisions: [
          { verdict: 'inconclusive' },
          { verdict: 'inconclusive' },
          { verdict: 'inconclusive' },
        ],
      });
    },
  );

  test.concurrent('for the blackout allowance of a VM, or refuses its host', async () => {
    const a = suite.freshHost();
    await suite.run('serviceHost', { hostId: a, update: { version: '1.5.0' } });
    const spent = { atMost: '10s', per: '1h' };
    const refused = await suite.fails('updateFleet', { ...over([a]), blackoutAllowance: spent });
    expect(refused.type).toBe('NothingPlanned');
    expect(refused.message).toMatch(/vm-01 .*1h/);
    const run = await start({ ...over([a]), blackoutAllowance: { ...spent, whenSpent: 'defer' } });
    expect((await run.waitsFor('allowance')).waiting?.detail).toMatch(/until \d{4}-/);
    await run.control('abort');
    expect(outcomes((await run.fails()).result)).toEqual({ [a]: 'notStarted' });
    expect(suite.stack.store.host(a).versions.vmWorkerProcess).toBe('1.5.0');
    // A period that is over by then: it waits, then goes on by itself.
    const soon = await start({
      ...over([a]),
      blackoutAllowance: { atMost: '10s', per: '1m', whenSpent: 'defer' },
    });
    await soon.handle.terminate('the test does not wait for a minute');
  });
});

describe('webhooks', () => {
  const servers: LocalServer[] = [];
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  /** Somebody who listens to one fleet only. */
  async function listener(status: number): Promise<LocalServer> {
    const server = new LocalServer();
    await server.start();
    servers.push(server);
    server.reply = { status };
    return server;
  }
  type Heard = Record<'event' | 'message', string>;
  /** What it heard. Fails if a message is not signed. */
  const heardBy = ({ received }: LocalServer) =>
    received.map(
      ({ headers, body }) => webhook.verify(body, headers as Record<string, string>) as Heard,
    );

  test.concurrent(
    'hear, signed, of the start, a gate, a pause, a failure and the end',
    async () => {
      const a = suite.freshHost();
      const server = await listener(200);
      const run = await start({
        ...over([a], { approval: 'every-wave' }),
        notify: [server.url],
        faults: { [a]: [{ step: 'stageUpdate', kind: 'fails-to-start' }] },
      });
      await run.waitsFor('approval');
      await run.control('approve', { wave: 1 });
      await run.waitsFor('operator');
      await run.control('abort');
      await run.fails();
      const heard = heardBy(server);
      expect(heard.map((h) => h.event)).toEqual(
        expect.arrayContaining(['started', 'waiting', 'paused', 'failure', 'ended']),
      );
      expect(heard.find((h) => h.event === 'failure')?.message).toContain(a);
    },
  );

  test.concurrent('that refuse a message are named in the result; the run goes on', async () => {
    const a = suite.freshHost();
    const server = await listener(410);
    const result = await (await start({ ...over([a]), notify: [server.url] })).result();
    expect(result.outcome).toBe('updated');
    expect(result.undelivered.some((line) => line.startsWith(`started to ${server.url}`))).toBe(
      true,
    );
    expect(heardBy(server).map((h) => h.event)).toContain('started');
  });
});
