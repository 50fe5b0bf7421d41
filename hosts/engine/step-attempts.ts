import { setTimeout as delay } from 'node:timers/promises';
import { FAILURES, HoldfastError } from '../../contract/failures';
import type { StepCall, StepOutcome, VmStep } from '../../contract/steps';
import { reasonOf } from './commands';
import type { Darkness } from './darkness';
import type { Performers } from './performers';
import type { CoreObjects, IssuedStep } from './state';
import { notWaitedFor, within } from './waiting';

/** Between two attempts of a step while its VM is dark: soon again, and often enough. */
const RETRY = { firstMs: 50, factor: 1.5, longestMs: 500 };
const BEGINS_BLACKOUT: ReadonlySet<VmStep> = new Set<VmStep>(['pauseVm', 'suspendVm']);

/** When a step began, by the host's clock, and how long its VM had been dark then, ms. */
interface Began {
  readonly atMs: number;
  readonly darkMs: number;
}

/** What a step has come to: the failure is for good, or one after which only a live call begins another attempt. */
export type Attempted =
  | { readonly outcome: StepOutcome }
  | { readonly failure: HoldfastError }
  | { readonly untilAskedAgain: HoldfastError };

/** The attempts of the steps of one list, within the limits that travel with each call. */
export class StepAttempts<O extends CoreObjects> {
  readonly #attempts = new Map<VmStep, number>();
  /** When the first attempt of a step that may be given up failed, by the host's clock. */
  #failingSinceMs: number | null = null;

  constructor(
    private readonly all: Performers<O>,
    private readonly darkness: Darkness<O>,
  ) {}

  /** Attempt after attempt. Throws when the process is to end and the VM runs: then nothing is known. */
  async untilKnown({ step, call }: IssuedStep): Promise<Attempted> {
    const { engine, store, stopping } = this.all;
    const { darkness } = this;
    const began = { atMs: store.nowMs(), darkMs: darkness.forMs };
    let waitMs = RETRY.firstMs;
    for (;;) {
      const attempt = (this.#attempts.get(step) ?? 0) + 1;
      this.#attempts.set(step, attempt);
      const { isDark } = darkness;
      if (stopping.aborted && !isDark) throw notWaitedFor(`${step} of ${call.vmId}`);
      try {
        const limits = this.#limits(call, began);
        const outcome = await within(
          limits.attemptMs,
          // A VM that is dark is not left alone; one that runs is.
          isDark ? [] : [stopping],
          (signal) => engine.perform(step, { ...call, ...limits }, signal),
          { what: `${step} of ${call.vmId}` },
        );
        return { outcome };
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        // The VM is read again: somebody else may have resumed it during the attempt.
        darkness.lookAgain();
        if (stopping.aborted && !darkness.isDark) throw error;
        this.#failingSinceMs ??= store.nowMs();
        const { type, what, facts } = error;
        const forGood = (why: string) => ({
          failure: new HoldfastError(type, why, { ...facts, attempt }, true),
        });
        if (!FAILURES[type].retryable) return forGood(what);
        if (this.#isGivenUp(call, began))
          return forGood(`${step} was given up after ${attempt} attempts: ${what}`);
        // Nobody pauses a VM for a run that is gone.
        if (BEGINS_BLACKOUT.has(step) && !darkness.isDark) return { untilAskedAgain: error };
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
      latestMs === undefined ? undefined : latestMs - this.darkness.forMs + 1,
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
}

/** What is not known to be anything else may pass: it is tried again within the step's limits. */
export const asHoldfastError = (error: unknown): HoldfastError =>
  error instanceof HoldfastError ? error : new HoldfastError('HostStepFailed', reasonOf(error));
