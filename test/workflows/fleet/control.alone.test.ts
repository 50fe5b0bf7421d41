/** A fleet update outlives the process that runs it. */
import type { Stack } from '../../../scripts/stack';
import { Suite } from '../../support/suite';
import { FleetUnderTest, over } from './fleet-suite';

let suite: Suite<Stack>;
beforeAll(async () => {
  suite = await Suite.start('fleet-orchestrator-killed', { hosts: 3, vms: 2 });
});
afterAll(() => suite.stop());

test('an orchestrator that is killed in the middle of a wave changes nothing but the time', async () => {
  const [a, b, c] = suite.freshHosts(3) as [string, string, string];
  const run = await FleetUnderTest.start(suite, {
    ...over([a, b, c], { canary: 0, maxConcurrentHosts: 2, ramp: false }),
    faults: { [a]: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '500ms' }] },
  });
  await suite.until(a, 'vm-01', 'saveVm', 'intent');
  process.kill(suite.stack.pid('orchestrator'), 'SIGKILL');
  const result = await run.result();
  expect(result).toMatchObject({ outcome: 'updated', counts: { updated: 3 } });
  for (const hostId of [a, b, c]) {
    expect(suite.stack.store.host(hostId).generation).toBe(1);
    for (const vmId of ['vm-01', 'vm-02']) expect(suite.vm(hostId, vmId).facts.path).toBe('kept');
  }
});
