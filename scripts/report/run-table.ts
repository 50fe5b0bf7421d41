import type { Account } from '../replay/account';
import { between } from '../replay/as-json';
import { timedSteps } from '../replay/step-times';
import { hasFailed, isNotReached, outcomeOf, type Step } from '../replay/steps';
import type { VmState } from '../replay/vm-states';
import { html, table, type Html, type UiLinks } from './html';

const COLUMNS = [
  { name: 'step' },
  { name: 'at', numeric: true },
  { name: 'attempts', numeric: true },
  { name: 'took', numeric: true },
  { name: 'dark for', numeric: true },
  { name: 'outcome' },
] as const;

/** What the columns mean, once for the page. */
export const COLUMNS_EXPLAINED =
  'Times of steps are in ms. at: when it began, since the host’s run began (or the VM’s, where it has none above it); took: from its beginning to its end, over all attempts; ' +
  'dark for: of the VM, at the end of the step; VM after it: its phase and data path, where the step changed them. Each name leads to the event in the Temporal UI that the row is from. A dash: the history does not tell, or there is nothing to tell.';

/**
 * Steps and what else happened in some runs, in the order of their beginnings. With `changes`, also what the VM was after
 * the steps that changed it. Empty if nothing happened.
 */
export function runTable(
  links: UiLinks,
  caption: string,
  runs: readonly Account[],
  beganMs: number | null,
  changes?: ReadonlyMap<Step, VmState>,
): Html {
  const times = new Map(timedSteps(runs).map((timed) => [timed.step, timed]));
  const rows = runs.flatMap((run) => {
    const { workflowId, runId } = run;
    const named = (eventId: number, text: string) =>
      links.event({ workflowId, runId: runId ?? '', eventId }, text);
    return [
      ...run.steps.map((step) => {
        const timed = times.get(step);
        const atMs = timed?.beganMs ?? step.scheduledMs;
        return {
          atMs,
          cells: [
            named(step.eventId, step.name),
            shown(between(beganMs, atMs), 0),
            ...(isNotReached(step)
              ? [null, null]
              : [step.attempts, shown(between(atMs, timed?.endedMs ?? null))]),
            shown(step.darkForMs === 0 ? null : step.darkForMs),
            outcome(step),
            ...(changes === undefined ? [] : [stateText(changes.get(step))]),
          ],
        };
      }),
      ...[
        ...run.happenings,
        ...run.children.map((child) => ({ ...child, what: `child ${child.workflowId}` })),
      ].map(({ eventId, atMs, what, outcome: end }) => ({
        atMs,
        cells: [
          named(eventId, what),
          shown(between(beganMs, atMs), 0),
          ...[null, null, null],
          end,
          ...(changes === undefined ? [] : [null]),
        ],
      })),
    ];
  });
  return table(
    caption,
    changes === undefined ? COLUMNS : [...COLUMNS, { name: 'VM after it' }],
    rows.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0)).map(({ cells }) => cells),
  );
}

const shown = (ms: number | null, digits = 1): string | null =>
  ms === null ? null : ms.toFixed(digits);

const PATHS: Readonly<Record<VmState['path'], string>> = {
  vf: 'VF',
  synthetic: 'synthetic',
  none: 'none',
};
const stateText = (state: VmState | undefined): string | null =>
  state === undefined ? null : `${state.phase}, data path: ${PATHS[state.path]}`;

function outcome(step: Step): Html | string {
  const { outcome, why } = outcomeOf(step);
  const rest = why === null ? '' : `: ${why}`;
  return hasFailed(step) ? html`<strong>${outcome}</strong>${rest}` : `${outcome}${rest}`;
}
