/** How long the host tries a step of a list: by its own clock, which stands still here unless a test moves it. */
import type { StepLimits, VmStep } from '../../../contract/steps';
import type { InMemoryHosts } from './in-memory-driver';
import { HOST, SAVED, TestHosts, TestList, all, of } from './issuing';

let test: TestHosts;
let hosts: InMemoryHosts;
beforeEach(() => {
  test = new TestHosts('vm-01');
  ({ hosts } = test);
});
afterEach(() => test.close());

const limited = (limited: VmStep, limits: StepLimits) =>
  TestList.ofSave(hosts, 'vm-01', { limits: (step) => (step === limited ? limits : {}) });

/** Attempts of a step, each of which takes so long by the host's clock, and fails as long as it is to. */
function fails(step: VmStep, forMs: number, eachMs: number) {
  const attempts: number[] = [];
  hosts.world.justBefore = (at) => {
    if (at !== step) return;
    attempts.push(test.nowMs);
    test.nowMs += eachMs;
    if (test.nowMs - (attempts[0] ?? 0) <= forMs) throw new Error('the device is busy');
  };
  return {
    attempts,
    /** From the beginning of the first attempt to the end of the last one. */
    triedForMs: () => (attempts.at(-1) ?? 0) + eachMs - (attempts[0] ?? 0),
  };
}

describe('a step that fails', () => {
  it('for half a second is done in the end, where it may fail for a second', async () => {
    const list = await limited('saveVm', { failingMs: 1_000, latestDarkMs: 8_000 });
    const { attempts } = fails('saveVm', 500, 100);
    const askers = list.askAll();
    expect(await all(askers)).toMatchObject({ saveVm: 'done', tearDownSyntheticAdapter: 'done' });
    expect(attempts).toHaveLength(6);
    expect(of(askers, 'saveVm').settled).toMatchObject({ outcome: { attempts: 6 } });
    expect(list.done).toEqual(SAVED);
  });

  it('for two seconds is given up after one, and what it came to is kept', async () => {
    const list = await limited('saveVm', { failingMs: 1_000, latestDarkMs: 8_000 });
    const failing = fails('saveVm', 2_000, 100);
    const askers = list.askAll();
    expect(await all(askers)).toMatchObject({
      saveVm: 'HostStepFailed',
      awaitResume: 'notReached',
    });
    // Counted from the end of the first attempt, when it is known that it failed.
    expect(failing.triedForMs()).toBe(1_100);
    expect(of(askers, 'saveVm').settled).toMatchObject({
      error: {
        isForGood: true,
        what: 'saveVm was given up after 11 attempts: the device is busy',
        facts: { attempt: 11 },
      },
    });
    expect(hosts.store.failure(HOST, list.key('saveVm'))).toMatchObject({ facts: { attempt: 11 } });
    expect(list.done).toEqual(['pauseVm']);
  });

  it('shares its time with the steps of its list that failed before it', async () => {
    const limits = { failingMs: 1_000, latestDarkMs: 8_000, attemptMs: 5_000 };
    const list = await TestList.ofSave(hosts, 'vm-01', { limits });
    hosts.world.justBefore = (step) => {
      test.nowMs += 200;
      const { attempts = 0 } = hosts.store.vm(HOST, 'vm-01').mailbox ?? {};
      if (step === 'pauseVm' ? attempts < 4 : step === 'saveVm')
        throw new Error('the device is busy');
    };
    const askers = list.askAll();
    await all(askers);
    // Three attempts of the pause, from the end of the first 400 ms; the pause itself; then saveVm, at 800 and at 1,000.
    expect(of(askers, 'saveVm').settled).toMatchObject({ error: { facts: { attempt: 2 } } });
  });

  it('is tried again as long as its VM may be dark, and no attempt begins later', async () => {
    const list = await limited('saveVm', { latestDarkMs: 1_000 });
    const { attempts } = fails('saveVm', Infinity, 300);
    const pausedAtMs = test.nowMs;
    const said = await all(list.askAll());
    expect(['HostStepFailed', 'BlackoutBudgetSpent']).toContain(said['saveVm']);
    expect(attempts.map((ms) => ms - pausedAtMs)).toEqual([0, 300, 600, 900]);
  });

  it('with its VM dark for too long already has its least time all the same, and no more', async () => {
    const limits = { latestDarkMs: 1_000, atLeastMs: 1_500 };
    const list = await limited('tearDownSyntheticAdapter', limits);
    const { attempts } = fails('tearDownSyntheticAdapter', Infinity, 400);
    hosts.world.inTheMiddleOf = (step) => void (test.nowMs += step === 'saveVm' ? 5_000 : 0);
    const said = await all(list.askAll());
    expect(['HostStepFailed', 'BlackoutBudgetSpent']).toContain(said['tearDownSyntheticAdapter']);
    expect(attempts.map((ms) => ms - (attempts[0] ?? 0))).toEqual([0, 400, 800, 1_200]);
  });

  it('within its least time is done', async () => {
    const limits = { latestDarkMs: 1_000, atLeastMs: 1_500 };
    const list = await limited('tearDownSyntheticAdapter', limits);
    fails('tearDownSyntheticAdapter', 1_200, 400);
    hosts.world.inTheMiddleOf = (step) => void (test.nowMs += step === 'saveVm' ? 5_000 : 0);
    expect(await all(list.askAll())).toMatchObject({ tearDownSyntheticAdapter: 'done' });
    expect(list.done).toEqual(SAVED);
  });
});

describe('a step whose replies are all lost', () => {
  it.each([
    ['saveVm', { failingMs: 1_000, latestDarkMs: 8_000 }],
    ['tearDownSyntheticAdapter', { latestDarkMs: 1_000, atLeastMs: 1_500 }],
  ] as const)('ends: %s', async (step, limits) => {
    const list = await limited(step, limits);
    hosts.world.replyOf = (of) => {
      if (of !== step) return;
      test.nowMs += 200;
      throw new Error('the reply was lost');
    };
    const said = await all(list.askAll());
    expect(['HostStepFailed', 'BlackoutBudgetSpent']).toContain(said[step]);
    expect(list.done.filter((done) => done === step)).toEqual([step]);
  });
});

describe('an attempt that hangs', () => {
  it('is given up after its time; the next one observes what it did', async () => {
    const list = await limited('saveVm', { failingMs: 1_000, latestDarkMs: 8_000, attemptMs: 60 });
    let attempts = 0;
    hosts.world.inTheMiddleOf = (step) => {
      if (step !== 'saveVm') return;
      attempts += 1;
      if (attempts === 1) return new Promise(() => undefined);
    };
    const askers = list.askAll();
    expect(await all(askers)).toMatchObject({ saveVm: 'done' });
    expect(of(askers, 'saveVm').settled).toMatchObject({ outcome: { attempts: 2 } });
    expect(list.done).toEqual(SAVED);
  });

  it('every time is given up for good', async () => {
    const limits = { failingMs: 1_000, latestDarkMs: 8_000, attemptMs: 50 };
    const list = await limited('saveVm', limits);
    hosts.world.inTheMiddleOf = (step) => {
      if (step !== 'saveVm') return;
      test.nowMs += 400;
      return new Promise(() => undefined);
    };
    const askers = list.askAll();
    expect(await all(askers)).toMatchObject({ saveVm: 'NotReachedInTime' });
    expect(of(askers, 'saveVm').settled).toMatchObject({ error: { facts: { attempt: 4 } } });
    expect(list.done).toEqual(['pauseVm', 'saveVm']);
  });
});
