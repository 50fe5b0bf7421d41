import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import { setCurrentDetails, upsertMemo, upsertSearchAttributes } from '@temporalio/workflow';
import type { SEARCH_ATTRIBUTES } from '../contract/search-attributes';
import type { ServiceHostResult } from '../contract/results';
import type { StepReport } from '../contract/steps';

/**
 * What people see of a run. None of this may be called between `pauseVm` and `resumeVm`: each would add to the time
 * that the VM is dark.
 */
export function showAttributes(values: Partial<Record<keyof typeof SEARCH_ATTRIBUTES, string>>): void {
  upsertSearchAttributes(
    Object.entries(values).map(
      ([name, value]): SearchAttributePair => ({ key: defineSearchAttributeKey(name, 'KEYWORD'), value }),
    ),
  );
}

export function showSteps(title: string, steps: readonly StepReport[]): void {
  const rows = steps.map(
    (s) => `| ${s.name} | ${s.direction} | ${s.status} | ${s.ms.toFixed(1)} | ${String(s.attempts)} |`,
  );
  setCurrentDetails(
    [`**${title}**`, '', '| step | direction | status | ms | attempts |', '|---|---|---|---:|---:|', ...rows].join('\n'),
  );
}

/** Current details of a closed run need a live worker, so what to do next stands in the memo too. */
export function showEnd(outcome: string, nextAction: string | null): void {
  showAttributes({ Outcome: outcome, Phase: 'done' });
  if (nextAction !== null) upsertMemo({ nextAction });
}

export function showVms(result: ServiceHostResult): void {
  const rows = result.vms.map(
    ({ vmId, facts }) =>
      `| ${vmId} | ${facts.path} | ${facts.blackoutMs.toFixed(1)} | ${facts.vfOutageMs.toFixed(1)} | ${String(facts.identityAfter?.vfId ?? '-')} | ${facts.identityAfter?.luid ?? '-'} |`,
  );
  setCurrentDetails(
    [
      `**${result.hostId}: ${result.outcome}** (${result.component} ${result.versionBefore} → ${result.versionAfter})`,
      '',
      '| VM | path | blackout ms | VF outage ms | VF ID | LUID |',
      '|---|---|---:|---:|---:|---|',
      ...rows,
    ].join('\n'),
  );
}
