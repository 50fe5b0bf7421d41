/** Whatever the order in which calls arrive, askers leave, attempts fail and processes die: the rules of lists hold. */
import fc from 'fast-check';
import type * as Timers from 'node:timers/promises';
import { HoldfastError } from '../../../contract/failures';
import type { VmStep } from '../../../contract/steps';
import type { InMemoryHosts } from './in-memory-driver';
import { DEAD, HOST, SAVED, SAVE_LIST, TestHosts, TestList, named, type Asker } from './issuing';

// Two hundred lists in a few seconds: what is waited for between two attempts takes a twentieth of its time.
jest.mock('node:timers/promises', () => {
  const real: typeof Timers = jest.requireActual('node:timers/promises');
  return {
    ...real,
    setTimeout: (ms: number, value: unknown, options: object) =>
      real.setTimeout(ms / 20, value, options),
  };
});

const PAUSED_BEFORE = SAVE_LIST.slice(SAVE_LIST.indexOf('pauseVm') + 1);
const step = fc.constantFrom(...SAVE_LIST);
const event = fc.record({
  what: fc.oneof(
    { weight: 10, arbitrary: step.map((of) => ({ kind: 'ask', of }) as const) },
    { weight: 2, arbitrary: fc.nat(20).map((which) => ({ kind: 'leave', which }) as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'die' } as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'fence' } as const) },
  ),
  /** What happens before the next event: nothing, what was due at once, or some of the list. */
  then: fc.constantFrom('nothing', 'a microtask', 'a turn', 'a while'),
});
const failing = fc.record({
  of: fc.constantFrom(...SAVED),
  when: fc.constantFrom('justBefore', 'inTheMiddleOf', 'replyOf'),
  times: fc.integer({ min: 1, max: 2 }),
  forGood: fc.boolean(),
});
const course = fc.record({
  events: fc.array(event, { maxLength: 24 }),
  failures: fc.array(failing, { maxLength: 2 }),
  /** In which order the rest arrives at last. */
  order: fc.shuffledSubarray([...SAVE_LIST], { minLength: SAVE_LIST.length }),
  lost: fc.option(step, { freq: 4 }),
  isDark: fc.boolean(),
});
type Course = typeof course extends fc.Arbitrary<infer T> ? T : never;

/** One list of one VM, from its first call to its end, and what must never be seen of it. */
class Life {
  readonly askers: Asker[] = [];
  readonly wrong: string[] = [];
  fencedAt: number | null = null;
  #isDead = { is: false };

  private constructor(
    readonly test: TestHosts,
    readonly c: Course,
    readonly list: TestList,
    public process: InMemoryHosts,
  ) {
    this.#watch(process);
  }

  static async begin(c: Course): Promise<Life> {
    const test = new TestHosts('vm-01');
    const { hosts } = test;
    const save = await TestList.ofSave(hosts);
    const { generation } = save;
    if (c.isDark) await new TestList(hosts, 'vm-01', generation, ['pauseVm']).ask('pauseVm').answer;
    const limits = { failingMs: 1_000, latestDarkMs: 8_000 };
    const steps = c.isDark ? PAUSED_BEFORE : SAVE_LIST;
    const life = new Life(
      test,
      c,
      new TestList(hosts, 'vm-01', generation, steps, { limits }),
      hosts,
    );
    life.process = life.#next();
    return life;
  }

  /** Of the process that performs: what another has written shows in the next turn only. */
  get store() {
    return this.process.store;
  }
  get vm() {
    return this.store.vm(HOST, 'vm-01');
  }

  /** A process of its own, which alone performs from now on. */
  #next(): InMemoryHosts {
    const isDead = { is: false };
    this.#isDead = isDead;
    const process = this.test.anotherProcess(() => {
      if (isDead.is) throw new Error('the process is gone');
      return this.test.nowMs;
    });
    this.#watch(process);
    return process;
  }

  readonly #left = new Map<object, number>();
  #watch({ world }: InMemoryHosts): void {
    const hook = (when: 'justBefore' | 'inTheMiddleOf' | 'replyOf') => (of: string) => {
      this.test.nowMs += 10;
      for (const failure of this.c.failures) {
        const left = this.#left.get(failure) ?? failure.times;
        if (failure.when !== when || failure.of !== of || left === 0) continue;
        this.#left.set(failure, left - 1);
        if (failure.forGood) throw new HoldfastError('Refused', 'it cannot be.');
        throw new Error('not this time');
      }
    };
    world.justBefore = hook('justBefore');
    world.replyOf = hook('replyOf');
    const inTheMiddle = hook('inTheMiddleOf');
    world.inTheMiddleOf = (of) => {
      this.#mayHaveEffect(of);
      inTheMiddle(of);
    };
  }

  #mayHaveEffect(of: VmStep): void {
    const { steps } = this.list;
    if (!steps.includes(of)) return;
    const before = steps.slice(0, steps.indexOf(of));
    for (const each of before) {
      const result = this.store.result(HOST, this.list.key(each));
      if (result === undefined) this.wrong.push(`${of} has an effect before ${each} has a result`);
      if (result?.status === 'notReached') this.wrong.push(`${of} after the end of the list`);
    }
  }

  ask(of: VmStep): void {
    if (!this.list.steps.includes(of) || of === this.c.lost) return;
    this.askers.push(this.list.ask(of, this.process));
  }

  async does({ what, then }: Course['events'][number]): Promise<void> {
    if (what.kind === 'ask') this.ask(what.of);
    if (what.kind === 'leave') this.askers[what.which]?.leave();
    if (what.kind === 'die') this.#die();
    if (what.kind === 'fence') await this.#fence();
    if (then === 'a microtask') await Promise.resolve();
    if (then === 'a turn') await new Promise(setImmediate);
    if (then === 'a while') await new Promise((resolve) => setTimeout(resolve, 4));
  }

  /** With its askers. The next process goes on with dark VMs as it starts. */
  #die(): void {
    this.#isDead.is = true;
    for (const asker of this.askers) asker.leave();
    if (this.store.list(this.list.id) !== undefined) this.list.change({ performer: DEAD });
    this.process = this.#next();
    this.process.performers.goOn(HOST, 'vm-01');
  }

  async #fence(): Promise<void> {
    if (this.fencedAt !== null || this.vm.pointOfNoReturn !== null) return;
    await this.process.fenceOperation(HOST, 'vm-01', named('save of vm-01'));
    this.fencedAt = this.store.host(HOST).journalSeq;
  }

  /** What is asked for again and again by the server, until it is answered. */
  async ends(): Promise<void> {
    const wanted = this.c.order.filter((of) => this.list.steps.includes(of) && of !== this.c.lost);
    for (const of of wanted) this.ask(of);
    const last = this.askers.slice(-wanted.length);
    if (this.c.lost === null || !this.list.steps.includes(this.c.lost))
      for (const { answer } of last) await answer;
    else {
      // Of a dark VM what comes before the lost one is done, or answered; of one that runs, nothing.
      const before = this.list.steps.slice(0, this.list.steps.indexOf(this.c.lost));
      if (this.c.isDark)
        for (const asker of last) if (before.includes(asker.step)) await asker.answer;
      await new Promise(setImmediate);
      for (const asker of this.askers) asker.leave();
    }
    for (const { answer } of this.askers) await answer;
  }

  /** Who waits in vain is named, and not just waited for. */
  async inTime(): Promise<never> {
    await new Promise((resolve) => (this.#timer = setTimeout(resolve, 10_000)));
    const inVain = this.askers.filter(({ said }) => said === null).map(({ step: of }) => of);
    throw new Error(`nobody answers who asks for ${inVain.join(', ')}`);
  }
  #timer: NodeJS.Timeout | undefined;

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.test.close();
  }
}

it('each step has its effect at most once and in its turn, and whoever asks is answered', async () => {
  const seen = { done: 0, failed: 0, fenced: 0, lost: 0, died: 0 };
  await fc.assert(
    fc.asyncProperty(course, async (c) => {
      const life = await Life.begin(c);
      try {
        for (const each of c.events) await life.does(each);
        await Promise.race([life.ends(), life.inTime()]);
        const { list, store, askers, fencedAt } = life;
        expect(life.wrong).toEqual([]);
        const done = life.test.hosts.machine('vm-01').done.filter((of) => SAVED.includes(of));
        expect(done).toEqual(SAVED.slice(0, done.length));

        // Nothing follows upon a failure, nor begins after the fence.
        const failed = list.steps.findIndex(
          (of) => store.failure(HOST, list.key(of)) !== undefined,
        );
        const journal = store
          .journal(HOST, 0, 10_000)
          .filter((e) => e.generation === list.generation);
        if (failed >= 0) {
          const later = list.steps.slice(failed + 1);
          expect(journal.filter((e) => later.some((of) => of === e.step))).toEqual([]);
        }
        if (fencedAt !== null) {
          const late = journal.filter(
            ({ seq, kind, status }) =>
              seq > fencedAt && (kind === 'intent' || (kind === 'command' && status === 'done')),
          );
          expect(late).toEqual([]);
        }
        expect(askers.filter(({ said }) => said === null)).toEqual([]);
        const isLost = c.lost !== null && list.steps.includes(c.lost);
        if (isLost && !c.isDark) expect(done).toEqual([]);
        if (!isLost && failed < 0) expect(done).toEqual(SAVED);
        seen.done += Number(done.length === SAVED.length);
        seen.failed += Number(failed >= 0);
        seen.fenced += Number(fencedAt !== null);
        seen.lost += Number(isLost);
        seen.died += Number(c.events.some(({ what }) => what.kind === 'die'));
      } finally {
        await life.close();
      }
    }),
    { numRuns: 80, seed: 11, endOnFailure: true },
  );
  // Courses of every kind were among them.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(5);
});
