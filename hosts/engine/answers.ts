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
  /** Hosts with a dark VM: which those are, and what goes out when there is none any more. */
  readonly #hosts = new Map<string, { dark: Set<string>; held: (() => void)[] }>();

  /** Runs it when answers of this host may go out: perhaps at once. */
  whenFree(hostId: string, goOut: () => void): void {
    const host = this.#hosts.get(hostId);
    if (host === undefined) goOut();
    else if (host.held.push(goOut) === 1)
      setTimeout(() => {
        for (const go of host.held.splice(0)) go();
      }, HELD_AT_MOST_MS).unref();
  }

  vmIs(hostId: string, vmId: string, isDark: boolean): void {
    const host = this.#hosts.get(hostId);
    if (!isDark) {
      if (host?.dark.delete(vmId) === true && host.dark.size === 0) this.letGo(hostId);
    } else if (host === undefined) this.#hosts.set(hostId, { dark: new Set([vmId]), held: [] });
    else host.dark.add(vmId);
  }

  letGo(hostId: string): void {
    const host = this.#hosts.get(hostId);
    this.#hosts.delete(hostId);
    for (const go of host?.held.splice(0) ?? []) go();
  }
}
