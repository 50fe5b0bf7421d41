/** Whoever asked, performed or decided is gone, or does not come back: nobody waits for them without end. */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../../contract/failures';
import { issuedAhead, restoreFlow } from '../../../contract/flows';
import { DeadMan } from '../../../hosts/engine/dead-man';
import type { InMemoryHosts } from './in-memory-driver';
import {
  DEAD,
  HOST,
  SETTINGS,
  TestHosts,
  TestList,
  aWhile,
  all,
  heldUp,
  named,
  of,
  request,
  until,
} from './issuing';

let test: TestHosts;
let hosts: InMemoryHosts;
beforeEach(() => {
  test = new TestHosts('vm-01', 'vm-02');
  ({ hosts } = test);
});
afterEach(() => test.close());

const runs = (vmId: string) => hosts.machine(vmId).state.running;
const vm = () => hosts.store.vm(HOST, 'vm-01');
const diskIsFull = () => new HoldfastError('Refused', 'the disk is full.');

async function watched(by: InMemoryHosts, during: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const watching = new DeadMan(by, () => undefined).watch(over.signal);
  try {
    await during();
  } finally {
    over.abort();
    await watching;
  }
}

/** The first time this step hangs, and hears nothing. */
function hangsOnce(by: InMemoryHosts, step: string): void {
  let isFirst = true;
  by.world.inTheMiddleOf = (each) => {
    if (each !== step || !isFirst) return;
    isFirst = false;
    return new Promise(() => undefined);
  };
}

it('the gate is not opened for a caller who is gone, also where another VM of the host is dark', async () => {
  // That one is saved by itself, and stays so.
  await all((await TestList.ofSave(hosts, 'vm-02')).askAll());
  const run = named('run');
  const call = { hostId: HOST, generation: await hosts.acquireHost(HOST, run) };
  await hosts.armServicing(call, {
    update: { component: 'vpciVsp', version: '2.0.0' },
    vms: [{ vmId: 'vm-01', mode: 'modified' }],
    ...{ settings: SETTINGS, parallelism: 4, faults: [] },
  });
  await hosts.performHost('stageUpdate', call, new AbortController().signal);
  const { generation } = await hosts.beginRestore(request('vm-01', named('restore'), run));
  const restore = new TestList(hosts, 'vm-01', generation, issuedAhead(restoreFlow(SETTINGS)));
  const save = await TestList.ofSave(hosts, 'vm-01', { holder: named('save'), parent: run });
  const caller = new AbortController();
  const opening = hosts
    .askHost('openGate', call, caller.signal)
    .catch((error: HoldfastError) => error.type);
  await delay(20);
  caller.abort();
  expect(await opening).toBe('NotReachedInTime');
  void hosts.askHost('commitUpdate', call, new AbortController().signal).catch(() => undefined);
  restore.askAll();
  save.askAll();
  await aWhile();
  expect([hosts.store.host(HOST).servicing?.pauseUntilMs, runs('vm-01')]).toEqual([null, true]);
});

it('an attempt of the dead-man that hangs is superseded', async () => {
  const list = await TestList.ofSave(hosts);
  list.askAll();
  const held = heldUp(hosts, 'saveVm');
  await held.reached;
  const other = test.anotherProcess();
  hangsOnce(other, 'resumeVm');
  test.nowMs += 20_000;
  await watched(other, () => until(() => vm().lease === null));
  held.goOn();
});

it('a step that was issued by itself and hangs is superseded when its attempt is over', async () => {
  const { generation } = await hosts.beginSave(request('vm-01', named('save')));
  const call = { hostId: HOST, vmId: 'vm-01', generation, direction: 'forward' } as const;
  hangsOnce(hosts, 'disableOptimizations');
  const ask = () =>
    hosts
      .ask('disableOptimizations', { ...call, attemptMs: 50 }, new AbortController().signal)
      .then(({ status }) => status)
      .catch((error: HoldfastError) => error.type);
  expect([await ask(), await ask()]).toEqual(['NotReachedInTime', 'done']);
});

it('a process whose undo has failed does not wait for a VM that somebody else has taken', async () => {
  const list = await TestList.ofSave(hosts);
  const held = heldUp(hosts, 'saveVm');
  list.askAll();
  await held.reached;
  hosts.world.justBefore = (step) => {
    if (step === 'unsaveVm') throw diskIsFull();
  };
  held.fail(diskIsFull());
  await until(() => vm().lease?.kind === 'recovery');
  await aWhile();
  test.nowMs += 20_000;
  await hosts.takeForDeadMan(HOST, 'vm-01');
  const stopped = hosts.performers.stop(60_000).then(() => 'stopped');
  expect(await Promise.race([stopped, delay(10_000, 'waits')])).toBe('stopped');
});

it('a failure for good whose process dies before it has undone it is undone by whoever goes on', async () => {
  const list = await TestList.ofSave(hosts);
  const held = heldUp(hosts, 'saveVm');
  const askers = list.askAll();
  await held.reached;
  // It dies right after the record.
  hosts.performers.undoing = () => undefined;
  held.fail(diskIsFull());
  await all(askers);
  list.change({ performer: DEAD });
  const deadlineMs = vm().deadlineMs ?? 0;
  await watched(test.anotherProcess(), () => until(() => runs('vm-01')));
  expect(test.nowMs).toBeLessThan(deadlineMs);
});

it('before the mark, late, a list whose process lives is left to it', async () => {
  const list = await TestList.ofSave(hosts);
  const held = heldUp(hosts, 'saveVm');
  const askers = list.askAll();
  await held.reached;
  test.nowMs += 9_000;
  await watched(test.anotherProcess(), aWhile);
  expect(vm().generation).toBe(list.generation);
  held.goOn();
  expect(await all(askers)).toMatchObject({ saveVm: 'done' });
});

it('a list that has ended has its answers although its VM stays dark, and another one is', async () => {
  const other = await TestList.ofSave(hosts, 'vm-02');
  const held = heldUp(hosts, 'saveVm', 'vm-02');
  other.askAll();
  await held.reached;
  // Nothing goes out because no VM is dark any more, or because enough time has passed.
  hosts.performers.held.whenFree = () => undefined;
  const askers = (await TestList.ofSave(hosts, 'vm-01')).askAll();
  await until(() => of(askers, 'tearDownSyntheticAdapter').said !== null);
  expect(of(askers, 'saveVm').said).toBe('done');
  held.goOn();
});
