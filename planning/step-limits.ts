import { toMs } from '../contract/durations';
import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import { VM_STEPS, type StepLimits, type VmStep } from '../contract/steps';

/** One attempt of a step past the mark, or of an undo; the slowest, a teardown, takes 400 ms at its 99th percentile. */
const DARK_ATTEMPT_MS = 2_000;
/** Before the mark an attempt that hangs costs every VM of the host its time. A conventional save writes all memory. */
const SAVE_ATTEMPT_MS = 1_000;
/** Before the mark a save that keeps failing is given up this long after its first failed attempt, and undone. */
const SAVE_FAILING_MS = 400;
/** A cold start boots a guest. */
const COLD_START_MS = 120_000;
/** After the point of no return every step gets at least this long: the shortest way forward still needs its steps. */
const FORWARD_MINIMUM_MS = 1_500;
/** Kept of the budget for the undo, which must end before the dead-man acts. Tiny budgets keep 40 %. */
const undoReserveMs = (budgetMs: number) =>
  Math.max(0.1 * budgetMs, Math.min(1_200, 0.4 * budgetMs));
/** After the point of no return a step that cannot be had leaves this share of the budget to another way back. */
const WAY_BACK_SHARE = 0.4;
/** Of the budget for a version that the VM may go back from. */
const NEW_VERSION_SHARE = 0.4;
/** A light step: an eject alone may take its 60 s of grace, an offer as long again. */
const LIGHT_ATTEMPT_MS = 300_000;

export interface Darkness {
  readonly budgetMs: number;
  /** The VM is dark when the step begins; a dark step of a VM that runs is as light as any other. */
  readonly isDark: boolean;
  /** Before the mark: what fails is undone. */
  readonly isUndoable: boolean;
  /** What fails is tried by the version that the VM ran before. */
  readonly canRetreat: boolean;
}

/** How long the host tries a step, out of the VM's blackout budget: the host counts, from when the step begins. */
export function stepLimits(step: VmStep, dark: Darkness): StepLimits {
  if (step === 'coldStartVm') return { atLeastMs: COLD_START_MS, attemptMs: COLD_START_MS };
  // They wait for others, whose limits end the wait.
  if (step === 'awaitPause' || step === 'awaitUpdate' || step === 'awaitResume') return {};
  const { kind } = VM_STEPS[step];
  if (!dark.isDark || kind === 'light') return { attemptMs: LIGHT_ATTEMPT_MS };
  const budgetMs = Math.min(dark.budgetMs, toMs(HARD_BLACKOUT_LIMIT));
  const latestDarkMs = dark.isUndoable
    ? budgetMs - keptForUndoMs(step, budgetMs)
    : budgetMs * (dark.canRetreat ? NEW_VERSION_SHARE : 1 - WAY_BACK_SHARE);
  if (kind === 'waits') return { latestDarkMs, failingMs: SAVE_FAILING_MS };
  const attemptMs = (atMostMs: number) => Math.min(atMostMs, Math.max(latestDarkMs / 3, 100));
  return dark.isUndoable
    ? { latestDarkMs, attemptMs: attemptMs(SAVE_ATTEMPT_MS), failingMs: SAVE_FAILING_MS }
    : {
        ...{ latestDarkMs, attemptMs: attemptMs(DARK_ATTEMPT_MS) },
        ...(dark.canRetreat ? {} : { atLeastMs: FORWARD_MINIMUM_MS }),
      };
}

function keptForUndoMs(step: VmStep, budgetMs: number): number {
  const undoMs = undoReserveMs(budgetMs);
  // Whoever waits at the barrier waits longer than the VM it waits for can fail, so that it hears why.
  return step === 'crossPointOfNoReturn' ? undoMs * 0.25 : undoMs;
}
