import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import { setCurrentDetails, upsertMemo, upsertSearchAttributes } from '@temporalio/workflow';
import type { SEARCH_ATTRIBUTES } from '../contract/search-attributes';
import type { ServiceHostResult, VmVerdict } from '../contract/results';
import type { StepReport } from '../contract/steps';

/**
 * What people see of a run. None of this may be called between `pauseVm` and `resumeVm`: each would add to the time
 * that the VM is dark.
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

export function showSteps(title: string, steps: readonly StepReport[]): void {
  setCurrentDetails(
    `**${title}**\n\n` +
      markdownTable(
        ['step', 'direction', 'status', 'ms', 'attempts'],
        steps.map((s) => [s.name, s.direction, s.status, s.ms.toFixed(1), String(s.attempts)]),
      ),
  );
}

/** Current details of a closed run need a live worker, so what to do next stands in the memo too. */
export function showEnd(outcome: string, nextAction: string | null): void {
  showAttributes({ Outcome: outcome, Phase: 'done' });
  if (nextAction !== null) upsertMemo({ nextAction });
}

export function showVerdicts(verdicts: readonly VmVerdict[]): void {
  setCurrentDetails(
    markdownTable(
      ['VM', 'verdict', 'reason'],
      verdicts.map((v) => [v.vmId, v.verdict, v.reason]),
    ),
  );
  upsertMemo({ verdicts });
}

export function showVms(result: ServiceHostResult): void {
  const { hostId, outcome, component, versionBefore, versionAfter } = result;
  setCurrentDetails(
    `**${hostId}: ${outcome}** (${component} ${versionBefore} → ${versionAfter})\n\n` +
      markdownTable(
        ['VM', 'path', 'blackout ms', 'VF outage ms', 'VF ID', 'LUID'],
        result.vms.map(({ vmId, facts }) => [
          vmId,
          facts.path,
          facts.blackoutMs.toFixed(1),
          facts.vfOutageMs.toFixed(1),
          String(facts.identityAfter?.vfId ?? '-'),
          facts.identityAfter?.luid ?? '-',
        ]),
      ),
  );
}

/** The UI sets table cells close together, so each brings its own space. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => `\u00a0${cell}\u00a0`).join(' | ')} |`;
  return [row(head), `|${'---|'.repeat(head.length)}`, ...rows.map(row)].join('\n');
}
