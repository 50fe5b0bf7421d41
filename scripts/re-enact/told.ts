import Table from 'cli-table3';
import type { ActedOut } from './act-out';
import type { Chosen } from './chosen-run';
import { endInWords, failureInWords, isSameEnd, vmInWords, type RunEnd } from './compared';

/** One JSON object; times in ms. */
export function asJson(
  { workflowId, type, unrepeatable }: Chosen,
  recorded: RunEnd,
  acted: readonly ActedOut[],
): string {
  const reenacted = acted.map(({ by: { code, buildId }, end, notes }) => ({
    code,
    buildId,
    ...end,
    same: isSameEnd(recorded, end),
    notes,
  }));
  return JSON.stringify({ workflowId, type, recorded, reenacted, unrepeatable }, null, 2);
}

/** A table of how each ended, what may be why they differ, and a last line in words. */
export function asText(
  { workflowId, type, unrepeatable }: Chosen,
  recorded: RunEnd,
  acted: readonly ActedOut[],
): string {
  const [first] = acted;
  const differs = first !== undefined && !isSameEnd(recorded, first.end);
  const notes = [
    ...acted.flatMap(({ by, notes }) => notes.map((note) => `With the ${by.code} code: ${note}`)),
    ...(differs
      ? unrepeatable.map((each) => `In the recorded run: ${each} That is not repeated.`)
      : []),
  ];
  return [`${type} ${workflowId}`, table(recorded, acted), ...notes, verdict(recorded, acted)].join(
    '\n',
  );
}

function table(recorded: RunEnd, acted: readonly ActedOut[]): string {
  const ends = [recorded, ...acted.map(({ end }) => end)];
  const heads = ['recorded', ...acted.map(({ by }) => `with the ${by.code} code`)];
  const rows = new Table({ head: ['', ...heads], style: { head: [], border: [], compact: true } });
  const row = (name: string, cell: (end: RunEnd) => string) => {
    rows.push([name, ...ends.map(cell)]);
  };
  row('outcome', (end) => [end.outcome, ...(end.detail === null ? [] : [end.detail])].join(': '));
  row('failure', ({ failure }) => (failure === null ? '' : failureInWords(failure)));
  for (const vmId of new Set(ends.flatMap(({ vms }) => vms.map((vm) => vm.vmId)))) {
    row(vmId, ({ vms }) => {
      const vm = vms.find((each) => each.vmId === vmId);
      return vm === undefined ? '' : vmInWords(vm);
    });
  }
  row('took', ({ tookMs }) => (tookMs === null ? '' : `${tookMs.toFixed(0)} ms`));
  return rows.toString();
}

function verdict(recorded: RunEnd, acted: readonly ActedOut[]): string {
  return acted
    .map(({ by, end }, index) => {
      const same = isSameEnd(recorded, end);
      if (index === 0 && same) return sameText(recorded);
      if (index === 0)
        return `Another end: it ${endInWords(end)}${by.code === 'present' ? ' with the present code' : ''}, the recorded run ${endInWords(recorded)}.`;
      return presentText(end, same);
    })
    .join(' ');
}

const sameText = (end: RunEnd): string =>
  end.failure === null
    ? `The same end: ${endInWords(end)}.`
    : `The same failure: ${failureInWords(end.failure)}.`;

function presentText(end: RunEnd, same: boolean): string {
  if (same) return 'With the present code it comes to the same end.';
  if (end.outcome === 'completed') return 'With the present code it succeeds.';
  return `With the present code it comes to another end: it ${endInWords(end)}.`;
}
