import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import {
  getCurrentDetails,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { FAILURES, type FailureType } from '../contract/failures';
import type { CommandFunctionResult } from '../contract/functions';
import type { SEARCH_ATTRIBUTES } from '../contract/search-attributes';
import {
  functionsOf,
  type FastRestoreResult,
  type FastSaveResult,
  type MigrateVmResult,
} from '../contract/results';
import type { StepReport } from '../contract/steps';
import { failureFacts, withoutNextActions } from './failures';
import { lastFailure, type LastFailure } from './last-failure';
import { codeBlock, literal, markdownTable, page, runLink } from './markdown';

/**
 * What people see of a run. None of this may be called between `pauseVm` and `resumeVm`: each would add to the time
 * that the VM is dark. When a run ends there is nothing left to delay.
 */
export function showAttributes(
  values: Partial<Record<keyof typeof SEARCH_ATTRIBUTES, string | null>>,
): void {
  upsertSearchAttributes(
    Object.entries(values).map(([name, value]): SearchAttributeUpdatePair => ({
      key: defineSearchAttributeKey(name, 'KEYWORD'),
      value,
    })),
  );
}

/**
 * The first attributes of a run. Outcome and what it waits for are taken away: the UI's form fills them in from an
 * earlier run, whose they are.
 */
export function showBeginning(
  values: Partial<Record<keyof typeof SEARCH_ATTRIBUTES, string | null>>,
): void {
  showAttributes({ Outcome: null, WaitingFor: null, ...values });
}

/** The steps of a VM's run so far. */
export function showSteps(title: string, steps: readonly StepReport[]): void {
  setCurrentDetails(page(`**${title}**${parentLink()}`, stepsTable(steps)));
}

function stepsTable(steps: readonly StepReport[]): string {
  return markdownTable(
    ['step', 'status', 'ms', 'attempts'],
    steps.map(({ name, direction, status, ms, attempts, hostId }) => [
      (direction === 'forward' ? name : `${direction}: ${name}`) +
        (hostId === undefined ? '' : ` (${hostId})`),
      status === 'failed' ? '**failed**' : status,
      ms.toFixed(1),
      String(attempts),
    ]),
  );
}

function parentLink(): string {
  const { parent } = workflowInfo();
  return parent === undefined ? '' : `, part of ${runLink(parent.workflowId, parent)}`;
}

/** How a save ended, beside `showEnd`. */
export function showSaved(result: FastSaveResult, nextAction: string | null): void {
  const { vmId, hostId, identity, withoutVfRecord, steps } = result;
  setCurrentDetails(
    page(
      `**${vmId} on ${hostId}: saved** (${result.mode})${parentLink()}`,
      nextAction === null ? '' : `**Next action:** ${nextAction}`,
      identity === null ? '' : `VF ID ${identity.vfId}, LUID ${identity.luid}`,
      withoutVfRecord === null ? '' : `Without a VF record: ${literal(withoutVfRecord)}`,
      stepsTable(steps),
    ),
  );
}

/** How a restore ended, beside `showEnd`. */
export function showRestored({ vmId, hostId, outcome, mode, vm, steps }: FastRestoreResult): void {
  const { path, pathReason, blackoutMs, vfOutageMs, withinBudget } = vm;
  const identities = functionsOf(vm).map(({ identityAfter }) => identityAfter);
  setCurrentDetails(
    page(
      `**${vmId} on ${hostId}: ${outcome === 'restored' ? path : 'not needed'}** (${mode})${parentLink()}`,
      pathReason === null ? '' : literal(pathReason),
      outcome === 'notNeeded'
        ? 'The save was undone; the VM runs as before.'
        : markdownTable(
            ['blackout ms', 'VF outage ms', 'within budget', 'VF ID', 'LUID'],
            [
              [
                blackoutMs.toFixed(1),
                vfOutageMs.toFixed(1),
                withinBudget ? 'yes' : '**no**',
                identities.map((vf) => vf?.vfId ?? '-').join(', '),
                identities.map((vf) => vf?.luid ?? '-').join(', '),
              ],
            ],
          ),
      stepsTable(steps),
    ),
  );
}

/** How a migration ended, beside `showEnd`. */
export function showMigrated(result: MigrateVmResult): void {
  const { vmId, fromHostId, toHostId, outcome, method, reason, ledger, drain, functions } = result;
  setCurrentDetails(
    page(
      `**${vmId} from ${fromHostId} to ${toHostId}: ${outcome}** (${method})${parentLink()}`,
      reason === null ? '' : literal(reason),
      markdownTable(
        ['blackout ms', 'VF outage ms', 'within budget', 'drained commands', 'drain ms'],
        [
          [
            result.blackoutMs?.toFixed(1) ?? '-',
            result.vfOutageMs.toFixed(1),
            result.withinBudget ? 'yes' : '**no**',
            String(drain?.commands ?? '-'),
            drain?.ms.toFixed(1) ?? '-',
          ],
        ],
      ),
      markdownTable(
        ['submitted', 'executed', 'completed', 'lost', 'executed twice', 'out of order'],
        [
          [
            ledger.submitted,
            ledger.executed,
            ledger.completed,
            ledger.lost,
            ledger.executedTwice,
            ledger.outOfOrder,
          ].map(String),
        ],
      ),
      markdownTable(
        ['function', 'kind', 'before', 'after'],
        functions.map(({ adapterId, kind, before, after }) => [
          adapterId,
          kind,
          before === null ? '-' : `VF ${before.vfId}, ${before.luid}`,
          after === null ? '-' : `VF ${after.vfId}, ${after.luid}`,
        ]),
      ),
      stepsTable(result.steps),
    ),
  );
}

/** What came of a function command, beside `showEnd`. */
export function showCommanded(result: CommandFunctionResult): void {
  const { functionId, operation, performedAt, output, outputLocation, decisions } = result;
  setCurrentDetails(
    page(
      `**${literal(functionId)}: ${operation} performed** at ${literal(performedAt)}`,
      outputLocation === null ? '' : `The output is in buffer ${literal(outputLocation)}.`,
      output === null ? '' : codeBlock([JSON.stringify(output, null, 1)]),
      markdownTable(
        ['decided by', 'function', 'rule', 'policy'],
        decisions.map((d) => [d.hostId, d.functionId, d.rule, d.policyVersion]),
      ),
    ),
  );
}

/** Current details of a closed run need a live worker, so what to do next stands in the memo too. */
export function showEnd(outcome: string, nextAction: string | null): void {
  showAttributes({ Outcome: outcome, Phase: 'done' });
  if (nextAction !== null) upsertMemo({ nextAction });
}

/**
 * How a failed run ended: what it means, what to do, what failed last, and how to take it home; below that what was shown
 * before, or the steps where the failure has them. The memo has the same in short.
 */
export function showFailure(type: FailureType, error: unknown): void {
  const { nextAction, meaning } = FAILURES[type];
  const last = lastFailure(error);
  showAttributes({ Outcome: type, Phase: 'done' });
  upsertMemo({ nextAction, lastFailure: { ...last, message: last.message.slice(0, 1_000) } });
  setCurrentDetails(
    page(
      `**Failed: ${type}.** ${meaning}`,
      `**Next action:** ${nextAction}`,
      failureTable(last),
      'Replay it, take it home in one file, or get a report of it, in a checkout of holdfast:',
      codeBlock(commands()),
      stepsOf(error) ?? getCurrentDetails(),
    ),
  );
}

function failureTable({ type, message, step, attempt, run }: LastFailure): string {
  return markdownTable(
    ['last failure', type],
    [
      ['message', literal(message)],
      ...(step === null ? [] : [['step', step]]),
      ...(attempt === null ? [] : [['attempt', String(attempt)]]),
      ...(run === null ? [] : [['in', runLink(run.workflowId, run)]]),
    ],
  );
}

/** What a person runs to see more: a workflow id may be anything. */
function commands(): readonly string[] {
  const { workflowId, runId } = workflowInfo();
  const id = /^[\w./:@%+=-]+$/.test(workflowId)
    ? workflowId
    : `'${workflowId.replaceAll("'", "'\\''")}'`;
  // Two lines each: the UI's frame is narrow, and what is cut off cannot be seen.
  return [
    `npm run replay -- ${id} \\`,
    `  --run-id ${runId}`,
    `npm run replay -- --export ${id} \\`,
    `  --run-id ${runId} run.hfbundle`,
    `npm run report -- ${id} \\`,
    `  --run-id ${runId}`,
  ];
}

function stepsOf(error: unknown): string | undefined {
  const { steps } = failureFacts(error);
  return Array.isArray(steps) ? stepsTable(steps as StepReport[]) : undefined;
}

/** A run that was cancelled says what became of the VMs. */
export function showCancelled(message: string): void {
  showAttributes({ Outcome: 'cancelled', Phase: 'done' });
  setCurrentDetails(
    page(`**Cancelled.** ${literal(withoutNextActions(message))}`, getCurrentDetails()),
  );
}
