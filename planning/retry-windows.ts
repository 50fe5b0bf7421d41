import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import { toMs } from '../contract/durations';
import { VM_STEPS, type VmStep } from '../contract/steps';

/** How long a step may take in all, and one attempt of it, ms. */
export interface RetryWindow {
  readonly allMs: number;
  readonly attemptMs: number;
  /** No attempt begins once the VM has been dark this long; undefined outside a blackout. */
  readonly latestDarkMs?: number;
}

/** One attempt of a dark step; the slowest, a teardown, takes 400 ms at its 99th percentile. */
const DARK_ATTEMPT_MS = 2_000;
/** A cold start boots a guest. */
const COLD_START_MS = 120_000;
/** After the point of no return every step gets at least this long: the shortest way forward still needs its steps. */
const FORWARD_MINIMUM_MS = 1_500;
/**
 * Kept of the budget for the undo, which must end before the dead-man acts: a tenth, and the half second that a retry
 * of a local activity may still be waiting when its window ends. Tiny budgets keep 40 %.
 */
const undoReserveMs = (budgetMs: number) =>
  Math.max(0.1 * budgetMs, Math.min(1_200, 0.4 * budgetMs));
/** A VM that may be left out gives up at half the budget: the others, dark as long as it, go on with what is left. */
const LEFT_OUT_SHARE = 0.5;
/** After the point of no return a step that cannot be had leaves this share of the budget to another way back. */
const WAY_BACK_SHARE = 0.4;
/** A light step: an eject alone may take its 60 s of grace, an offer as long again. */
const LIGHT = { allMs: 600_000, attemptMs: 300_000 };
/** Waiting for the other VMs of the host to be prepared, while the VM still runs. */
const PREPARATION = { allMs: 600_000, attemptMs: 600_000 };

/** Where a step runs: a dark step of a VM that runs, as when a VF is attached anew, is as light as any other. */
export function stepKind(step: VmStep, darkForMs: number): 'light' | 'dark' | 'waits' {
  const kind = VM_STEPS[step].kind;
  const begins = step === 'pauseVm' || step === 'suspendVm';
  return kind === 'dark' && darkForMs === 0 && !begins ? 'light' : kind;
}

export interface Darkness {
  readonly darkForMs: number;
  readonly budgetMs: number;
  /** Only forward from here, by the normal or another way: there is nothing that a spent budget could undo. */
  readonly onlyForward: boolean;
  /** If the VM cannot be saved, the others of its host go on without it. */
  readonly mayBeLeftOut: boolean;
}

/** A step's window comes out of what is left of the VM's blackout budget; 0 means that it is spent. */
export function retryWindow(step: VmStep, dark: Darkness): RetryWindow {
  if (step === 'coldStartVm') return { allMs: COLD_START_MS, attemptMs: COLD_START_MS };
  if (step === 'awaitPause') return PREPARATION;
  if (step === 'awaitUpdate' || step === 'awaitResume')
    return { allMs: PREPARATION.allMs, attemptMs: PREPARATION.allMs };
  const kind = stepKind(step, dark.darkForMs);
  if (kind === 'light') return LIGHT;
  const budgetMs = Math.min(dark.budgetMs, toMs(HARD_BLACKOUT_LIMIT));
  const keptMs = dark.onlyForward ? WAY_BACK_SHARE * budgetMs : keptForUndoMs(step, budgetMs, dark);
  const left = Math.max(
    dark.onlyForward ? FORWARD_MINIMUM_MS : 0,
    budgetMs - keptMs - dark.darkForMs,
  );
  const attemptMs = kind === 'waits' ? left : Math.min(DARK_ATTEMPT_MS, Math.max(left / 3, 100));
  return { allMs: left, attemptMs: Math.min(attemptMs, left), latestDarkMs: dark.darkForMs + left };
}

function keptForUndoMs(step: VmStep, budgetMs: number, { mayBeLeftOut }: Darkness): number {
  const undoMs = undoReserveMs(budgetMs);
  // Whoever waits at the barrier waits longer than the VM it waits for can fail, so that it hears why.
  if (step === 'crossPointOfNoReturn') return undoMs * 0.25;
  return mayBeLeftOut ? Math.max(undoMs, LEFT_OUT_SHARE * budgetMs) : undoMs;
}
