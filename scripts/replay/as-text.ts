import Table from 'cli-table3';
import { FAILURES, isFailureType } from '../../contract/failures';
import { nextActionOf, rootOf, type Account, type Blackout } from './account';
import { between, tookMs } from './as-json';
import type { Verdict } from './determinism';
import type { Link } from './failure-chain';
import { timedSteps, type TimedStep } from './step-times';
import { isNotReached, outcomeOf } from './steps';
import { allRuns, chainOf, firstFailure, runsOf, type Node, type NodeRun } from './tree';

/** What a person reads: what the run was, what happened in it, how it ended and why, what to do. */
export function asText(node: Node, from: string): string {
  const { last } = node;
  const { verdict, account } = last;
  if (account === null || verdict === null) return `${last.workflowId}: ${last.missing ?? ''}`;
  const alone = node.earlier.length === 0 && last.children.length === 0;
  return [
    heading(account, from),
    alone ? verdictText(verdict) : treeVerdictText(node),
    ...(alone
      ? [timeline(account), childrenText(account), blackoutsText(account)]
      : [treeText(node), beganText(node)]),
    failureText(chainOf(last)),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Of more runs than this only those are shown step by step that did not go well. */
const SHOWN_IN_FULL = 24;

function treeText(node: Node): string {
  const runs = [...allRuns(node)];
  const full = runs.length <= SHOWN_IN_FULL;
  const note = full
    ? ''
    : `\n\n${runs.length} runs: steps are shown of those that did not go well. See one with --run-id.`;
  return `${nodeLines(node, full).join('\n')}\n${LEGEND}${note}`;
}

function nodeLines(node: Node, full: boolean): string[] {
  return runsOf(node).flatMap((run, index) => [
    `${index === 0 ? '' : '↳ '}${summary(run)}`,
    ...indented('│    ', stepLines(run, full)),
    ...run.children.flatMap((child, place) => {
      const [first = '', ...rest] = nodeLines(child, full);
      const isLast = place === run.children.length - 1;
      return [`${isLast ? '└─' : '├─'} ${first}`, ...indented(isLast ? '   ' : '│  ', rest)];
    }),
  ]);
}

const indented = (by: string, lines: readonly string[]): string[] =>
  lines.map((line) => `${by}${line}`);

/** `fastSave fast-save/host-01/vm-01: completed (saved), 812 ms, dark for 41.3 ms, replays`. */
function summary({ workflowId, runId, missing, account, verdict }: NodeRun): string {
  if (account === null) return `${workflowId} (run ${runId}): not there: ${missing ?? ''}`;
  return `${runText(account)}, ${verdict?.deterministic === true ? 'replays' : 'DOES NOT REPLAY'}`;
}

/** `fastSave fast-save/host-01/vm-01: completed (saved), 812 ms, dark for 41.3 ms`. */
export function runText(account: Account): string {
  const took = tookMs(account);
  const dark = account.blackouts.map(({ ms, vmId, ended }) => {
    const vm = vmId === null ? '' : `${vmId} `;
    return `${vm}dark for ${ended ? '' : 'at least '}${ms.toFixed(1)} ms`;
  });
  return `${account.type} ${account.workflowId}: ${[
    endText(account),
    ...(took === null ? [] : [`${took.toFixed(0)} ms`]),
    ...dark,
  ].join(', ')}`;
}

const WELL = new Set(['completed', 'continued as new']);

function stepLines({ account, verdict }: NodeRun, full: boolean): string[] {
  if (account === null) return [];
  const troubled = !WELL.has(account.outcome) || verdict?.deterministic !== true;
  return full || troubled ? timelineTable(account).split('\n') : [];
}

function treeVerdictText(node: Node): string {
  const runs = [...allRuns(node)];
  const known = runs.flatMap(({ workflowId, runId, verdict }) =>
    verdict === null ? [] : [{ name: `${workflowId} (run ${runId})`, verdict }],
  );
  const bad = known.flatMap(({ name, verdict }) =>
    verdict.deterministic ? [] : [`${name}:\n${verdictText(verdict)}`],
  );
  const missing = runs.length - known.length;
  return [
    `${known.length - bad.length} of ${known.length} runs replayed: the workflow code of this checkout decides as their histories have it.` +
      (missing === 0 ? '' : ` ${missing} more are missing.`),
    ...bad,
  ].join('\n\n');
}

/** The run in which it began, where that is another one than the one that is told about. */
function beganText(node: Node): string {
  const first = firstFailure(node);
  if (first === null || first.runId === node.last.runId) return '';
  const [top] = first.chain;
  return `It began in ${first.type} ${first.workflowId} (run ${first.runId ?? 'unknown'}): ${top?.type ?? ''}: ${top?.message ?? ''}`;
}

function heading(account: Account, from: string): string {
  const { type, workflowId, runId, startedMs, parent, continuedFrom } = account;
  const took = tookMs(account);
  return [
    `${type} ${workflowId} (run ${runId ?? 'unknown'}), from ${from}`,
    `input: ${JSON.stringify(account.input ?? null)}`,
    ...(parent === null ? [] : [`started by ${parent}`]),
    ...(continuedFrom === null ? [] : [`continues run ${continuedFrom}`]),
    `began ${startedMs === null ? 'at an unknown time' : new Date(startedMs).toISOString()}` +
      (took === null ? ', still open where the history ends' : `, took ${took.toFixed(0)} ms`),
    `ended: ${endText(account)}`,
  ].join('\n');
}

const endText = ({ outcome, detail }: Account): string =>
  `${outcome}${detail === null ? '' : ` (${detail})`}`;

const verdictText = (verdict: Verdict): string =>
  verdict.deterministic
    ? 'Replayed: the workflow code of this checkout decides as the history has it.'
    : [
        `NOT REPLAYABLE. ${verdict.explanation}`,
        ...(verdict.likelyCause === null ? [] : [verdict.likelyCause]),
        'A run like this one that is open when the code is deployed gets stuck at this point. Guard the change with patched(), or show that no such run can be open.',
      ].join('\n');

function timeline(account: Account): string {
  const table = timelineTable(account);
  return table === '' ? 'No step was taken.' : `${table}\n${LEGEND}`;
}

/** Steps, and what else happened, in the order of their beginnings; empty if nothing did. */
function timelineTable(account: Account): string {
  const table = plainTable(
    ['at', 'what', 'outcome', 'tries', 'waited', 'took', 'dark for'],
    [0, 3, 4, 5, 6],
  );
  const at = (ms: number | null) => shown(between(account.startedMs, ms), 0);
  const rows = [
    ...timedSteps([account]).map((timed) => {
      const atMs = timed.beganMs ?? timed.step.scheduledMs;
      return { atMs, row: [at(atMs), ...stepCells(timed)] };
    }),
    ...[
      ...account.happenings,
      ...account.children.map((child) => ({ ...child, what: `child ${child.workflowId}` })),
    ].map(({ atMs, what, outcome }) => ({ atMs, row: [at(atMs), what, outcome, '', '', '', ''] })),
  ];
  rows.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0));
  table.push(...rows.map(({ row }) => row));
  return rows.length === 0 ? '' : table.toString();
}

const LEGEND =
  'All times in ms. at: when it began; waited: before that, for a worker and for its turn on the host; took: from its beginning ' +
  'to its end, over all attempts; dark for: of the VM, at the end of the step. Empty or ?: the history does not tell.';

function stepCells({ step, beganMs, endedMs }: TimedStep): string[] {
  const { outcome, why } = outcomeOf(step);
  const what = [step.name, why === null ? outcome : `${outcome}: ${why}`];
  if (isNotReached(step)) return [...what, '', '', '', ''];
  const { attempts, scheduledMs, darkForMs } = step;
  return [
    ...what,
    String(attempts ?? '?'),
    shown(between(scheduledMs, beganMs)),
    shown(between(beganMs, endedMs)),
    darkForMs === null || darkForMs === 0 ? '' : shown(darkForMs),
  ];
}

function childrenText({ children }: Account): string {
  if (children.length === 0) return '';
  const table = plainTable(['child', 'type', 'outcome'], []);
  table.push(
    ...children.map(({ workflowId, runId, type, outcome }) => [
      `${workflowId}\n${runId ?? ''}`,
      type,
      outcome,
    ]),
  );
  return `${table.toString()}\nReplay one with: npm run replay -- <child> --run-id <run>`;
}

const blackoutsText = ({ blackouts }: Account): string => blackouts.map(blackoutText).join('\n');

function blackoutText({ vmId, ms, ended }: Blackout): string {
  const vm = vmId === null ? 'The VM' : vmId;
  return ended
    ? `${vm} was dark for ${ms.toFixed(1)} ms.`
    : `${vm} was dark for at least ${ms.toFixed(1)} ms; what ended it is not in this history.`;
}

function failureText(chain: readonly Link[]): string {
  const top = chain[0];
  if (top === undefined) return '';
  const root = rootOf(chain);
  const lines = chain.map(
    (link, depth) => `${'  '.repeat(depth)}${depth === 0 ? '' : 'because '}${linkText(link)}`,
  );
  const actions = new Set(
    [nextActionOf(top.type), nextActionOf(root?.type)].filter((action) => action !== null),
  );
  return [
    'Why it failed:',
    ...lines,
    ...(isFailureType(top.type) ? [`What it means: ${FAILURES[top.type].meaning}`] : []),
    ...[...actions].map((action) => `What to do: ${action}`),
  ].join('\n');
}

function linkText({ type, message, step, child, attempt, retryState }: Link): string {
  const retries = [attempt === null ? null : `attempt ${attempt}`, retryState]
    .filter((text) => text !== null)
    .join(', ');
  const suffix = retries === '' ? '' : ` (${retries})`;
  if (step !== null) return `the step ${step} failed${suffix}`;
  if (child !== null) return `the child ${child} failed${suffix}`;
  return `${type}: ${message}${suffix}`;
}

export const shown = (ms: number | null, digits = 1): string =>
  ms === null ? '' : ms.toFixed(digits);

/** Without colours: what is printed goes into tickets. Only columns of a given width wrap. */
export function plainTable(
  head: string[],
  numeric: readonly number[],
  wide: Readonly<Record<string, number>> = { outcome: OUTCOME_WIDTH },
) {
  const widths = head.map((name) => wide[name] ?? null);
  return new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_name, column) => (numeric.includes(column) ? 'right' : 'left')),
    colWidths: widths,
    wordWrap: true,
  });
}
const OUTCOME_WIDTH = 50;
