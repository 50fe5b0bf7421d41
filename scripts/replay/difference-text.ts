import type { Account } from './account';
import { between, tookMs } from './as-json';
import { plainTable, runText, shown } from './as-text';
import { differs, stepDiffers, type RunPair, type StepPair } from './difference';
import type { TimedStep } from './step-times';
import { isNotReached } from './steps';

/** Of more runs than this only those are shown that differ. */
const SHOWN_IN_FULL = 24;

/** Two trees side by side, for a person. */
export function differenceText(
  pairs: readonly RunPair[],
  from: { readonly a: string; readonly b: string },
): string {
  const different = pairs.filter(differs);
  const shownPairs = pairs.length <= SHOWN_IN_FULL ? pairs : different;
  const equal = pairs.length - different.length;
  return [
    `A: ${from.a}\nB: ${from.b}`,
    ...shownPairs.map(pairText),
    different.length === 0
      ? `${pairs.length} ${pairs.length === 1 ? 'run' : 'runs'}: both took the same steps, with the same outcomes and attempts.`
      : `${different.length} of ${pairs.length} runs differ${equal > 0 && shownPairs.length < pairs.length ? '; the others are not shown' : ''}.`,
  ].join('\n\n');
}

function pairText(pair: RunPair): string {
  const { a, b, steps } = pair;
  const inputs = [a, b].map((run) => JSON.stringify(run?.input ?? null));
  const isDifferentInput = a !== null && b !== null && inputs[0] !== inputs[1];
  return [
    ...[a, b].map(
      (run, index) => `${index === 0 ? 'A' : 'B'} ${run === null ? '(no such run)' : runText(run)}`,
    ),
    ...(isDifferentInput
      ? [`  input of A: ${inputs[0] ?? ''}`, `  input of B: ${inputs[1] ?? ''}`]
      : []),
    ...(steps.length === 0 ? [] : [stepsTable(steps)]),
  ].join('\n');
}

function stepsTable(steps: readonly StepPair[]): string {
  const head = [
    '',
    'step',
    'A: outcome',
    'tries',
    'took',
    'dark for',
    'B: outcome',
    'tries',
    'took',
    'dark for',
  ];
  const table = plainTable(head, [3, 4, 5, 7, 8, 9], { 'A: outcome': WIDTH, 'B: outcome': WIDTH });
  table.push(
    ...steps.map((pair) => [
      stepDiffers(pair) ? '≠' : '',
      (pair.a ?? pair.b)?.step.name ?? '',
      ...cells(pair.a),
      ...cells(pair.b),
    ]),
  );
  return table.toString();
}
const WIDTH = 26;

function cells(timed: TimedStep | null): string[] {
  if (timed === null) return ['–', '', '', ''];
  const { step, beganMs, endedMs } = timed;
  if (isNotReached(step)) return ['not reached', '', '', ''];
  const { status, reason, attempts, darkForMs } = step;
  return [
    reason === null ? status : `${status}: ${reason}`,
    String(attempts ?? '?'),
    shown(between(beganMs, endedMs)),
    darkForMs === null || darkForMs === 0 ? '' : shown(darkForMs),
  ];
}

/** The same, as `--diff --json` prints it. Times in ms. */
export const differenceAsJson = (pairs: readonly RunPair[]) => ({
  same: !pairs.some(differs),
  runs: pairs.map((pair) => ({
    same: !differs(pair),
    a: runAsJson(pair.a),
    b: runAsJson(pair.b),
    steps: pair.steps.map((steps) => ({
      name: (steps.a ?? steps.b)?.step.name,
      same: !stepDiffers(steps),
      a: stepAsJson(steps.a),
      b: stepAsJson(steps.b),
    })),
  })),
});

const runAsJson = (run: Account | null) =>
  run === null
    ? null
    : {
        workflowId: run.workflowId,
        runId: run.runId,
        type: run.type,
        input: run.input,
        outcome: run.outcome,
        detail: run.detail,
        tookMs: tookMs(run),
        blackouts: run.blackouts,
      };

const stepAsJson = (timed: TimedStep | null) =>
  timed === null
    ? null
    : {
        status: timed.step.status,
        reason: timed.step.reason,
        attempts: timed.step.attempts,
        ms: between(timed.beganMs, timed.endedMs),
        darkForMs: timed.step.darkForMs,
      };
