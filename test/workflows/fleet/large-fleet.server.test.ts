/** 40 hosts: more than one history, and each host exactly once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetProgress } from '../../../contract/fleet-results';
import { Suite } from '../../support/suite';
import { FleetUnderTest, over, versionOf } from './fleet-suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('fleet-large', { hosts: 40, vms: 1 });
}, 120_000);
afterAll(() => suite.stop());

test('40 hosts are updated over several histories, which carry what people said', async () => {
  const hosts = suite.stack.store.hostIds();
  const run = await FleetUnderTest.start(
    suite,
    {
      ...over(hosts, { waves: ['50%'], maxConcurrentHosts: 8 }),
      maxHosts: 40,
    },
    '300s',
  );
  await run.until('in the first wave after the canary', (p) => p.wave === 2);
  await run.control('setConcurrency', { hosts: 6 });
  await run.control('skipHost', { hostId: hosts.at(-1) });
  const result = await run.result();
  expect(result).toMatchObject({
    outcome: 'incomplete',
    counts: { planned: 40, updated: 39, skipped: 1, failed: 0, notStarted: 0 },
  });
  expect(new Set(result.hosts.map((host) => host.hostId)).size).toBe(40);
  for (const hostId of hosts.slice(0, -1)) {
    expect(suite.stack.store.host(hostId).generation).toBe(1);
    expect(versionOf(suite, hostId)).toBe('2.0.0');
  }
  expect(result.interventions.map((i) => i.action)).toEqual(['setConcurrency', 'skipHost']);

  const { client } = suite.stack;
  const histories: number[] = [];
  for (const until = Date.now() + 30_000; histories.length < 2 && Date.now() < until;) {
    histories.length = 0;
    for await (const seen of client.workflow.list({
      query: `WorkflowId = '${run.handle.workflowId}'`,
    }))
      histories.push(seen.historyLength);
    await delay(100);
  }
  expect(histories.length).toBeGreaterThan(1);
  expect(Math.max(...histories)).toBeLessThan(1_000);
  const progress = await run.handle.query<FleetProgress>('progress');
  expect(progress).toMatchObject({ concurrency: 6, inFlight: [] });
}, 400_000);
