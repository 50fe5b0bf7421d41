import Table from 'cli-table3';
import type { FleetResult } from '../../contract/fleet-results';
import { EXIT } from './ended';

export const exitCodeOf = (outcome: FleetResult['outcome']): number => {
  switch (outcome) {
    case 'updated':
      return EXIT.ok;
    case 'incomplete':
      return EXIT.incomplete;
    case 'aborted':
      return EXIT.aborted;
    case 'failed':
    case 'rolledBack':
      return EXIT.failed;
  }
};

/** For people: every host, then what it comes to. */
export function resultTable(result: FleetResult): string {
  const { hosts, refused, counts, outcome, update, reason, longestBlackoutMs } = result;
  const table = new Table({
    head: ['wave', 'host', 'outcome', 'version', 'VMs kept', 'longest blackout', 'why'],
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [6, null, null, null, null, null, 50],
  });
  for (const host of hosts)
    table.push([
      String(host.wave),
      host.hostId,
      host.outcome,
      host.versionAfter === null ? '-' : `${host.versionBefore ?? '-'} → ${host.versionAfter}`,
      host.vms === 0 ? '-' : `${String(host.vmsKept)} of ${String(host.vms)}`,
      host.longestBlackoutMs === null ? '-' : seconds(host.longestBlackoutMs),
      host.reason ?? '',
    ]);
  return [
    ...(hosts.length === 0 ? [] : [table.toString()]),
    ...refused.map((host) => `refused: ${host.hostId}: ${host.reason}`),
    `${outcome}: ${update.component} ${update.version} on ${String(counts.updated)} of ${String(counts.planned)} hosts, ` +
      `${String(counts.failed)} failed, ${String(counts.skipped + counts.busy)} left out, ${String(counts.notStarted)} not started, ${String(refused.length)} refused` +
      `${longestBlackoutMs === null ? '' : `; longest blackout ${seconds(longestBlackoutMs)}`}.`,
    ...(reason === null ? [] : [`Why: ${reason}`]),
    ...result.undelivered.map((line) => `not delivered: ${line}`),
  ].join('\n');
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
