import { setTimeout as delay } from 'node:timers/promises';
import { FAILURES, HoldfastError } from '../../contract/failures';
import type { StepCall, StepLimits, StepOutcome, VmStep } from '../../contract/steps';
import { Answer, type Settled } from './answers';
import { BOOT_ID } from './clock';
import { reasonOf } from './commands';
import { breakBarrier } from './gates';
import { chainOf, isPerformedHere, keyOf } from './issued';
import { fence } from './leases';
import type { Performers } from './performers';
import { THIS_PROCESS, hasEnded, isThisProcess } from './process-identity';
import type { CoreObjects, IssuedList, IssuedStep } from './state';
import { UNCHANGED, type ListId } from './store';
import { OVER, notWaitedFor, within } from './waiting';

/** Between two attempts of a step while its VM is dark: soon again, and often enough. */
const RETRY = { firstMs: 50, factor: 1.5, longestMs: 500 };
/** How soon it is found out that the process which performs a list has died, ms. */
const LOOK_EVERY_MS = 50;
/** So long a failure for good waits for its run to decide, ms. */
const DECIDED_WITHIN_MS = 500;
/** So long the lease of a VM that the host has taken back by itself waits for its run, ms. */
const GIVEN_BACK_WITHIN_MS = 5_000;
const NEVER = new AbortController().signal;
/** An undo that nobody has asked for has no other way: it is tried as long as the dead-man lets it. */
const UNDO_LIMITS: StepLimits = { attemptMs: 2_000, atLeastMs: 10_000 };
const BEGINS_BLACKOUT: ReadonlySet<VmStep> = new Set<VmStep>(['pauseVm', 'suspendVm']);
/** Those of the operation before may still be asked for by activities that come late. */
const KEPT_GENERATIONS = 8;
/** What is known of a step for good: whether anything follows upon it, and why if not. */
interface Known {
  readonly isEnd: boolean;
  readonly isFailure: boolean;
  readonly why: string;
}

/** When a step began, by the host's clock, and how long its VM had been dark then, ms. */
interface Began {
  readonly atMs: number;
  readonly darkMs: number;
}

/** Performs one list of one VM in its order; only the process that has claimed it does. */
export class ListPerformer<O extends CoreObjects> {
  readonly #answers = new Map<VmStep, Answer>();
  /** Steps whose outcome is known for good. */
  readonly #known = new Map<VmStep, Known>();
  #list: IssuedList | undefined;
  /** How dark the VM was at the latest answer of a step; null: unknown. */
  #dark: { readonly forMs: number; readonly atMs: number } | null = null;
  readonly #attempts = new Map<VmStep, number>();
  #isUnderWay = false;
  /** There is something new to look at here. */
  #isWoken = false;
  #wake: AbortController | undefined;
  /** What is known of its steps and waits to go out; null: the list has ended, and its answers are not held. */
  #held: (() => void)[] | null = [];
  /** When the first attempt of a step that may be given up failed, by the host's clock. */
  #failingSinceMs: number | null = null;

  constructor(
    private readonly all: Performers<O>,
    readonly name: string,
    private readonly id: ListId,
  ) {}

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
      // What is not known to be a failure of a step is told to those who wait, who ask again.
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
      if (next === undefined) this.all.undoing(this, () => this.#undoIfLeftAlone());
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
      : { outcome: { ...result, darkForMs: this.#darkForMs } };
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

  /**
   * A save that failed for good is its run's to take back. Where no decision comes soon, the server or the run may be dead:
   * the VM does not wait for them.
   */
  async #undoIfLeftAlone(): Promise<void> {
    const { store, port } = this.all;
    const { hostId, vmId, direction, generation } = this.id;
    const failed = [...this.#known.values()].find(({ isFailure }) => isFailure);
    if (failed === undefined || direction !== 'forward') return;
    const isLeftAlone = () => {
      const { lease, pointOfNoReturn } = store.vm(hostId, vmId);
      const isHeld = lease?.kind === 'save' && lease.generation === generation;
      return isHeld && pointOfNoReturn === null && this.all.isDark(hostId, vmId);
    };
    if (!isLeftAlone()) return;
    await delay(DECIDED_WITHIN_MS);
    const fenced = store.update(hostId, vmId, (o) => {
      const { lease } = o.vm;
      if (lease === null || !isLeftAlone()) return UNCHANGED;
      const operation = fence(port, o, lease.holder, failed.why);
      const entry = { vmId, step: 'fenceOperation', generation: operation.generation } as const;
      const detail = `its run has decided nothing within ${DECIDED_WITHIN_MS} ms`;
      store.append(o.host, {
        ...{ ...entry, kind: 'result', command: null, status: operation.phase, detail },
      });
      return operation;
    });
    if (fenced === UNCHANGED) return;
    await port.fence?.(hostId, vmId, fenced.generation);
    const undo = { hostId, vmId, generation: fenced.generation, direction: 'undo' } as const;
    this.all.issue(undo, port.undoSteps(store.vm(hostId, vmId)), UNDO_LIMITS);
    const seen = () => store.changes.seen([{ hostId, vmId }]);
    for (let at = seen(); this.all.isDark(hostId, vmId); at = seen())
      await store.changes.after([{ hostId, vmId }], at, NEVER, store.nowMs() + LOOK_EVERY_MS);
    // It runs; hold and lease are its run's to give back, or, where there is none any more, the dead-man's.
    store.update(hostId, vmId, ({ vm, nowMs }) => {
      if (vm.lease?.generation !== fenced.generation) return UNCHANGED;
      vm.deadlineMs = nowMs + GIVEN_BACK_WITHIN_MS;
      return vm.deadlineMs;
    });
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

  /** Attempt after attempt, until the step has a result or has failed for good. */
  async #untilKnown({ step, call }: IssuedStep): Promise<void> {
    const { engine, store, stopping } = this.all;
    const began = { atMs: store.nowMs(), darkMs: this.#darkForMs };
    let waitMs = RETRY.firstMs;
    for (;;) {
      const attempt = (this.#attempts.get(step) ?? 0) + 1;
      this.#attempts.set(step, attempt);
      const isDark = this.#isDark;
      if (stopping.aborted && !isDark) throw notWaitedFor(`${step} of ${call.vmId}`);
      try {
        const limits = this.#limits(call, began);
        // A VM that is dark is not left alone; one that runs is.
        const signals = isDark ? [] : [stopping];
        const outcome = await within(
          limits.attemptMs,
          signals,
          (signal) => engine.perform(step, { ...call, ...limits }, signal),
          `${step} of ${call.vmId}`,
        );
        this.#done(step, outcome);
        return;
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        // Not by how it was before: the attempt may have paused it.
        this.#dark = null;
        if (stopping.aborted && !this.#isDark) throw error;
        const nowMs = store.nowMs();
        this.#failingSinceMs ??= nowMs;
        const { type, what, facts } = error;
        if (!FAILURES[type].retryable) {
          this.#failed(step, new HoldfastError(type, what, { ...facts, attempt }, true));
          return;
        }
        if (this.#isGivenUp(call, began)) {
          const why = `${step} was given up after ${attempt} attempts: ${what}`;
          this.#failed(step, new HoldfastError(type, why, { ...facts, attempt }, true));
          return;
        }
        if (BEGINS_BLACKOUT.has(step) && !this.#isDark) {
          // Only a live call begins another attempt: nobody pauses a VM for a run that is gone.
          this.#answers.get(step)?.settle({ error });
          this.#answers.delete(step);
          return;
        }
        await delay(waitMs);
        waitMs = Math.min(RETRY.longestMs, waitMs * RETRY.factor);
      }
    }
  }

  /** Before the mark a list that keeps failing; after it a step whose time is over, also if its VM seems to run by now. */
  #isGivenUp({ failingMs, latestDarkMs, atLeastMs = 0 }: StepCall, began: Began): boolean {
    const nowMs = this.all.store.nowMs();
    const forMs = nowMs - began.atMs;
    if (failingMs !== undefined) return nowMs - (this.#failingSinceMs ?? nowMs) >= failingMs;
    const leftMs = latestDarkMs === undefined ? 0 : latestDarkMs - began.darkMs;
    const isLimited = latestDarkMs !== undefined || atLeastMs > 0;
    return isLimited && forMs > Math.max(atLeastMs, leftMs);
  }

  /** A step is given up when its VM has been dark for too long, but past the mark it is given some time all the same. */
  #limits({ latestDarkMs, atLeastMs = 0, attemptMs, failingMs }: StepCall, began: Began) {
    const nowMs = this.all.store.nowMs();
    const latestMs =
      latestDarkMs === undefined ? undefined : Math.max(latestDarkMs, began.darkMs + atLeastMs);
    const left = [
      attemptMs,
      latestMs === undefined ? undefined : latestMs - this.#darkForMs + 1,
      // Who waits for others does not fail, whatever failed before it: only an attempt that has a time is cut short.
      failingMs === undefined || attemptMs === undefined || this.#failingSinceMs === null
        ? undefined
        : this.#failingSinceMs + failingMs - nowMs,
    ].filter((ms) => ms !== undefined);
    return {
      ...(latestMs === undefined ? {} : { latestDarkMs: latestMs }),
      ...(left.length === 0 ? {} : { attemptMs: Math.max(1, Math.min(...left)) }),
    };
  }

  #done(step: VmStep, outcome: StepOutcome): void {
    const { hostId } = this.id;
    const { darkForMs, ...recorded } = outcome;
    this.#dark = { forMs: darkForMs, atMs: this.all.store.nowMs() };
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
        breakBarrier(o.host, vmId, what);
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
    return this.#darkForMs > 0;
  }

  /** By the latest answer of a step, as long as there is one: a look at the VM at each turn would cost its darkness. */
  get #darkForMs(): number {
    const { hostId, vmId } = this.id;
    const { store, port } = this.all;
    const nowMs = store.nowMs();
    if (this.#dark !== null && this.#dark.forMs > 0)
      return this.#dark.forMs + (nowMs - this.#dark.atMs);
    const { pausedAtMs } = port.image(store.vm(hostId, vmId));
    // A VM that was paused at this very moment is dark, too.
    return pausedAtMs === null ? 0 : Math.max(Number.MIN_VALUE, nowMs - pausedAtMs);
  }

  #key(step: VmStep): string {
    return keyOf(this.id, step);
  }
}

/** What is not known to be anything else may pass: it is tried again within the step's limits. */
const asHoldfastError = (error: unknown): HoldfastError =>
  error instanceof HoldfastError ? error : new HoldfastError('HostStepFailed', reasonOf(error));
