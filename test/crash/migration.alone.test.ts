/** Worker and server processes die in the middle of a migration: exactly one VM runs in the end, and no command is lost. */
import type { MigrateVmResult } from '../../contract/results';
import type { VmStep } from '../../contract/steps';
import { Suite, type OwnStack } from '../support/suite';

/** What dies here comes back, as under a service manager, unless a test says otherwise. */
let suite: Suite<OwnStack>;
beforeAll(async () => {
  suite = await Suite.start('migration-crash', { hosts: 14, emptyHosts: 7, vms: 1 });
});
afterAll(() => suite.stop());

const pair = (n: number) => ({
  vmId: 'vm-01',
  fromHostId: `host-${String(n).padStart(2, '0')}`,
  toHostId: `host-${String(n + 7).padStart(2, '0')}`,
});
type Pair = ReturnType<typeof pair>;
const runningOn = ({ vmId, fromHostId, toHostId }: Pair) =>
  [fromHostId, toHostId].filter(
    (hostId) => suite.stack.store.findVm(hostId, vmId)?.partition.state === 'running',
  );

async function inTheMiddleOf(place: Pair, step: VmStep, on: string, happen: () => unknown) {
  const run = await suite.start('migrateVm', {
    ...place,
    faults: [{ step, kind: 'slow', delay: '400ms' }],
  });
  await suite.until(on, place.vmId, step, 'intent');
  expect(runningOn(place).length).toBeLessThanOrEqual(1);
  await happen();
  return run;
}

const clean = { lost: 0, executedTwice: 0, outOfOrder: 0 };

describe('the workers of both hosts killed with SIGKILL and started again', () => {
  test.each([
    [3, 'receiveVm', 'toHostId'],
    [4, 'relinquishVm', 'fromHostId'],
    [5, 'resumeMigratedVm', 'toHostId'],
  ] as const)('%i: in the middle of %s', async (n, step, on) => {
    const place = pair(n);
    const run = await inTheMiddleOf(place, step, place[on], () => {
      process.kill(suite.stack.pid('host'), 'SIGKILL');
    });
    const result = (await run.result()) as MigrateVmResult;
    expect(result).toMatchObject({ outcome: 'migrated', ledger: clean });
    expect(runningOn(place)).toEqual([place.toHostId]);
    await suite.stack.ready();
  });
});

test('the orchestrator killed while the VM is dark: it is moved all the same', async () => {
  const place = pair(6);
  const run = await inTheMiddleOf(place, 'receiveVm', place.toHostId, () => {
    process.kill(suite.stack.pid('orchestrator'), 'SIGKILL');
  });
  expect(await run.result()).toMatchObject({ outcome: 'migrated', ledger: clean });
  expect(runningOn(place)).toEqual([place.toHostId]);
});

test('the workers are gone for good before the relinquish: the dead-man brings the VM back on its source', async () => {
  const place = pair(7);
  const run = await suite.start('migrateVm', {
    ...place,
    blackoutBudget: '2s',
    faults: [{ step: 'relinquishVm', kind: 'slow', delay: '500ms' }],
  });
  await suite.until(place.fromHostId, place.vmId, 'relinquishVm', 'intent');
  await suite.stack.stopProcess('host', 'SIGKILL');
  await suite.untilPhase(place.fromHostId, place.vmId, 'running');
  expect(runningOn(place)).toEqual([place.fromHostId]);
  await suite.stack.startProcess('host');
  await suite.stack.ready();
  await expect(run.result()).rejects.toThrow();
  // Nothing of the old run is left in the way.
  expect(await suite.run('migrateVm', place)).toMatchObject({ outcome: 'migrated', ledger: clean });
  expect(runningOn(place)).toEqual([place.toHostId]);
});
