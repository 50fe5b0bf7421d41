/** No unlimited retry while a VM is dark: a step's window comes out of what is left of the budget. */
import fc from 'fast-check';
import { VM_STEPS, VM_STEP_NAMES } from '../../contract/steps';
import { retryWindow, stepKind, type Darkness } from '../../planning/retry-windows';

const dark = (more: Partial<Darkness> = {}): Darkness => ({
  darkForMs: 1,
  budgetMs: 10_000,
  onlyForward: false,
  mayBeLeftOut: false,
  ...more,
});

it.each([
  // 1,200 ms, or a tenth where that is more, are left for the undo, which must end before the dead-man acts.
  [
    'at the start',
    dark({ darkForMs: 800 }),
    { allMs: 8_000, attemptMs: 2_000, latestDarkMs: 8_800 },
  ],
  [
    'with little left',
    dark({ darkForMs: 8_200 }),
    { allMs: 600, attemptMs: 200, latestDarkMs: 8_800 },
  ],
  [
    'with almost nothing left',
    dark({ darkForMs: 8_750 }),
    { allMs: 50, attemptMs: 50, latestDarkMs: 8_800 },
  ],
  [
    'exactly when it is spent',
    dark({ darkForMs: 8_800 }),
    { allMs: 0, attemptMs: 0, latestDarkMs: 8_800 },
  ],
  [
    'when it is overspent',
    dark({ darkForMs: 60_000 }),
    { allMs: 0, attemptMs: 0, latestDarkMs: 60_000 },
  ],
  [
    'with a large budget',
    dark({ budgetMs: 30_000, darkForMs: 7_000 }),
    { allMs: 20_000, attemptMs: 2_000, latestDarkMs: 27_000 },
  ],
  [
    'with a budget beyond the hard limit',
    dark({ budgetMs: 90_000, darkForMs: 7_000 }),
    { allMs: 20_000, attemptMs: 2_000, latestDarkMs: 27_000 },
  ],
  [
    'with the smallest budget',
    dark({ budgetMs: 100, darkForMs: 10 }),
    { allMs: 50, attemptMs: 50, latestDarkMs: 60 },
  ],
  [
    'of a VM that may be left out, so that the others have time to go on',
    dark({ mayBeLeftOut: true, darkForMs: 800 }),
    { allMs: 4_200, attemptMs: 1_400, latestDarkMs: 5_000 },
  ],
  [
    'of one that may be left out, with the smallest budget',
    dark({ mayBeLeftOut: true, budgetMs: 100, darkForMs: 10 }),
    { allMs: 40, attemptMs: 40, latestDarkMs: 50 },
  ],
  [
    'after the point of no return',
    dark({ onlyForward: true, darkForMs: 3_000 }),
    { allMs: 3_000, attemptMs: 1_000, latestDarkMs: 6_000 },
  ],
  [
    'after it, when the budget is spent',
    dark({ onlyForward: true, darkForMs: 10_000 }),
    { allMs: 1_500, attemptMs: 500, latestDarkMs: 11_500 },
  ],
])('a dark step %s', (_, darkness, window) => {
  expect(retryWindow('saveVirtualFunctionState', darkness)).toEqual(window);
});

it.each([
  [
    'a light step is not hurried: an eject alone has 60 s of grace',
    'ejectVirtualFunction',
    { allMs: 600_000, attemptMs: 300_000 },
  ],
  [
    'waiting for the others while the VM runs',
    'awaitPause',
    { allMs: 600_000, attemptMs: 600_000 },
  ],
  [
    'waiting for the update: the host decides when it is too late',
    'awaitUpdate',
    { allMs: 600_000, attemptMs: 600_000 },
  ],
  ['waiting for the VM to run again', 'awaitResume', { allMs: 600_000, attemptMs: 600_000 }],
  ['a cold start boots a guest', 'coldStartVm', { allMs: 120_000, attemptMs: 120_000 }],
] as const)('%s', (_, step, window) => {
  expect(retryWindow(step, dark())).toEqual(window);
});

it('who waits at the barrier waits longer than the VM it waits for can fail, in one attempt', () => {
  const barrier = retryWindow('crossPointOfNoReturn', dark());
  const save = retryWindow('saveVm', dark());
  expect(barrier.latestDarkMs).toBeGreaterThan((save.latestDarkMs ?? Infinity) + 500);
  expect(barrier.latestDarkMs).toBeLessThan(10_000);
  expect(barrier.attemptMs).toBe(barrier.allMs);
});

it('the pause itself has a blackout’s window; any other dark step of a VM that runs is a light one', () => {
  expect(stepKind('pauseVm', 0)).toBe('dark');
  expect(retryWindow('pauseVm', dark({ darkForMs: 0 })).latestDarkMs).toBe(8_800);
  expect(stepKind('createVpciBus', 0)).toBe('light');
  expect(retryWindow('createVpciBus', dark({ darkForMs: 0 }))).toEqual({
    allMs: 600_000,
    attemptMs: 300_000,
  });
  expect(stepKind('createVpciBus', 1)).toBe('dark');
});

it('never gives a dark step more than is left of the budget, and never hangs it on one attempt', () => {
  const darkSteps = VM_STEP_NAMES.filter((s) => VM_STEPS[s].kind === 'dark' && s !== 'coldStartVm');
  fc.assert(
    fc.property(
      fc.constantFrom(...darkSteps),
      fc.integer({ min: 1, max: 60_000 }),
      fc.integer({ min: 100, max: 30_000 }),
      fc.boolean(),
      fc.boolean(),
      (step, darkForMs, budgetMs, onlyForward, mayBeLeftOut) => {
        const { allMs, attemptMs, latestDarkMs } = retryWindow(step, {
          darkForMs,
          budgetMs,
          onlyForward,
          mayBeLeftOut,
        });
        const left = Math.max(0, budgetMs - darkForMs);
        expect(allMs).toBeGreaterThanOrEqual(onlyForward ? 1_500 : 0);
        expect(allMs).toBeLessThanOrEqual(onlyForward ? Math.max(1_500, left) : left);
        expect(attemptMs).toBeLessThanOrEqual(Math.min(allMs, 2_000));
        expect(attemptMs > 0).toBe(allMs > 0);
        expect(latestDarkMs).toBe(darkForMs + allMs);
      },
    ),
  );
});
