/** Migrations on a real server: both methods, every step failing, cancelled, terminated, and taken over. */
import type { WorkflowHandle } from '@temporalio/client';
import type { FaultInput } from '../../contract/faults';
import type { MigrateVmInput } from '../../contract/inputs';
import type { IoLedger } from '../../contract/migration';
import type { MigrateVmResult } from '../../contract/results';
import type { VmStep } from '../../contract/steps';
import { Suite, ending } from '../support/suite';

const EMPTY_HOSTS = 31;
let suite: Suite;
/** Hosts without VMs that no other test has touched. */
let emptyHosts: string[];
beforeAll(async () => {
  suite = await Suite.start('migrations', {
    hosts: 31 + EMPTY_HOSTS,
    emptyHosts: EMPTY_HOSTS,
    vms: 4,
    adapters: 'mixed',
  });
  emptyHosts = suite.hostIds.slice(-EMPTY_HOSTS);
});
afterAll(() => suite.stop());

function freshEmptyHost(): string {
  const hostId = emptyHosts.shift();
  if (hostId === undefined) throw new Error('all empty hosts are in use: make more');
  return hostId;
}

type Place = Pick<MigrateVmInput, 'vmId' | 'fromHostId' | 'toHostId'>;
/** A VM and two hosts that no other test uses; by its number it has an NVMe controller or not. */
const fresh = (vmId = 'vm-01'): Place => ({
  vmId,
  fromHostId: suite.freshHost(),
  toHostId: freshEmptyHost(),
});

const clean = { lost: 0, executedTwice: 0, outOfOrder: 0 };
const stateOf = (hostId: string, vmId: string) => suite.stack.store.findVm(hostId, vmId);
const runningOn = ({ vmId, fromHostId, toHostId }: Place) =>
  [fromHostId, toHostId].filter((hostId) => stateOf(hostId, vmId)?.partition.state === 'running');
const functionsOf = (hostId: string, vmId: string) =>
  suite.stack.store.pfs(hostId).flatMap(({ vfs }) => vfs.filter((vf) => vf.ownerVmId === vmId));

function expectMoved(place: Place): void {
  const { vmId, fromHostId, toHostId } = place;
  expect(runningOn(place)).toEqual([toHostId]);
  expect(suite.vm(toHostId, vmId)).toMatchObject({ phase: 'running', holder: null });
  expect(functionsOf(fromHostId, vmId)).toEqual([]);
  expect(suite.stack.store.host(fromHostId).vmIds).not.toContain(vmId);
  expectUnharmed(place);
}

function expectStayed(place: Place): void {
  const { vmId, fromHostId, toHostId } = place;
  expect(runningOn(place)).toEqual([fromHostId]);
  expect(suite.vm(fromHostId, vmId)).toMatchObject({
    phase: 'running',
    holder: null,
    dataPath: 'vf',
  });
  expect(functionsOf(toHostId, vmId)).toEqual([]);
  expect(stateOf(toHostId, vmId)?.lease ?? null).toBeNull();
  expect(suite.stack.store.host(toHostId).vmIds).not.toContain(vmId);
  expectUnharmed(place);
}

function expectUnharmed({ fromHostId, toHostId }: Place): void {
  for (const hostId of [fromHostId, toHostId]) {
    const { invariants, quarantine } = suite.stack.store.host(hostId);
    expect({ violations: invariants.violations, quarantine }).toEqual({
      violations: [],
      quarantine: null,
    });
  }
}

const slowAt = (step: VmStep): FaultInput => ({ step, kind: 'slow', delay: '1s' });
const failing = (step: VmStep): FaultInput => ({ step, kind: 'fail-before', times: 1000 });
const hostOf = (place: Place, step: VmStep) =>
  ON_DESTINATION.includes(step) ? place.toHostId : place.fromHostId;
const ON_DESTINATION: readonly VmStep[] = [
  'reserveFunctions',
  'exposeFunctions',
  'receiveVm',
  'resumeMigratedVm',
  'plugPassthrough',
  'switchToPassthrough',
  'unplugEmulatedPath',
  'verifyMigration',
];
/** Starts a migration and answers it when it is in the middle of a step. */
async function startedAt(
  place: Place,
  step: VmStep,
  more: Partial<MigrateVmInput> = {},
): Promise<WorkflowHandle> {
  const run = await suite.start('migrateVm', { ...place, faults: [slowAt(step)], ...more });
  await suite.until(hostOf(place, step), place.vmId, step, 'intent');
  return run;
}

async function detailsOf(run: WorkflowHandle): Promise<string> {
  const metadata = await run.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return metadata.currentDetails.replaceAll('\u00a0', ' ').replace(/ +/g, ' ');
}

describe('a VM is moved', () => {
  test.concurrent.each([
    ['emulated-path', 'vm-01', 4],
    ['emulated-path', 'vm-04', 8],
    ['unplug-replug', 'vm-01', 2],
    ['unplug-replug', 'vm-04', 4],
  ] as const)('by %s: %s', async (method, vmId, events) => {
    const place = fresh(vmId);
    const result = await suite.run('migrateVm', { ...place, method });
    expectMoved(place);
    expect(result).toMatchObject({
      ...place,
      method,
      outcome: 'migrated',
      reason: null,
      withinBudget: true,
      guestVisibleEvents: events,
      droppedPackets: 0,
      ledger: clean,
    });
    expect(result.blackoutMs).toBeGreaterThan(0);
    expect(result.vfOutageMs).toBeGreaterThan(0);
    expect(result.ledger.completed).toBeGreaterThan(20);
    expect(result.functions.map(({ kind }) => kind)).toEqual(
      vmId === 'vm-04' ? ['network', 'nvme'] : ['network'],
    );
    for (const moved of result.functions) {
      expect(moved).toMatchObject({ identityKept: false });
      expect(moved.after?.luid).not.toBe(moved.before?.luid);
      expect(moved.after?.macAddress).toBe(moved.before?.macAddress);
    }
    if (method === 'emulated-path') {
      expect(result.drain?.commands).toBeGreaterThan(0);
      expect(result.drain?.ms).toBeGreaterThanOrEqual(0);
    } else expect(result.drain).toBeNull();
    expect(suite.vm(place.toHostId, vmId).dataPath).toBe('vf');
  });

  test.concurrent(
    'the emulated path stays if it is asked for, and the VM can be moved on',
    async () => {
      const place = fresh('vm-01');
      const kept = await suite.run('migrateVm', { ...place, keepEmulatedPath: true });
      expect(kept).toMatchObject({ outcome: 'migrated', guestVisibleEvents: 3 });
      expect(functionsOf(place.toHostId, place.vmId)).toHaveLength(2);
      const back = { ...place, fromHostId: place.toHostId, toHostId: place.fromHostId };
      expect(await suite.run('migrateVm', back)).toMatchObject({
        outcome: 'migrated',
        ledger: clean,
      });
      expectMoved(back);
    },
  );

  test.concurrent(
    'people see what it was: attributes, memo, details, steps with their hosts',
    async () => {
      const place = fresh('vm-03');
      const run = await suite.start('migrateVm', place);
      const result = (await run.result()) as MigrateVmResult;
      const { typedSearchAttributes } = await run.describe();
      expect(JSON.stringify(typedSearchAttributes)).toContain('migrated');
      const details = await detailsOf(run);
      expect(details).toContain('executed');
      expect(details).toContain(`${place.fromHostId} to ${place.toHostId}: migrated`);
      for (const { name: step, hostId } of result.steps)
        expect(hostId).toBe(hostOf(place, step as VmStep));
    },
  );
});

describe('nothing is touched', () => {
  test.concurrent('by bad input', async () => {
    const place = fresh('vm-02');
    const same = await suite.fails('migrateVm', { ...place, toHostId: place.fromHostId });
    expect(same).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('another host'),
    });
    const wrong = await suite.fails('migrateVm', {
      ...place,
      drainTimeLimit: '1h',
      method: 'fast',
    });
    expect(wrong.message).toMatch(/method.*drainTimeLimit|drainTimeLimit.*method/s);
  });

  test.concurrent(
    'if the destination does not fit: the failure says all that is wrong',
    async () => {
      const [fromHostId, toHostId] = suite.freshHosts(2) as [string, string];
      const vmId = 'vm-02';
      const before = suite.vm(fromHostId, vmId);
      const ended = await suite.fails('migrateVm', { vmId, fromHostId, toHostId });
      expect(ended.type).toBe('DestinationUnfit');
      expect(ended.message).toContain(`has a VM named ${vmId} already`);
      const { identity, facts } = suite.vm(fromHostId, vmId);
      expect(identity).toEqual(before.identity);
      expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
      expect(suite.vm(fromHostId, vmId)).toMatchObject({ phase: 'running', holder: null });
    },
  );

  test.concurrent('of a VM that another run holds: the failure names it', async () => {
    const place = fresh();
    // Until the second has asked, however busy the machine is.
    const first = await startedAt(place, 'drainPassthrough', {
      faults: [{ ...slowAt('drainPassthrough'), delay: '5s' }],
    });
    const second = await suite.fails('migrateVm', place);
    expect(second.type).toBe('VmBusy');
    expect(second.message).toContain(first.workflowId);
    expect(await first.result()).toMatchObject({ outcome: 'migrated' });
  });
});

test.concurrent(
  'a drain that does not end in time is undone: the VM stays on its functions, and loses nothing',
  async () => {
    const place = fresh('vm-04');
    const before = suite.vm(place.fromHostId, place.vmId);
    const ended = await suite.fails('migrateVm', {
      ...place,
      drainTimeLimit: '300ms',
      faults: [{ step: 'drainPassthrough', kind: 'stuck-command' }],
    });
    expect(ended.type).toBe('MigrationUndone');
    expect(ended.message).toMatch(/\d+ commands on the passthrough path .* within 300 ms/);
    expectStayed(place);
    const { ledger } = ended.details as { ledger: IoLedger };
    expect(ledger).toMatchObject(clean);
    expect(suite.vm(place.fromHostId, place.vmId)).toMatchObject({
      identity: before.identity,
      facts: { path: 'kept' },
    });
  },
);

const BEFORE = [
  'reserveFunctions',
  'plugEmulatedPath',
  'switchToEmulatedPath',
  'drainPassthrough',
  'unplugPassthrough',
  'saveEmulatedDevice',
  'exposeFunctions',
  'suspendVm',
  'receiveVm',
  'relinquishVm',
] as const satisfies readonly VmStep[];
const AFTER = [
  'resumeMigratedVm',
  'plugPassthrough',
  'switchToPassthrough',
  'unplugEmulatedPath',
  'releaseMigratedVm',
  'verifyMigration',
] as const satisfies readonly VmStep[];

describe('faults', () => {
  test.concurrent.each(['fail-before', 'fail-after'] as const)(
    'every step that meets %s once is done by its next attempt',
    async (kind) => {
      const place = fresh('vm-01');
      const faults = [...BEFORE, ...AFTER].map((step) => ({ step, kind }));
      const result = await suite.run('migrateVm', { ...place, faults });
      expectMoved(place);
      expect(result).toMatchObject({ outcome: 'migrated', ledger: clean });
      expect(result.steps.map(({ attempts }) => attempts)).toEqual(faults.map(() => 2));
    },
  );

  test.concurrent('a step that never succeeds before the relinquish: undone', async () => {
    // One of each kind: on either host, with the VM running and with it dark.
    const steps = ['reserveFunctions', 'unplugPassthrough', 'receiveVm', 'relinquishVm'] as const;
    await Promise.all(
      steps.map(async (step) => {
        const place = fresh();
        const run = await suite.start('migrateVm', {
          ...place,
          blackoutBudget: '2s',
          faults: [failing(step)],
        });
        const ended = await ending(run);
        expect([step, ended.type]).toEqual([step, 'MigrationUndone']);
        expect(ended.message).toContain(step);
        expect(ended.details).toMatchObject({ ledger: clean });
        expectStayed(place);
      }),
    );
  });

  test.concurrent(
    'passthrough that cannot be plugged in at the destination: the VM runs on, degraded',
    async () => {
      const place = fresh('vm-01');
      const result = await suite.run('migrateVm', {
        ...place,
        faults: [{ step: 'plugPassthrough', kind: 'vf-gone' }],
      });
      expect(result).toMatchObject({ outcome: 'degraded', ledger: clean });
      expect(result.reason).toContain('no function any more');
      expect(result.functions[0]?.after).toBeNull();
      expect(runningOn(place)).toEqual([place.toHostId]);
      expect(suite.vm(place.toHostId, place.vmId).dataPath).toBe('emulated');
    },
  );

  test.concurrent(
    'a destination that is slow to resume the VM is tried again, since there is no way back',
    async () => {
      const place = fresh();
      const result = await suite.run('migrateVm', {
        ...place,
        blackoutBudget: '4s',
        // With the pauses between them these attempts take about 8 s.
        faults: [{ step: 'resumeMigratedVm', kind: 'fail-before', times: 20 }],
      });
      expectMoved(place);
      expect(result).toMatchObject({ outcome: 'migrated', withinBudget: false, ledger: clean });
    },
  );
});

describe('a cancel', () => {
  test.concurrent.each(['drainPassthrough', 'receiveVm'] as const)(
    'at %s is heard, and everything is undone',
    async (step) => {
      const place = fresh();
      const run = await startedAt(place, step);
      await run.cancel();
      expect((await ending(run)).type).toBe('Cancelled');
      expectStayed(place);
    },
  );

  test.concurrent(
    'after the relinquish is too late: the VM goes all the way, then the run ends as cancelled',
    async () => {
      const place = fresh();
      const run = await startedAt(place, 'resumeMigratedVm');
      await run.cancel();
      expect((await ending(run)).type).toBe('Cancelled');
      expect(await detailsOf(run)).toContain(`runs on ${place.toHostId}`);
      expectMoved(place);
    },
  );
});

describe('after a run that was terminated', () => {
  test.concurrent.each(['plugEmulatedPath', 'unplugPassthrough', 'relinquishVm'] as const)(
    'at %s the next undoes what it left, and moves the VM',
    async (step) => {
      const place = fresh();
      const run = await startedAt(place, step);
      await run.terminate();
      // What was under way at the host when the run ended may have crossed: then the next goes forward.
      await suite.until(hostOf(place, step), place.vmId, step, 'result');
      expect(await suite.run('migrateVm', place)).toMatchObject({
        outcome: 'migrated',
        ledger: clean,
      });
      expectMoved(place);
    },
  );

  test.concurrent.each([
    'resumeMigratedVm',
    'plugPassthrough',
    'releaseMigratedVm',
    'verifyMigration',
  ] as const)('at %s the next goes forward', async (step) => {
    const place = fresh();
    // An attempt of the last step may take minutes, so it is surely still under way.
    const last = { step: 'verifyMigration', kind: 'slow', delay: '10s' } as const;
    const run = await startedAt(place, step, step === last.step ? { faults: [last] } : {});
    await run.terminate();
    const next = await suite.run('migrateVm', place);
    expect(next).toMatchObject({ outcome: 'migrated', ledger: clean });
    expect(next.steps.map((s) => s.name)).not.toContain('suspendVm');
    expectMoved(place);
  });

  test.concurrent('to another host than the next: what was kept there is given back', async () => {
    const place = fresh('vm-02');
    const run = await startedAt(place, 'exposeFunctions');
    await run.terminate();
    const elsewhere = { ...place, toHostId: freshEmptyHost() };
    expect(await suite.run('migrateVm', elsewhere)).toMatchObject({ outcome: 'migrated' });
    expect(functionsOf(place.toHostId, place.vmId)).toEqual([]);
    expectMoved(elsewhere);
  });

  test.concurrent(
    'a migration to another host of a VM that was relinquished is refused: only forward',
    async () => {
      const place = fresh('vm-03');
      const run = await startedAt(place, 'resumeMigratedVm');
      await run.terminate();
      const ended = await suite.fails('migrateVm', { ...place, toHostId: freshEmptyHost() });
      expect(ended.type).toBe('MigrationUnfinished');
      expect(ended.message).toContain(place.toHostId);
      expect(await suite.run('migrateVm', place)).toMatchObject({ outcome: 'migrated' });
      const again = await suite.fails('migrateVm', place);
      expect(again.type).toBe('UnknownVm');
      expect(again.message).toContain(`migrated to ${place.toHostId}`);
    },
  );
});
