/** Lists that several processes have to do with, that outlive one, and that are withdrawn. */
import { spawn, type ChildProcess } from 'node:child_process';
import { DeadMan } from '../../../hosts/engine/dead-man';
import { processOf } from '../../../hosts/engine/process-identity';
import type { InMemoryHosts } from './in-memory-driver';
import {
  DEAD,
  HOST,
  SAVED,
  SAVE_LIST,
  TestHosts,
  TestList,
  aWhile,
  all,
  heldUp,
  named,
  of,
  until,
} from './issuing';

let test: TestHosts;
let hosts: InMemoryHosts;
const children: ChildProcess[] = [];
beforeEach(() => {
  test = new TestHosts('vm-01', 'vm-02');
  ({ hosts } = test);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await test.close();
});

/** A process that lives until it is killed, and does nothing. */
function someProcess() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  children.push(child);
  const identity = processOf(child.pid ?? 0);
  return { identity, kill: () => child.kill('SIGKILL') };
}

/** A process that has the books open and that can die: whatever it does then is refused, and changes nothing. */
function mortal() {
  let isDead = false;
  const process = test.anotherProcess(() => {
    if (isDead) throw new Error('the process is gone');
    return test.nowMs;
  });
  return {
    process,
    die: (list: TestList, performer = DEAD) => {
      isDead = true;
      list.change({ performer });
    },
  };
}

describe('a list that another live process performs', () => {
  it('has its askers here answered from its results, with the VM running and dark', async () => {
    const list = await TestList.ofSave(hosts);
    const here = test.anotherProcess();
    const held = heldUp(hosts, 'saveVm');
    // All but two are asked for there.
    const there = list.askAll(['pauseVm', 'tearDownSyntheticAdapter']);
    const other = someProcess();
    list.change({ performer: other.identity });
    const late = list.ask('tearDownSyntheticAdapter', here);
    await aWhile();
    expect(late.said).toBeNull();
    // The other one, which is this process in truth, goes on with the rest.
    list.change({ performer: processOf(process.pid) });
    there.set('pauseVm', list.ask('pauseVm'));
    await held.reached;
    list.change({ performer: other.identity });
    const dark = list.ask('saveVm', here);
    held.goOn();
    expect(await dark.answer).toMatchObject({ outcome: { status: 'done', attempts: 1 } });
    list.change({ performer: processOf(process.pid) });
    expect(await late.answer).toMatchObject({ outcome: { status: 'done', attempts: 1 } });
    await all(there);
    expect(list.done).toEqual(SAVED);
  });

  it('goes on here when that process dies: the interrupted step is observed, and not done again', async () => {
    const list = await TestList.ofSave(hosts);
    const other = someProcess();
    const { process: dying, die } = mortal();
    const held = heldUp(dying, 'saveVm');
    const there = list.askAll([], dying);
    await held.reached;
    list.change({ performer: other.identity });
    const here = list.ask('awaitResume');
    await aWhile();
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
    die(list, other.identity);
    held.goOn();
    await aWhile();
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
    other.kill();
    await here.answer;
    expect(list.done).toEqual(SAVED);
    const saved = hosts.store.result(HOST, list.key('saveVm'));
    expect(saved).toMatchObject({ status: 'done', attempts: 2 });
    expect(hosts.store.vm(HOST, 'vm-01').generation).toBe(list.generation);
    for (const asker of there.values()) asker.leave();
  });

  it('is begun and performed although some of its calls came there, and some here', async () => {
    const list = await TestList.ofSave(hosts);
    const other = test.anotherProcess();
    const askers = new Map(
      SAVE_LIST.map((step, i) => [step, list.ask(step, i % 2 === 0 ? hosts : other)]),
    );
    const said = await all(askers);
    expect(said).toMatchObject({ pauseVm: 'done', tearDownSyntheticAdapter: 'done' });
    expect(list.done).toEqual(SAVED);
  });
});

describe('a list whose process has died', () => {
  it('is gone on with, with its VM dark, by whoever starts, although nobody asks', async () => {
    const list = await TestList.ofSave(hosts);
    const { process: dying, die } = mortal();
    const held = heldUp(dying, 'pauseVm');
    list.askAll([], dying);
    await held.reached;
    // Paused, and nothing of it is in the books: by these the VM runs.
    die(list);
    held.goOn();
    hosts.performers.goOn(HOST, 'vm-01');
    await aWhile();
    expect(list.done).toEqual(['pauseVm']);
    // Whoever asks for the pause has it observed.
    await list.ask('pauseVm').answer;
    await until(() => list.done.length === SAVED.length);
    expect(list.done).toEqual(SAVED);
  });

  it('and whose VM runs waits for somebody who asks', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['awaitResume']);
    for (const asker of askers.values()) asker.leave();
    list.ask('awaitResume').leave();
    list.change({ performer: DEAD });
    const next = test.anotherProcess();
    next.performers.goOn(HOST, 'vm-01');
    await aWhile();
    expect(list.done).toEqual([]);
    await all(list.askAll([], next));
    expect(list.done).toEqual(SAVED);
  });

  // The budget is 10 s, of which 2 s are the restore's.
  it.each([
    [7_999, 'gone on with', SAVED],
    [8_001, 'taken back', ['pauseVm', 'saveVm', 'unsaveVm', 'resumeVm']],
  ] as const)('before the mark, after %d ms in the dark, is %s', async (darkMs, _, steps) => {
    const list = await TestList.ofSave(hosts);
    const { process: dying, die } = mortal();
    const held = heldUp(dying, 'saveVm');
    list.askAll([], dying);
    await held.reached;
    die(list);
    held.goOn();
    await aWhile();
    test.nowMs += darkMs;
    const stop = new AbortController();
    const watching = new DeadMan(hosts, () => undefined).watch(stop.signal);
    const { done } = hosts.machine('vm-01');
    try {
      await until(() => done.length > steps.length);
    } finally {
      stop.abort();
      await watching;
    }
    expect(done.slice(0, steps.length + 1)).toEqual(['disableOptimizations', ...steps]);
  });

  it('is left alone if it is of an earlier boot', async () => {
    const { generation } = await TestList.ofSave(hosts);
    await all(new TestList(hosts, 'vm-01', generation, ['pauseVm']).askAll());
    const list = new TestList(hosts, 'vm-01', generation, ['saveSyntheticAdapter', 'saveVm']);
    await list.ask('saveSyntheticAdapter').answer;
    hosts.store.updateList(list.id, (stored) => {
      const calls = [
        ...(stored?.calls ?? []),
        { step: 'saveVm', call: list.call('saveVm') } as const,
      ];
      return { ...list.id, bootId: 'an earlier one', performer: DEAD, calls };
    });
    hosts.performers.goOn(HOST, 'vm-01');
    await aWhile();
    expect(list.done).toEqual([]);
    list.change({ bootId: (await hosts.describe(HOST)).bootId });
    hosts.performers.goOn(HOST, 'vm-01');
    await until(() => list.done.includes('saveVm'));
  });
});

describe('a process that is stopped with SIGTERM', () => {
  it('performs what it has begun with a dark VM, and begins with no other', async () => {
    const list = await TestList.ofSave(hosts);
    const other = await TestList.ofSave(hosts, 'vm-02');
    const held = heldUp(hosts, 'saveVm');
    list.askAll();
    await held.reached;
    let isStopped = false;
    const stopping = hosts.performers.stop(60_000).then(() => (isStopped = true));
    other.askAll();
    await aWhile();
    expect(isStopped).toBe(false);
    held.goOn();
    await stopping;
    expect(list.done).toEqual(SAVED);
    expect(other.done).toEqual([]);
  });

  it.each(['succeeds', 'fails when the VM is dark'])(
    'in the middle of a pause that %s, does not leave that VM alone',
    async (end) => {
      const list = await TestList.ofSave(hosts);
      const held = heldUp(hosts, 'pauseVm');
      list.askAll();
      await held.reached;
      let lost = end === 'succeeds' ? 0 : 1;
      hosts.world.replyOf = (step) => {
        if (step === 'pauseVm' && lost-- > 0) throw new Error('the reply was lost');
      };
      let isStopped = false;
      const stopping = hosts.performers.stop(60_000).then(() => (isStopped = true));
      await aWhile();
      expect(isStopped).toBe(false);
      held.goOn();
      await stopping;
      expect(list.done).toEqual(SAVED);
    },
  );

  it('does not wait for ever for a VM that stays dark', async () => {
    const list = await TestList.ofSave(hosts);
    const held = heldUp(hosts, 'saveVm');
    list.askAll();
    await held.reached;
    await hosts.performers.stop(100);
    held.goOn();
  });
});

describe('withdrawUnlessCrossed', () => {
  const withdraw = () => hosts.withdrawUnlessCrossed(HOST, 'vm-01', named('save of vm-01'));

  it('before the pause ends the list, and the VM has not been paused', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['awaitResume']);
    expect(await withdraw()).toMatchObject({ crossed: false, generation: list.generation + 1 });
    askers.set('awaitResume', list.ask('awaitResume'));
    const { awaitPause, ...rest } = await all(askers);
    expect(awaitPause).toBe('Fenced');
    expect(new Set(Object.values(rest))).toEqual(new Set(['notReached']));
    expect(list.done).toEqual([]);
  });

  it('while the VM is dark ends the list after the step under way, and it can be undone', async () => {
    const list = await TestList.ofSave(hosts);
    const held = heldUp(hosts, 'saveVm');
    const askers = list.askAll();
    await held.reached;
    const { crossed, generation } = await withdraw();
    expect({ crossed, generation }).toEqual({ crossed: false, generation: list.generation + 1 });
    held.goOn();
    expect(await all(askers)).toMatchObject({
      ...{ saveVm: 'Fenced', crossPointOfNoReturn: 'notReached', awaitResume: 'notReached' },
    });
    const steps = ['unsaveVm', 'resumeVm'] as const;
    await all(new TestList(hosts, 'vm-01', generation, steps, { direction: 'undo' }).askAll());
    expect(hosts.machine('vm-01').state).toMatchObject({ running: true, saved: false });
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
  });

  it('after the mark gives no new generation, and the list goes on to its end', async () => {
    const list = await TestList.ofSave(hosts);
    const held = heldUp(hosts, 'tearDownSyntheticAdapter');
    const askers = list.askAll();
    await held.reached;
    expect(await withdraw()).toMatchObject({ crossed: true, generation: list.generation });
    held.goOn();
    expect(await all(askers)).toMatchObject({ tearDownSyntheticAdapter: 'done' });
    expect(list.done).toEqual(SAVED);
    expect(of(askers, 'awaitResume').said).toBe('notApplicable');
  });
});
