/** The wait for an acknowledgement outlives the process that waits. */
import type { ServiceHostResult } from '../../contract/results';
import type { Stack } from '../../scripts/stack';
import { Suite } from '../support/suite';

let suite: Suite<Stack>;
beforeAll(async () => {
  suite = await Suite.start('notice-restart', { hosts: 1 });
});
afterAll(() => suite.stop());

const ALL = ['vm-01', 'vm-02', 'vm-03'];

test('a restart of the host worker does not cut the time short', async () => {
  const hostId = suite.freshHost();
  const run = await suite.start('serviceHost', {
    hostId,
    update: { version: '2.0.0' },
    notice: { waitUpTo: '1h' },
    faults: [{ vmId: 'vm-01', step: 'noticeGuests', kind: 'slow', delay: '8s' }],
  });
  await suite.until(hostId, 'vm-01', 'noticeGuests', 'command');
  process.kill(suite.stack.pid('host'), 'SIGKILL');
  const result = (await run.result()) as ServiceHostResult;
  expect(result.outcome).toBe('updated');
  expect(result.vms.map((vm) => vm.facts)).toMatchObject(
    ALL.map(() => ({ path: 'kept', guestVisibleEvents: 0 })),
  );
  expect(result.notice).toMatchObject({ acknowledged: ALL, unacknowledged: [] });
  const told = suite.journal(hostId).filter((e) => e.command === 'Guest.NoticeFreeze');
  expect(told).toHaveLength(3);
});
