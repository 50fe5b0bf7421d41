import { HoldfastError } from '../../contract/failures';
import type { StepCall, StepOutcome, VmStep } from '../../contract/steps';
import { Answer, type Settled } from './answers';
import { BOOT_ID } from './clock';
import { Darkness } from './darkness';
import { breakBarrier } from './gates';
import { chainOf, isPerformedHere, keyOf } from './issued';
import { undoIfLeftAlone } from './left-alone';
import type { Performers } from './performers';
import { THIS_PROCESS, hasEnded, isThisProcess } from './process-identity';
import type { CoreObjects, IssuedList, IssuedStep } from './state';
import { StepAttempts, asHoldfastError } from './step-attempts';
import type { ListId } from './store';
import { OVER } from './waiting';

/** How soon it is found out that the process which performs a list has died, ms. */
const LOOK_EVERY_MS = 50;
/** Those of the operation before may still be asked for by activities that come late. */
const KEPT_GENERATIONS = 8;
/** What is known of a step for good: whether anything follows upon it, and why if not. */
interface Known {
  readonly isEnd: boolean;
  readonly isFailure: boolean;
  readonly why: string;
}

/** Performs one list of one VM in its order; only the process that has claimed it does. */
export class ListPerformer<O extends CoreObjects> {
  readonly #answers = new Map<VmStep, Answer>();
  /** Steps whose outcome is known for good. */
  readonly #known = new Map<VmStep, Known>();
  #list: IssuedList | undefined;
  readonly #darkness: Darkness<O>;
  readonly #attempts: StepAttempts<O>;
  #isUnderWay = false;
  /** There is something new to look at here. */
  #isWoken = false;
  #wake: AbortController | undefined;
  /** What is known of its steps and waits to go out; null: the list has ended, and its answers are not held. */
  #held: (() => void)[] | null = [];
  constructor(
    private readonly all: Performers<O>,
    readonly name: string,
    private readonly id: ListId,
  ) {
    this.#darkness = new Darkness(all, id);
    this.#attempts = new StepAttempts(all, this.#darkness);
  }

  /** A step is under way: its VM is dark, or may be at its end. Nobody may be left alone with it. */
  isNeeded = false;

  async asked(step: VmStep, call: StepCall, signal: AbortSignal): Promise<StepOutcome> {
    const answer = this.#answers.get(step) ?? new Answer();
    this.#answers.set(step, answer);
    answer.waiting += 1;
    const leave = () => {
      answer.waiting -= 1;
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      this.#arrive(step, call);
      this.goOn();
      return await answer.promise;
    } finally {
      signal.removeEventListener('abort', leave);
      if (!signal.aborted) leave();
    }
  }

  goOn(): void {
    this.#isWoken = true;
    this.#wake?.abort(OVER);
    this.#list = undefined;
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    void this.#performAll();
  }

  #arrive(step: VmStep, call: StepCall): void {
    const { store } = this.all;
    const { hostId, vmId, generation, direction } = this.id;
    store.updateList(this.id, (list) => {
      if (list?.calls.some((issued) => issued.step === step) === true) return list;
      if (list === undefined) store.dropLists(hostId, vmId, generation - KEPT_GENERATIONS);
      const calls = [...(list?.calls ?? []), { step, call }];
      const fresh = { vmId, generation, direction, bootId: BOOT_ID, performer: null };
      return { ...(list ?? fresh), calls };
    });
  }

  async #performAll(): Promise<void> {
    try {
      // A call may arrive between the look that found nothing to do and the end of it.
      do await this.#perform();
      while (this.#isWoken);
    } catch (error) {
      // The performer failed, not a step. The waiting activities get the error and ask again.
      for (const answer of this.#answers.values()) answer.settle({ error: asHoldfastError(error) });
      this.#answers.clear();
    } finally {
      this.#isUnderWay = false;
      // Nothing is under way here that others would have to wait for, and nobody who waits is left.
      this.all.held.vmIs(this.id.hostId, this.id.vmId, false);
      this.all.ended(this);
    }
  }

  /** Until nothing is left that can be done now. The next call that arrives, or asks again, begins anew. */
  async #perform(): Promise<void> {
    const { store } = this.all;
    const { hostId, vmId } = this.id;
    for (;;) {
      this.#isWoken = false;
      const seen = store.changes.seen([{ hostId, vmId }]);
      const list = this.#listNow();
      const next = list === undefined ? undefined : this.#next(list);
      if (next === undefined) this.#leaveToItsRun();
      if (next !== undefined && list?.bootId !== BOOT_ID) {
        const why = 'the host has started anew since it was issued';
        this.#failed(next.step, new HoldfastError('HostStepFailed', `${why}.`, {}, true));
        continue;
      }
      const mayBegin = list !== undefined && next !== undefined && this.#mayBegin(list, next);
      if (mayBegin && (isPerformedHere(list) || this.#claimed())) {
        if (this.#isDark) this.all.held.vmIs(hostId, vmId, true);
        this.isNeeded = true;
        await this.#untilKnown(next).finally(() => (this.isNeeded = false));
        continue;
      }
      // Another process may have the calls that are missing here, or whoever asks for the next step, or performs it.
      if (!mayBegin && list !== undefined && isPerformedHere(list)) this.#leaveToOthers();
      if (!mayBegin && !this.#isAskedForAnything) return;
      this.#wake = new AbortController();
      const lookAgainMs = store.nowMs() + LOOK_EVERY_MS;
      await store.changes.after([{ hostId, vmId }], seen, this.#wake.signal, lookAgainMs);
    }
  }

  /** Read again when a call has arrived here, or when others may have changed it. */
  #listNow(): IssuedList | undefined {
    if (this.#list === undefined || !isPerformedHere(this.#list))
      this.#list = this.all.store.list(this.id);
    return this.#list;
  }

  get #isAskedForAnything(): boolean {
    return [...this.#answers.values()].some(({ waiting }) => waiting > 0);
  }

  #leaveToOthers(): void {
    this.#list = undefined;
    this.all.store.updateList(this.id, (list) => {
      if (list === undefined) throw new HoldfastError('NotReachedInTime', `${this.name} is gone.`);
      return isPerformedHere(list) ? { ...list, performer: null } : list;
    });
  }

  /** The first step that has no result yet and may follow; answers those that have one. */
  #next({ calls }: IssuedList): IssuedStep | undefined {
    for (let isMoreKnown = true; isMoreKnown;) {
      isMoreKnown = false;
      for (const { step, call } of calls) {
        if (this.#known.has(step) && !this.#answers.has(step)) continue;
        const after = call.list?.after ?? null;
        if (after !== null && !this.#known.has(after)) continue;
        if (after !== null && this.#known.get(after)?.isEnd === true) this.#notReached(step, after);
        const settled = this.#settledBefore(step);
        if (settled === undefined) continue;
        isMoreKnown ||= !this.#known.has(step);
        this.#knows(step, settled);
        this.#settle(step, settled);
      }
    }
    return calls.find(({ step, call: { list } }) => {
      const after = list?.after ?? null;
      return !this.#known.has(step) && (after === null || this.#known.has(after));
    });
  }

  /** Nothing follows upon a failure, upon what was not reached, or upon a step that says so. */
  #knows(step: VmStep, settled: Settled): void {
    if ('error' in settled) {
      const why = `${step} failed: ${settled.error.what}`;
      this.#known.set(step, { isEnd: true, isFailure: true, why });
      return;
    }
    const { status, reason = '' } = settled.outcome;
    const isEnd = status === 'notReached' || this.all.engine.endsList(step, reason);
    this.#known.set(step, { isEnd, isFailure: false, why: reason });
  }

  /** A step that never began is answered so, and not with a failure that would hide why. */
  #notReached(step: VmStep, after: VmStep): void {
    const { store } = this.all;
    const { hostId } = this.id;
    if (store.result(hostId, this.#key(step)) !== undefined) return;
    store.putResult(hostId, this.#key(step), {
      ...{ status: 'notReached', reason: this.#known.get(after)?.why ?? '' },
      ...{ hostTimeMs: store.nowMs(), ms: 0, attempts: 0, evidence: {} },
    });
  }

  #settledBefore(step: VmStep): Settled | undefined {
    const { store } = this.all;
    const { hostId } = this.id;
    const failure = store.failure(hostId, this.#key(step));
    if (failure !== undefined)
      return { error: new HoldfastError(failure.type, failure.what, failure.facts, true) };
    const result = store.result(hostId, this.#key(step));
    return result === undefined
      ? undefined
      : { outcome: { ...result, darkForMs: this.#darkness.forMs } };
  }

  /**
   * With the VM running a list begins when all of it has arrived, and each of its steps only while somebody asks for it:
   * nobody pauses a VM for a run that is gone. Once the VM is dark nothing is waited for.
   */
  #mayBegin({ calls }: IssuedList, { step, call: { list } }: IssuedStep): boolean {
    if (this.#isDark) return true;
    const isComplete = chainOf(calls, step).length === list?.length;
    const isAskedFor = (this.#answers.get(step)?.waiting ?? 0) > 0;
    return isComplete && isAskedFor && !this.all.stopping.aborted;
  }

  /** A failure for good ends the list: its run decides what comes next, or the host, if it does not. */
  #leaveToItsRun(): void {
    const failed = [...this.#known.values()].find(({ isFailure }) => isFailure);
    if (failed === undefined || this.id.direction !== 'forward') return;
    this.all.undoing(this.name, () => undoIfLeftAlone(this.all, this.id, failed.why));
  }

  /** By compare and swap: two processes never perform one list. */
  #claimed(): boolean {
    this.#list = undefined;
    const { performer } = this.all.store.updateList(this.id, (list) => {
      if (list === undefined) throw new HoldfastError('NotReachedInTime', `${this.name} is gone.`);
      const isFree = list.performer === null || hasEnded(list.performer);
      return isFree ? { ...list, performer: THIS_PROCESS } : list;
    });
    return performer !== null && isThisProcess(performer);
  }

  async #untilKnown(issued: IssuedStep): Promise<void> {
    const { step } = issued;
    const attempted = await this.#attempts.untilKnown(issued);
    if ('outcome' in attempted) this.#done(step, attempted.outcome);
    else if ('failure' in attempted) this.#failed(step, attempted.failure);
    else {
      this.#answers.get(step)?.settle({ error: attempted.untilAskedAgain });
      this.#answers.delete(step);
    }
  }

  #done(step: VmStep, outcome: StepOutcome): void {
    const { hostId } = this.id;
    const { darkForMs, ...recorded } = outcome;
    this.#darkness.answered(darkForMs);
    // The engine keeps the results of what has had an effect; the order needs the others as well.
    if (this.all.store.result(hostId, this.#key(step)) === undefined)
      this.all.store.putResult(hostId, this.#key(step), recorded);
    this.#knows(step, { outcome });
    const isOver = this.#isOver(step);
    // Answers wait from the first step of a list on, so that none goes out while its VM pauses, until the VM runs.
    const goesOn = !isOver && this.#known.get(step)?.isEnd === false;
    this.all.held.vmIs(hostId, this.id.vmId, goesOn || this.#isDark);
    this.#settle(step, { outcome });
    // What comes next for this VM is decided by its run: nothing is won by keeping it from it.
    if (isOver && this.#isDark) this.#letGo();
  }

  #letGo(): void {
    for (const goOut of this.#held?.splice(0) ?? []) goOut();
    this.#held = null;
  }

  #isOver(step: VmStep): boolean {
    const calls = this.#listNow()?.calls ?? [];
    const chain = chainOf(calls, step);
    const length = calls.find((issued) => issued.step === step)?.call.list?.length;
    return chain.length === length && chain.at(-1) === step;
  }

  #failed(step: VmStep, error: HoldfastError): void {
    const { store } = this.all;
    const { hostId, vmId } = this.id;
    const { type, what, facts } = error;
    store.update(hostId, vmId, (o) => {
      store.putFailure(hostId, this.#key(step), { type, what, facts });
      const { generation } = this.id;
      const entry = { vmId, step, generation, kind: 'failed', command: null } as const;
      store.append(o.host, { ...entry, status: type, detail: `given up: ${what}` });
      // The others of its host hear of it at once, and not when its run does.
      const { lease, pointOfNoReturn } = o.vm;
      const isOfRun =
        lease?.servicing !== undefined && lease.servicing === o.host.servicing?.generation;
      if (isOfRun && lease.generation === generation && pointOfNoReturn === null)
        breakBarrier(o.host, o.vm, what);
    });
    this.#knows(step, { error });
    this.#settle(step, { error });
    this.#letGo();
    this.all.held.letGo(hostId);
  }

  #settle(step: VmStep, settled: Settled): void {
    const answer = this.#answers.get(step);
    if (answer === undefined) return;
    this.#answers.delete(step);
    const goOut = () => {
      answer.settle(settled);
    };
    if ('error' in settled || this.#held === null) goOut();
    else {
      this.#held.push(goOut);
      this.all.held.whenFree(this.id.hostId, goOut);
    }
  }

  get #isDark(): boolean {
    return this.#darkness.isDark;
  }

  #key(step: VmStep): string {
    return keyOf(this.id, step);
  }
}
