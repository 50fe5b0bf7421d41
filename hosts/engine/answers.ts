import { setTimeout as delay } from 'node:timers/promises';
import type { HoldfastError } from '../../contract/failures';
import type { StepOutcome } from '../../contract/steps';

/** Answers that wait for the dark VMs of their host wait no longer than this, ms. */
const HELD_AT_MOST_MS = 1_500;

export type Settled = { readonly outcome: StepOutcome } | { readonly error: HoldfastError };

/** What any number of askers wait for. */
export class Answer {
  waiting = 0;
  readonly promise: Promise<StepOutcome>;
  #resolve: (outcome: StepOutcome) => void = () => undefined;
  #reject: (error: HoldfastError) => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever asked may have gone.
    this.promise.catch(() => undefined);
  }

  settle(settled: Settled): void {
    if ('error' in settled) this.#reject(settled.error);
    else this.#resolve(settled.outcome);
  }
}

/**
 * Answers of a dark stretch go out when no VM of the host is dark any more, so that no completion and no workflow task
 * competes with the host's own work; at once after a failure, and after a while in any case.
 */
export class HeldAnswers {
  readonly #hosts = new Map<
    string,
    { dark: Set<string>; free: Promise<void>; letGo: () => void }
  >();

  /** Resolves when answers of this host may go out, or those of the list, which has ended. */
  async until(hostId: string, ended: AbortSignal): Promise<void> {
    const host = this.#hosts.get(hostId);
    if (host === undefined) return;
    const timer = new AbortController();
    await Promise.race([
      host.free,
      delay(HELD_AT_MOST_MS, undefined, { signal: AbortSignal.any([timer.signal, ended]) }).catch(
        () => undefined,
      ),
    ]);
    timer.abort();
  }

  vmIs(hostId: string, vmId: string, isDark: boolean): void {
    const host = this.#hosts.get(hostId);
    if (isDark) {
      if (host !== undefined) {
        host.dark.add(vmId);
        return;
      }
      let letGo: () => void = () => undefined;
      const free = new Promise<void>((resolve) => (letGo = resolve));
      this.#hosts.set(hostId, { dark: new Set([vmId]), free, letGo });
    } else if (host?.dark.delete(vmId) === true && host.dark.size === 0) this.letGo(hostId);
  }

  letGo(hostId: string): void {
    this.#hosts.get(hostId)?.letGo();
    this.#hosts.delete(hostId);
  }
}
