import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import { toMs } from '../contract/durations';
import { VM_STEPS, type VmStep } from '../contract/steps';

/** How long a step may take in all, and one attempt of it, ms. */
export interface RetryWindow {
  readonly allMs: number;
  readonly attemptMs: number;
}

/** One attempt of a dark step; the slowest, a teardown, takes 400 ms at its 99th percentile. */
const DARK_ATTEMPT_MS = 2_000;
/** A cold start boots a guest. */
const COLD_START_MS = 120_000;
/** After the point of no return every step gets at least this long: the shortest way forward still needs its steps. */
const FORWARD_MINIMUM_MS = 1_500;
/** Share of the budget that is left for the undo, which must end before the dead-man takes over. */
const UNDO_RESERVE = 0.1;
/** A light step: an eject alone may take its 60 s of grace, an offer as long again. */
const LIGHT = { allMs: 600_000, attemptMs: 300_000 };
/** Waiting for the other VMs of the host to be prepared, while the VM still runs. */
const PREPARATION = { allMs: 600_000, attemptMs: 600_000 };

export interface Darkness {
  readonly darkForMs: number;
  readonly budgetMs: number;
  /** Only forward from here, by the normal or another way: there is nothing that a spent budget could undo. */
  readonly onlyForward: boolean;
}

/** A step's window comes out of what is left of the VM's blackout budget; 0 means that it is spent. */
export function retryWindow(step: VmStep, dark: Darkness): RetryWindow {
  if (step === 'coldStartVm') return { allMs: COLD_START_MS, attemptMs: COLD_START_MS };
  if (step === 'awaitPause') return PREPARATION;
  if (step === 'awaitUpdate' || step === 'awaitResume') return { allMs: PREPARATION.allMs, attemptMs: PREPARATION.allMs };
  if (VM_STEPS[step] === 'light') return LIGHT;
  const left = dark.onlyForward
    ? Math.max(FORWARD_MINIMUM_MS, Math.min(dark.budgetMs, toMs(HARD_BLACKOUT_LIMIT)) - dark.darkForMs)
    : Math.max(0, dark.budgetMs * (1 - UNDO_RESERVE) - dark.darkForMs);
  const attemptMs = VM_STEPS[step] === 'waits' ? left : Math.min(DARK_ATTEMPT_MS, Math.max(left / 3, 100));
  return { allMs: left, attemptMs: Math.min(attemptMs, left) };
}
