/** No unlimited retry while a VM is dark: a step's window comes out of what is left of the budget. */
import fc from 'fast-check';
import { VM_STEPS, VM_STEP_NAMES } from '../../contract/steps';
import { retryWindow, type Darkness } from '../../planning/retry-windows';

const dark = (more: Partial<Darkness> = {}): Darkness => ({ darkForMs: 0, budgetMs: 10_000, onlyForward: false, ...more });

it.each([
  // A tenth of the budget is left for the undo, which must end before the dead-man takes over.
  ['at the start', dark(), { allMs: 9_000, attemptMs: 2_000 }],
  ['with little left', dark({ darkForMs: 8_400 }), { allMs: 600, attemptMs: 200 }],
  ['with almost nothing left', dark({ darkForMs: 8_950 }), { allMs: 50, attemptMs: 50 }],
  ['exactly when it is spent', dark({ darkForMs: 9_000 }), { allMs: 0, attemptMs: 0 }],
  ['when it is overspent', dark({ darkForMs: 60_000 }), { allMs: 0, attemptMs: 0 }],
  ['after the point of no return', dark({ onlyForward: true, darkForMs: 4_000 }), { allMs: 6_000, attemptMs: 2_000 }],
  ['after it, when the budget is spent', dark({ onlyForward: true, darkForMs: 10_000 }), { allMs: 1_500, attemptMs: 500 }],
  ['after it, with a budget beyond the hard limit', dark({ onlyForward: true, budgetMs: 90_000, darkForMs: 20_000 }), { allMs: 10_000, attemptMs: 2_000 }],
  ['with the smallest budget', dark({ budgetMs: 100 }), { allMs: 90, attemptMs: 90 }],
])('a dark step %s', (_, darkness, window) => {
  expect(retryWindow('saveVirtualFunctionState', darkness)).toEqual(window);
});

it.each([
  ['a light step is not hurried: an eject alone has 60 s of grace', 'ejectVirtualFunction', { allMs: 600_000, attemptMs: 300_000 }],
  ['waiting for the others while the VM runs', 'awaitPause', { allMs: 600_000, attemptMs: 600_000 }],
  ['waiting for the update: the host decides when it is too late', 'awaitUpdate', { allMs: 600_000, attemptMs: 600_000 }],
  ['waiting for the VM to run again', 'awaitResume', { allMs: 600_000, attemptMs: 600_000 }],
  ['a cold start boots a guest', 'coldStartVm', { allMs: 120_000, attemptMs: 120_000 }],
  ['the barrier may take all that is left in one attempt', 'crossPointOfNoReturn', { allMs: 9_000, attemptMs: 9_000 }],
] as const)('%s', (_, step, window) => {
  expect(retryWindow(step, dark())).toEqual(window);
});

it('never gives a dark step more than is left of the budget, and never hangs it on one attempt', () => {
  const darkSteps = VM_STEP_NAMES.filter((s) => VM_STEPS[s] === 'dark' && s !== 'coldStartVm');
  fc.assert(
    fc.property(fc.constantFrom(...darkSteps), fc.double({ min: 0, max: 60_000, noNaN: true }), fc.integer({ min: 100, max: 30_000 }), fc.boolean(), (step, darkForMs, budgetMs, onlyForward) => {
      const { allMs, attemptMs } = retryWindow(step, { darkForMs, budgetMs, onlyForward });
      expect(allMs).toBeGreaterThanOrEqual(onlyForward ? 1_500 : 0);
      expect(allMs).toBeLessThanOrEqual(onlyForward ? Math.max(1_500, budgetMs - darkForMs) : Math.max(0, budgetMs - darkForMs));
      expect(attemptMs).toBeLessThanOrEqual(Math.min(allMs, 2_000));
      expect(attemptMs > 0).toBe(allMs > 0);
    }),
  );
});
