/** No unlimited retry while a VM is dark: how long a step is tried comes out of the budget, and the host counts. */
import fc from 'fast-check';
import { VM_STEPS, VM_STEP_NAMES } from '../../contract/steps';
import { stepLimits, type Darkness } from '../../planning/step-limits';

const dark = (more: Partial<Darkness> = {}): Darkness => ({
  isDark: true,
  budgetMs: 10_000,
  isUndoable: true,
  canRetreat: false,
  ...more,
});

it.each([
  // A tenth, or 1,200 ms where that is more, is left for the undo, which must end before the dead-man acts.
  ['of a save', dark(), { attemptMs: 1_000, latestDarkMs: 8_800, failingMs: 400 }],
  [
    'with a large budget',
    dark({ budgetMs: 30_000 }),
    { attemptMs: 1_000, latestDarkMs: 27_000, failingMs: 400 },
  ],
  [
    'with a budget beyond the hard limit',
    dark({ budgetMs: 90_000 }),
    { attemptMs: 1_000, latestDarkMs: 27_000, failingMs: 400 },
  ],
  [
    'with the smallest budget',
    dark({ budgetMs: 100 }),
    { attemptMs: 100, latestDarkMs: 60, failingMs: 400 },
  ],
  [
    'after the point of no return, where a step that keeps failing has nothing to be given up for',
    dark({ isUndoable: false }),
    { attemptMs: 2_000, latestDarkMs: 6_000, atLeastMs: 1_500 },
  ],
  [
    'after it, by a version that the VM may go back from',
    dark({ isUndoable: false, canRetreat: true }),
    { attemptMs: 4_000 / 3, latestDarkMs: 4_000 },
  ],
  [
    'after it, with a small budget',
    dark({ isUndoable: false, budgetMs: 3_000 }),
    { attemptMs: 600, latestDarkMs: 1_800, atLeastMs: 1_500 },
  ],
])('a dark step %s', (_, darkness, limits) => {
  expect(stepLimits('saveVirtualFunctionState', darkness)).toEqual(limits);
});

it.each([
  [
    'a light step is not hurried: an eject alone has 60 s of grace',
    'ejectVirtualFunction',
    { attemptMs: 300_000 },
  ],
  ['waiting for the others while the VM runs', 'awaitPause', {}],
  ['waiting for the update: the host decides when it is too late', 'awaitUpdate', {}],
  ['waiting for the VM to run again', 'awaitResume', {}],
  ['a cold start boots a guest', 'coldStartVm', { attemptMs: 120_000, atLeastMs: 120_000 }],
] as const)('%s', (_, step, limits) => {
  expect(stepLimits(step, dark())).toEqual(limits);
});

it('who waits at the barrier waits longer than the VM it waits for can fail, in one attempt', () => {
  const barrier = stepLimits('crossPointOfNoReturn', dark());
  const save = stepLimits('saveVm', dark());
  expect(barrier.latestDarkMs).toBeGreaterThan((save.latestDarkMs ?? Infinity) + 500);
  expect(barrier).toEqual({ latestDarkMs: 9_700, failingMs: 400 });
});

it('a dark step of a VM that runs is a light one', () => {
  expect(stepLimits('createVpciBus', dark({ isDark: false }))).toEqual({ attemptMs: 300_000 });
});

it('never gives a dark step more than the budget, and never hangs it on one attempt', () => {
  const darkSteps = VM_STEP_NAMES.filter((s) => VM_STEPS[s].kind === 'dark' && s !== 'coldStartVm');
  fc.assert(
    fc.property(
      fc.constantFrom(...darkSteps),
      fc.integer({ min: 100, max: 30_000 }),
      fc.boolean(),
      fc.boolean(),
      (step, budgetMs, isUndoable, canRetreat) => {
        const { attemptMs = Infinity, latestDarkMs = Infinity } = stepLimits(step, {
          ...{ isDark: true, budgetMs, isUndoable, canRetreat },
        });
        expect(latestDarkMs).toBeLessThan(budgetMs);
        expect(latestDarkMs).toBeGreaterThan(0);
        expect(attemptMs).toBeLessThanOrEqual(Math.max(100, Math.min(2_000, latestDarkMs / 3)));
      },
    ),
  );
});
