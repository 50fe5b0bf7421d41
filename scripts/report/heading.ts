import { FAILURES, isFailureType } from '../../contract/failures';
import { nextActionOf, rootOf } from '../replay/account';
import { tookMs } from '../replay/as-json';
import type { Link } from '../replay/failure-chain';
import { allRuns, chainOf, firstFailure, runsOf, type Node, type NodeRun } from '../replay/tree';
import { moment, time } from './figures';
import { outcomeOf } from './hosts';
import { html, list, table, type Html, type UiLinks } from './html';
import type { Tree } from './read-tree';
import { asFleetResult, asInput } from './results';
import { endOf } from './vms';

/** What the run was, how it ended, and, if it failed, why and what to do. */
export function heading({ node, from }: Tree, links: UiLinks): Html {
  const { account, workflowId, runId, missing } = node.last;
  if (account === null)
    return html`<p>
      The history of ${workflowId} (run ${runId}) is not there: ${missing ?? 'no reason is given'}.
    </p>`;
  const { update } = asInput(account.input);
  const took = tookMs(account);
  const fleet = asFleetResult(account.result);
  return html`${list([
    ['Outcome', html`<strong>${outcomeOf(account)}</strong>`],
    ['Update', update === null ? null : `${update.component} to ${update.version}`],
    ['Began', account.startedMs === null ? null : moment(account.startedMs)],
    [
      'Took',
      took === null ? 'still open where the history ends' : links.event(endOf(account), time(took)),
    ],
    ['Run', links.run({ workflowId, runId }, runId === '' ? 'not known' : runId)],
    ['Started by', account.parent],
    [
      'Continues',
      node.earlier.length === 0
        ? null
        : `${node.earlier.length} earlier runs, which are part of this report`,
    ],
    ['Read from', from],
    ['Why', account.chain.length > 0 ? null : (fleet?.reason ?? null)],
  ])}
  ${failure(node, links)} ${notThere(node)}`;
}

function failure(node: Node, links: UiLinks): Html {
  const chain = chainOf(node.last);
  const [top] = chain;
  if (top === undefined) return html``;
  const began = firstFailure(node);
  const actions = new Set(
    [nextActionOf(top.type), nextActionOf(rootOf(chain)?.type)].filter((action) => action !== null),
  );
  return html`<section class="failure" aria-labelledby="failure">
    <h2 id="failure">Why it failed</h2>
    <ol>
      ${chain.map((link) => html`<li>${linkText(link, node, links)}</li>`)}
    </ol>
    ${list([
      ['What it means', isFailureType(top.type) ? FAILURES[top.type].meaning : null],
      ['What to do', actions.size === 0 ? null : [...actions].join(' ')],
      [
        'It began in',
        began === null || began.runId === node.last.runId
          ? null
          : links.event(endOf(began), `${began.type} ${began.workflowId}`),
      ],
    ])}
  </section>`;
}

function linkText(
  { type, message, step, child, attempt, retryState }: Link,
  node: Node,
  links: UiLinks,
): Html {
  const retries = [attempt === null ? null : `attempt ${attempt}`, retryState].filter(
    (text) => text !== null,
  );
  const suffix = retries.length === 0 ? '' : ` (${retries.join(', ')})`;
  if (step !== null) return html`The step ${step} failed${suffix}`;
  if (child === null) return html`${type}: ${message}${suffix}`;
  const run = [...allRuns(node)].findLast(({ workflowId }) => workflowId === child)?.account;
  return html`The child ${run == null ? child : links.event(endOf(run), child)} failed${suffix}`;
}

/** Runs that belong here and could not be read. */
function notThere(node: Node): Html {
  const missing = [...allRuns(node)].filter(({ account }) => account === null);
  const unread = runsOf(node).flatMap(childrenNotRead);
  const rows = [
    ...missing.map((run) => [run.workflowId, run.runId, run.missing ?? 'no reason is given']),
    ...unread.map(({ workflowId, runId, outcome }) => [
      workflowId,
      runId,
      `not in the file; its parent says: ${outcome}`,
    ]),
  ];
  if (rows.length === 0) return html``;
  return html`<details class="missing">
    <summary>
      Runs that belong to this one and are not here: ${rows.length}. What only they tell is left
      out.
    </summary>
    ${table('Runs that are not here', [{ name: 'workflow' }, { name: 'run' }, { name: 'why' }], rows)}
  </details>`;
}

const childrenNotRead = ({ account, children }: NodeRun) =>
  (account?.children ?? []).filter(
    ({ runId }) =>
      runId !== null && !children.some((child) => runsOf(child).some((run) => run.runId === runId)),
  );
