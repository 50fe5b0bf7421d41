import { setCurrentDetails } from '@temporalio/workflow';
import type { FleetProgress } from '../../contract/fleet-results';
import { markdownTable, showAttributes } from '../visibility';

/** Waves that the details show: details are at most 20 kB. */
const SHOWN = 30;

export function showWaiting(waitingFor: string | null): void {
  showAttributes({ WaitingFor: waitingFor });
}

/** The waves as a table, and what is waited for above it. */
export function showFleet(progress: FleetProgress): void {
  const { waves, wave, waiting, inFlight, failures, concurrency, failureLimit } = progress;
  const first = Math.max(0, Math.min(wave - 1, waves.length - SHOWN));
  const rows = waves
    .slice(first, first + SHOWN)
    .map((w) => [
      w.number === wave ? `**${w.number}**` : String(w.number),
      ...[w.hosts, w.updated, w.failed, w.leftOut].map(String),
    ]);
  setCurrentDetails(
    [
      `**${progress.phase}**, wave ${wave} of ${waves.length}, at most ${concurrency} hosts in flight`,
      waiting === null ? '' : `**waits for ${waiting.for}**: ${waiting.detail}`,
      inFlight.length === 0 ? '' : `in flight: ${inFlight.slice(0, 20).join(', ')}`,
      failures.length === 0
        ? ''
        : `failures (more than ${failureLimit} stop the run): ${failures
            .slice(-5)
            .map((f) => `${f.hostId}: ${f.reason}`)
            .join('; ')}`,
      markdownTable(['wave', 'hosts', 'updated', 'failed', 'left out'], rows),
    ]
      .filter((part) => part !== '')
      .join('\n\n'),
  );
}
