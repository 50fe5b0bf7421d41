/** Migration by direct driver calls: the two variants, every crash, what is refused, and what the dead-man does. */
import { setTimeout as delay } from 'node:timers/promises';
import { DeadMan } from '../../../../hosts/engine/dead-man';
import { hostNowMs } from '../../../../hosts/engine/clock';
import { darkForMs } from '../../../../hosts/engine/phase';
import { deadManLooks, failsAs, fault } from '../simulated-fleet';
import { Died, FROM, Move, TO, TwoHosts } from './two-hosts';

let fleet: TwoHosts;
afterEach(() => fleet.close());

const clean = { lost: 0, executedTwice: 0, outOfOrder: 0 };

/** The VM is where it was, on its function, and nothing of the attempt is left on either host. */
function expectUndone(functions: Record<string, number>): void {
  expect(fleet.runningOn()).toEqual([FROM]);
  expect(fleet.vm(FROM)).toMatchObject({ phase: 'running', holder: null, dataPath: 'vf' });
  expect(fleet.functions()).toEqual(functions);
  expect(fleet.store.host(TO).vmIds).toEqual([]);
  fleet.expectUnharmed();
}

/** The VM is at the destination, on its function, and nothing of it is left at the source. */
function expectMoved(functions: number): void {
  expect(fleet.runningOn()).toEqual([TO]);
  expect(fleet.vm(TO)).toMatchObject({ phase: 'running', holder: null, dataPath: 'vf' });
  expect(fleet.functions()).toEqual({ [FROM]: 0, [TO]: functions });
  expect(fleet.store.host(FROM).vmIds).toEqual([]);
  expect(fleet.store.host(TO).vmIds).toEqual(['vm-01']);
  fleet.expectUnharmed();
}

describe.each(['emulated-path', 'unplug-replug'] as const)('by %s', (method) => {
  test('a VM moves: nothing lost, nothing executed twice, every queue in order', async () => {
    fleet = new TwoHosts();
    const move = await Move.begin(fleet, { method });
    await move.go();
    expectMoved(1);
    expect(move.ledger).toMatchObject(clean);
    expect(move.ledger?.completed).toBeGreaterThan(20);
    expect(fleet.vm(TO).facts).toMatchObject({
      path: 'reattached',
      guestVisibleEvents: method === 'emulated-path' ? 4 : 2,
    });
  });

  test('the process dies at any write: whoever goes on ends with one VM that runs', async () => {
    let dead = 0;
    // Every write of the one, every third of the other, for the time that it takes.
    const stride = method === 'emulated-path' ? 1 : 3;
    for (let write = 1; ; write += stride) {
      fleet = new TwoHosts();
      const functions = fleet.functions();
      const move = await Move.begin(fleet, { method });
      fleet.store.writesLeft = write;
      const died = await move.go().then(
        () => false,
        (error: unknown) => {
          if (!(error instanceof Died)) throw error;
          return true;
        },
      );
      fleet.store.writesLeft = Infinity;
      expect(fleet.runningOn().length).toBeLessThanOrEqual(1);
      if (!died) break;
      dead += 1;
      // Either the run goes on with the same keys, or it undoes what it did: by turns.
      const released = fleet.objects(FROM).vm.lease === null;
      if (released || write % 2 === 0) {
        await move.go({ again: true });
        expectMoved(1);
      } else if (await move.fence()) {
        await move.go({ from: 'relinquishVm', again: true });
        expectMoved(1);
      } else {
        await move.undo();
        expectUndone(functions);
      }
      expect(move.ledger).toMatchObject(clean);
      await fleet.close();
    }
    expect(dead).toBeGreaterThan(20);
  }, 120_000);
});

describe('of a VM with several adapters', () => {
  test.each([
    ['two NICs on two PFs', 'vm-02', 2],
    ['two NICs on one PF', 'vm-03', 2],
    ['a NIC and an NVMe controller', 'vm-04', 2],
    ['a NIC without a function, and one with', 'vm-05', 1],
    ['no function at all', 'vm-06', 0],
  ])('%s', async (_what, vmId, functions) => {
    fleet = new TwoHosts({ vms: 6, adapters: 'mixed' });
    const before = fleet.functions()[FROM] ?? 0;
    const move = await Move.begin(fleet, { vmId });
    await move.go();
    expect(
      fleet
        .objects(TO, vmId)
        .vm.adapters.every(({ wantsVf, guest }) => wantsVf === (guest.dataPath === 'vf')),
    ).toBe(true);
    expect(fleet.functions()).toEqual({ [FROM]: before - functions, [TO]: functions });
    expect(fleet.runningOn(vmId)).toEqual([TO]);
    expect(move.ledger).toMatchObject(clean);
    fleet.expectUnharmed();
  });

  test('an NVMe controller that is taken away and given anew: its I/O waits in the guest meanwhile', async () => {
    fleet = new TwoHosts({ vms: 4, adapters: 'mixed' });
    const move = await Move.begin(fleet, { vmId: 'vm-04', method: 'unplug-replug' });
    await move.go();
    expect(move.ledger).toMatchObject(clean);
    expect(fleet.vm(TO, 'vm-04').facts.adapters).toMatchObject([
      { dataPath: 'vf' },
      { dataPath: 'vf' },
    ]);
    fleet.expectUnharmed();
  });

  test('an NVMe namespace is reached by two controllers, whose states are flipped', async () => {
    fleet = new TwoHosts({ vms: 4, adapters: 'mixed' });
    const move = await Move.begin(fleet, { vmId: 'vm-04' });
    await move.go({ before: 'switchToEmulatedPath' });
    const paths = () =>
      fleet.objects(FROM, 'vm-04').vm.migration?.functions.find(({ kind }) => kind === 'nvme')?.io
        .paths;
    expect(paths()).toMatchObject({
      passthrough: { access: 'optimized' },
      emulated: { access: 'nonOptimized' },
    });
    await move.perform('source', 'switchToEmulatedPath');
    expect(paths()).toMatchObject({
      passthrough: { access: 'nonOptimized' },
      emulated: { access: 'optimized' },
    });
    expect(fleet.commands(FROM)).toContain('NVMe.AttachNamespace');
  });
});

describe('what is refused', () => {
  beforeEach(() => {
    fleet = new TwoHosts();
  });

  test('unplugging a path that is not drained', async () => {
    const move = await Move.begin(fleet, { faults: [fault('drainPassthrough', 'stuck-command')] });
    await move.go({ before: 'drainPassthrough' });
    fleet.store.update(FROM, 'vm-01', ({ vm }) => {
      const path = vm.migration?.functions[0]?.io.paths.passthrough;
      if (path != null) path.stuck = true;
    });
    await expect(move.perform('source', 'unplugPassthrough')).rejects.toMatchObject(
      failsAs('Refused', /open commands/),
    );
  });

  test('a suspension while a function is passed through', async () => {
    const move = await Move.begin(fleet);
    await expect(move.perform('source', 'suspendVm')).rejects.toMatchObject(
      failsAs('Refused', /passed through/),
    );
    expect(fleet.runningOn()).toEqual([FROM]);
  });

  test('a package that is damaged, or of another migration', async () => {
    const move = await Move.begin(fleet);
    await move.go({ before: 'suspendVm' });
    const { package: good } = (await move.perform('source', 'suspendVm')).evidence;
    if (good === undefined) throw new Error('nothing was packed');
    move.hand({ package: { ...good, content: `${good.content} ` } });
    await expect(move.perform('destination', 'receiveVm')).rejects.toMatchObject(
      failsAs('Refused', /damaged/),
    );
    move.hand({ package: { ...good, migrationId: 'another' } });
    await expect(move.perform('destination', 'receiveVm')).rejects.toMatchObject(
      failsAs('Refused', /is of another/),
    );
  });

  test('to relinquish a VM that the destination has not received', async () => {
    const move = await Move.begin(fleet);
    await move.go({ before: 'receiveVm' });
    await expect(move.perform('source', 'relinquishVm')).rejects.toMatchObject(
      failsAs('Refused', /has not received/),
    );
    expect(fleet.vm(FROM).phase).toBe('paused');
  });

  test('to resume a VM at the destination that its source has not relinquished', async () => {
    const move = await Move.begin(fleet);
    await move.go({ before: 'relinquishVm' });
    await expect(move.perform('destination', 'resumeMigratedVm')).rejects.toMatchObject(
      failsAs('Refused', /has not relinquished/),
    );
    move.hand({ proof: { migrationId: 'x', checksum: 'y', toHostId: TO } });
    await expect(move.perform('destination', 'resumeMigratedVm')).rejects.toMatchObject(
      failsAs('Refused', /has not relinquished/),
    );
    expect(fleet.runningOn()).toEqual([]);
  });

  test('to resume a VM on the source that has relinquished it', async () => {
    const move = await Move.begin(fleet);
    await move.go({ before: 'resumeMigratedVm' });
    await expect(move.perform('source', 'resumeAtSource')).rejects.toMatchObject(
      failsAs('Refused', /only forward/),
    );
    expect(fleet.runningOn()).toEqual([]);
  });

  test('a late relinquish, after the dead-man has taken the VM', async () => {
    const move = await Move.begin(fleet, { blackoutBudgetMs: 100 });
    await move.go({ before: 'relinquishVm' });
    await withDeadMan(() => fleet.vm(FROM).phase === 'running');
    await expect(move.perform('source', 'relinquishVm')).rejects.toMatchObject({ type: 'Fenced' });
    expect(fleet.runningOn()).toEqual([FROM]);
  });

  test('a save, a restore or a servicing step of a VM that is migrated, has left or is on its way', async () => {
    const move = await Move.begin(fleet);
    const begin = (hostId: string, kind: 'beginSave' | 'beginRestore') =>
      fleet.hosts[kind]({
        hostId,
        vmId: 'vm-01',
        holder: { workflowId: 'other', runId: 'run-1' },
        parent: null,
        settings: move.leases.source.settings,
        faults: [],
        takeOverFrom: move.holder,
      });
    await expect(begin(FROM, 'beginSave')).rejects.toMatchObject({ type: 'MigrationUnfinished' });
    await expect(begin(TO, 'beginSave')).rejects.toMatchObject(failsAs('UnknownVm', /on its way/));
    await move.go();
    await expect(begin(FROM, 'beginSave')).rejects.toMatchObject(
      failsAs('UnknownVm', /went to host-02/),
    );
    await expect(begin(TO, 'beginRestore')).rejects.toMatchObject({ type: 'NoRecord' });
  });
});

describe('a destination that does not fit is told all that is wrong, and nothing is changed', () => {
  test('a VM of this name, an older stack, no free function', async () => {
    fleet = new TwoHosts({ emptyHosts: 0 });
    fleet.store.updateHost(FROM, ({ host }) => {
      host.versions.vmWorkerProcess = '2.0.0';
    });
    fleet.store.update(FROM, 'vm-01', ({ vm }) => {
      vm.workerProcess.version = '2.0.0';
    });
    fleet.store.update(TO, 'vm-01', ({ pfs }) => {
      for (const pf of pfs) Object.assign(pf, { iovVfCapacity: pf.iovVfUsage });
    });
    const before = fleet.functions();
    await expect(Move.begin(fleet)).rejects.toMatchObject({
      type: 'DestinationUnfit',
      facts: {
        reasons: [
          'it has a VM named vm-01 already',
          'its stack 1.0.0 cannot read the state of a VM that runs on 2.0.0',
          'nic-0 needs 2 network functions of one device, and pf-0 has 0 free',
        ],
      },
    });
    expect(fleet.functions()).toEqual(before);
    expect(fleet.objects(TO).vm.lease).toBeNull();
  });

  test('a host that is being serviced is busy', async () => {
    fleet = new TwoHosts();
    const holder = { workflowId: 'service-host/host-02', runId: 'run-1' };
    await fleet.hosts.acquireHost(TO, holder);
    await expect(Move.begin(fleet)).rejects.toMatchObject({ type: 'HostBusy', facts: { holder } });
    expect(fleet.store.findVm(TO, 'vm-01')).toBeUndefined();
  });

  test('NVMe controllers of another storage', async () => {
    fleet = new TwoHosts({ vms: 4, adapters: 'mixed' });
    const pfs = fleet.store
      .pfs(TO)
      .map((pf) => (pf.kind === 'nvme' ? { ...pf, subsystemNqn: 'nqn.other' } : pf));
    fleet.store.putHost(fleet.store.host(TO), pfs, []);
    await expect(Move.begin(fleet, { vmId: 'vm-04' })).rejects.toMatchObject(
      failsAs('DestinationUnfit', /reaches namespace 1 .*which nvme-0 uses/),
    );
  });
});

/** The dead-man of both hosts looks until something has come about. */
async function withDeadMan(until: () => boolean): Promise<void> {
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, () => undefined).watch(stop.signal);
  const deadline = Date.now() + 10_000;
  while (!until()) {
    if (Date.now() > deadline) throw new Error('the dead-man has not done it');
    await delay(20);
  }
  stop.abort();
  await watching;
}

describe('a run that is gone', () => {
  test('before the relinquish: the dead-man brings the VM back on its source, with its function', async () => {
    fleet = new TwoHosts();
    const functions = fleet.functions();
    const move = await Move.begin(fleet, { blackoutBudgetMs: 200 });
    await move.go({ before: 'relinquishVm' });
    await withDeadMan(() => fleet.vm(FROM).phase === 'running');
    expect(fleet.vm(FROM)).toMatchObject({ dataPath: 'vf', holder: null });
    expect(fleet.runningOn()).toEqual([FROM]);
    // What the destination has kept goes to the next run, which begins anew.
    const next = await Move.begin(fleet, { run: 'run-2', takeOverFrom: move.holder });
    expect(next.leases.source.stage).toBe('new');
    await next.go();
    expectMoved(functions[FROM] ?? 0);
  });

  test('after the relinquish: nobody resumes the VM on its source; the next run goes forward', async () => {
    fleet = new TwoHosts();
    const move = await Move.begin(fleet, { blackoutBudgetMs: 100 });
    await move.go({ before: 'resumeMigratedVm' });
    const stop = new AbortController();
    const watching = new DeadMan(fleet.hosts, () => undefined).watch(stop.signal);
    while (darkForMs(fleet.objects(FROM).vm.partition, hostNowMs()) <= 100) await delay(10);
    await deadManLooks(fleet.store, 3);
    stop.abort();
    await watching;
    expect(fleet.runningOn()).toEqual([]);
    expect(fleet.vm(FROM).phase).toBe('relinquished');
    expect(fleet.vm(TO).phase).toBe('incoming');

    const next = await Move.begin(fleet, { run: 'run-2', takeOverFrom: move.holder });
    expect(next.leases.source.stage).toBe('relinquished');
    await next.perform('source', 'relinquishVm');
    await next.go({ from: 'resumeMigratedVm' });
    expectMoved(1);
    expect(next.ledger).toMatchObject(clean);
  });

  test('after the source was released: the next run verifies', async () => {
    fleet = new TwoHosts();
    const move = await Move.begin(fleet);
    await move.go({ before: 'verifyMigration' });
    const next = await Move.begin(fleet, { run: 'run-2', takeOverFrom: move.holder });
    expect(next.leases.source.stage).toBe('released');
    expect(next.leases.destination?.stage).toBe('resumed');
    await next.go({ from: 'verifyMigration' });
    expectMoved(1);
  });
});

test('there and back again, several times: generations rise, nothing is left behind', async () => {
  fleet = new TwoHosts();
  for (const run of ['run-1', 'run-2', 'run-3', 'run-4']) {
    const there = fleet.runningOn()[0] === FROM;
    const move = await Move.begin(fleet, { run, ...(there ? {} : { from: TO, to: FROM }) });
    await move.go();
    expect(fleet.runningOn()).toEqual([there ? TO : FROM]);
    expect(fleet.functions()).toEqual(there ? { [FROM]: 0, [TO]: 1 } : { [FROM]: 1, [TO]: 0 });
    expect(move.ledger).toMatchObject(clean);
    fleet.expectUnharmed();
  }
});

test('an emulated path that is kept serves the next migration', async () => {
  fleet = new TwoHosts();
  const first = await Move.begin(fleet);
  await first.go({ before: 'unplugEmulatedPath' });
  await first.go({ from: 'releaseMigratedVm' });
  expect(fleet.functions()).toEqual({ [FROM]: 0, [TO]: 2 });
  const next = await Move.begin(fleet, { run: 'run-2', from: TO, to: FROM });
  await next.go();
  expect(fleet.functions()).toEqual({ [FROM]: 1, [TO]: 0 });
  expect(next.ledger).toMatchObject(clean);
  fleet.expectUnharmed();
});

test('the functions of the source stay allocated until it is released', async () => {
  fleet = new TwoHosts();
  const move = await Move.begin(fleet);
  await move.go({ before: 'releaseMigratedVm' });
  expect(fleet.functions()).toEqual({ [FROM]: 2, [TO]: 1 });
  await move.go({ from: 'releaseMigratedVm' });
  expect(fleet.functions()).toEqual({ [FROM]: 0, [TO]: 1 });
});
