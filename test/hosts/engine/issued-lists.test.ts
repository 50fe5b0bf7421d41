/** Who asks, who performs, and what of it is done when either is gone: the rules of issued lists. */
import type { InMemoryHosts } from './in-memory-driver';
import {
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
beforeEach(() => {
  test = new TestHosts('vm-01', 'vm-02');
  ({ hosts } = test);
});
afterEach(() => test.close());

const runs = (vmId = 'vm-01') => hosts.machine(vmId).state.running;
/** `saveVm` fails for good; each later step is answered `notReached`. */
const failsForGood = (vmId = 'vm-01') => {
  hosts.world.inTheMiddleOf = async (step, whose) => {
    if (step !== 'saveVm' || whose !== vmId) return;
    await hosts.fenceOperation(HOST, vmId, named(`save of ${vmId}`));
  };
};
const AFTER_FAILURE = SAVE_LIST.slice(SAVE_LIST.indexOf('saveVm') + 1);

describe('a list', () => {
  it('is performed in its order, whichever way its calls arrive', async () => {
    for (const [vmId, steps] of [
      ['vm-01', SAVE_LIST],
      ['vm-02', [...SAVE_LIST].reverse()],
    ] as const) {
      const list = await TestList.ofSave(hosts, vmId);
      const askers = new Map(steps.map((step) => [step, list.ask(step)]));
      expect(await all(askers)).toMatchObject({
        ...{ awaitPause: 'notApplicable', pauseVm: 'done', saveSyntheticAdapter: 'notApplicable' },
        ...{ saveVm: 'done', crossPointOfNoReturn: 'done', tearDownSyntheticAdapter: 'done' },
      });
      expect(list.done).toEqual(SAVED);
    }
  });

  it('pauses no VM while one of its calls is missing, and does so when that one comes', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['resetVpciBusInterface']);
    await aWhile();
    expect([...askers.values()].filter(({ said }) => said !== null)).toEqual([]);
    expect(list.done).toEqual([]);
    askers.set('resetVpciBusInterface', list.ask('resetVpciBusInterface'));
    await all(askers);
    expect(list.done).toEqual(SAVED);
  });

  it('begins with the call that completes it also when that comes just as it is found incomplete', async () => {
    const list = await TestList.ofSave(hosts);
    const { store } = hosts;
    const askers = list.askAll(['awaitPause', 'awaitResume']);
    await aWhile();
    askers.set('awaitResume', list.ask('awaitResume'));
    // Between the look that found no first step and the end of the performance.
    await Promise.resolve();
    askers.set('awaitPause', list.ask('awaitPause'));
    await all(askers);
    expect(store.list(list.id)?.calls).toHaveLength(SAVE_LIST.length);
    expect(list.done).toEqual(SAVED);
  });

  it('has a step once that is asked for by several, and each of them is answered the same', async () => {
    const list = await TestList.ofSave(hosts);
    const held = heldUp(hosts, 'saveVm');
    const askers = list.askAll();
    await held.reached;
    const again = ['pauseVm', 'saveVm', 'saveVm', 'awaitResume'] as const;
    const others = again.map((step) => list.ask(step));
    held.goOn();
    await all(askers);
    for (const other of others)
      expect(await other.answer).toMatchObject({
        outcome: { attempts: 1, evidence: {}, status: of(askers, other.step).said },
      });
    // And whoever asks when all is over.
    for (const step of SAVED)
      expect(await list.ask(step).answer).toMatchObject({ outcome: { attempts: 1 } });
    expect(list.done).toEqual(SAVED);
    expect(hosts.store.list(list.id)?.calls).toHaveLength(SAVE_LIST.length);
  });

  it('issued before a reboot of the host pauses no VM, and its steps fail with that reason', async () => {
    const list = await TestList.ofSave(hosts);
    const early = list.askAll(['awaitResume']);
    list.change({ bootId: 'an earlier one' });
    const askers = new Map([...early, ['awaitResume', list.ask('awaitResume')] as const]);
    const { awaitPause, ...rest } = await all(askers);
    expect(awaitPause).toBe('HostStepFailed');
    expect(new Set(Object.values(rest))).toEqual(new Set(['notReached']));
    expect(list.done).toEqual([]);
  });
});

describe('after a failure for good', () => {
  it('what follows is answered that it was not reached, with why, and is never begun', async () => {
    const list = await TestList.ofSave(hosts);
    failsForGood();
    const askers = list.askAll();
    const said = await all(askers);
    expect(AFTER_FAILURE.map((step) => said[step])).toEqual(AFTER_FAILURE.map(() => 'notReached'));
    expect(said['saveVm']).toBe('Fenced');
    expect(of(askers, 'crossPointOfNoReturn').settled).toMatchObject({
      outcome: { reason: expect.stringContaining('saveVm failed: '), attempts: 0 },
    });
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
    // A repeat is answered the same, by this process and by the next.
    for (const by of [hosts, test.anotherProcess()]) {
      expect(await list.ask('saveVm', by).answer).toMatchObject({
        error: { type: 'Fenced', isForGood: true },
      });
      await list.ask('awaitResume', by).answer;
    }
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
  });

  it.each(['in order', 'in reverse'])(
    'calls that come late to a dark VM, one by one and %s, are answered and not performed',
    async (order) => {
      const { generation } = await TestList.ofSave(hosts);
      // The VM is dark already, so that nothing waits until all calls are there.
      const first = new TestList(hosts, 'vm-01', generation, ['pauseVm']);
      await all(first.askAll());
      const steps = SAVE_LIST.slice(SAVE_LIST.indexOf('pauseVm') + 1);
      const list = new TestList(hosts, 'vm-01', generation, steps);
      hosts.world.inTheMiddleOf = (step) => {
        if (step === 'saveVm') hosts.port.refuseUncrossable(hosts.store.objects(HOST, 'vm-01'));
      };
      const early = steps.slice(0, steps.indexOf('saveVm') + 1);
      for (const step of early) await list.ask(step).answer;
      expect(hosts.store.failure(HOST, list.key('saveVm'))).toMatchObject({ type: 'Refused' });
      hosts.world.inTheMiddleOf = () => undefined;
      const late = order === 'in order' ? AFTER_FAILURE : [...AFTER_FAILURE].reverse();
      const askers = late.map((step) => list.ask(step));
      for (const { answer } of askers)
        expect(await answer).toMatchObject({ outcome: { status: 'notReached' } });
      expect(hosts.machine('vm-01').done.slice(1)).toEqual(['pauseVm', 'saveVm']);
      expect(hosts.store.vm(HOST, 'vm-01').pointOfNoReturn).toBeNull();
    },
  );
});

describe('whoever asks', () => {
  it('for pauseVm and has gone before its turn, pauses nobody; a repeat does', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['awaitResume']);
    of(askers, 'pauseVm').leave();
    await of(askers, 'pauseVm').answer;
    askers.set('awaitResume', list.ask('awaitResume'));
    await of(askers, 'awaitPause').answer;
    await aWhile();
    expect(runs()).toBe(true);
    expect(of(askers, 'pauseVm').said).toBe('NotReachedInTime');
    askers.set('pauseVm', list.ask('pauseVm'));
    expect(await all(askers)).toMatchObject({ pauseVm: 'done' });
    expect(list.done).toEqual(SAVED);
  });

  it('and had gone before it asked, pauses nobody', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['pauseVm']);
    await expect(
      hosts.ask('pauseVm', list.call('pauseVm'), AbortSignal.abort()),
    ).rejects.toMatchObject({ type: 'NotReachedInTime' });
    await aWhile();
    expect(runs()).toBe(true);
    expect(of(askers, 'saveVm').said).toBeNull();
  });

  it('is one of two: the other still has the VM paused', async () => {
    const list = await TestList.ofSave(hosts);
    const askers = list.askAll(['awaitResume']);
    const other = list.ask('pauseVm');
    of(askers, 'pauseVm').leave();
    askers.set('awaitResume', list.ask('awaitResume'));
    expect(await other.answer).toMatchObject({ outcome: { status: 'done' } });
  });

  it('and goes when the VM is dark, stops nothing; a repeat joins and is answered with the result', async () => {
    const list = await TestList.ofSave(hosts);
    const held = heldUp(hosts, 'saveVm');
    const askers = list.askAll();
    await held.reached;
    for (const asker of askers.values()) asker.leave();
    expect(await of(askers, 'saveVm').answer).toMatchObject({
      error: { type: 'NotReachedInTime' },
    });
    const repeat = list.ask('saveVm');
    held.goOn();
    expect(await repeat.answer).toMatchObject({ outcome: { status: 'done', attempts: 1 } });
    await until(() => list.done.length === SAVED.length);
    expect(list.done).toEqual(SAVED);
    expect(await all(list.askAll())).toMatchObject({ tearDownSyntheticAdapter: 'done' });
  });
});

describe('answers of a dark stretch', () => {
  /** Both VMs are dark; the list of the first ends, and its VM runs again. */
  const undone = async (vmId: string) => {
    const { generation } = await TestList.ofSave(hosts, vmId);
    await all(new TestList(hosts, vmId, generation, ['pauseVm']).askAll());
    return (steps: readonly ['resumeVm'] | readonly ['unsaveVm', 'resumeVm']) =>
      new TestList(hosts, vmId, generation, steps, { direction: 'undo' });
  };

  it('go out when all VMs of the host run, at the moment that the last one does', async () => {
    const [first, second] = [await undone('vm-01'), await undone('vm-02')];
    const held = heldUp(hosts, 'resumeVm', 'vm-02');
    const last = second(['resumeVm']).askAll();
    await held.reached;
    const began = performance.now();
    const early = first(['resumeVm']).ask('resumeVm');
    await until(() => runs('vm-01'));
    await aWhile();
    expect(early.said).toBeNull();
    held.goOn();
    await all(last);
    await early.answer;
    // Before the time of those that are held for long.
    expect(performance.now() - began).toBeLessThan(1_400);
  });

  it('wait no longer than a while for a VM that stays dark', async () => {
    const [first, second] = [await undone('vm-01'), await undone('vm-02')];
    const held = heldUp(hosts, 'resumeVm', 'vm-02');
    second(['resumeVm']).askAll();
    await held.reached;
    const began = performance.now();
    await first(['resumeVm']).ask('resumeVm').answer;
    expect(performance.now() - began).toBeGreaterThan(1_400);
    expect(runs('vm-02') && hosts.store.vm(HOST, 'vm-02').pausedAtMs === null).toBe(false);
    held.goOn();
  });

  it('go out at once when a list of the host fails for good', async () => {
    const [first] = [await undone('vm-01')];
    const second = await TestList.ofSave(hosts, 'vm-02');
    failsForGood('vm-02');
    const held = heldUp(hosts, 'pauseVm', 'vm-02');
    const askers = second.askAll();
    await held.reached;
    const began = performance.now();
    const early = first(['resumeVm']).ask('resumeVm');
    await until(() => runs('vm-01'));
    await aWhile();
    expect(early.said).toBeNull();
    failsForGood('vm-02');
    held.goOn();
    await early.answer;
    expect(await of(askers, 'saveVm').answer).toMatchObject({ error: { type: 'Fenced' } });
    expect(await all(askers)).toMatchObject({ pauseVm: 'done', awaitResume: 'notReached' });
    expect(performance.now() - began).toBeLessThan(1_400);
  });

  it('go out at once when their list ends with its VM dark, since what comes next is not known here', async () => {
    const list = await TestList.ofSave(hosts);
    const began = performance.now();
    await all(list.askAll());
    expect(runs()).toBe(false);
    expect(performance.now() - began).toBeLessThan(1_400);
  });

  it('of a list that never had its VM dark hold no others up', async () => {
    const { generation } = await TestList.ofSave(hosts, 'vm-02');
    const list = new TestList(hosts, 'vm-02', generation, ['awaitPause']);
    await all(list.askAll());
    expect(runs('vm-02')).toBe(true);
    const first = await undone('vm-01');
    const began = performance.now();
    await first(['resumeVm']).ask('resumeVm').answer;
    expect(performance.now() - began).toBeLessThan(1_400);
  });
});
