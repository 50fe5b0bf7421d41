import { setCurrentDetails } from '@temporalio/workflow';
import type { FleetProgress } from '../../contract/fleet-results';
import { serviceHostId } from '../../contract/queues';
import { withoutNextActions } from '../failures';
import { literal, markdownTable, page, runLink } from '../markdown';
import { showAttributes } from '../visibility';

/** Waves that the details show: details are at most 20 kB. */
const SHOWN = 30;

export function showWaiting(waitingFor: string | null): void {
  showAttributes({ WaitingFor: waitingFor });
}

/** The waves as a table, and what is waited for above it. `state`: how it ended, once it has. */
export function showFleet(progress: FleetProgress, state: string = progress.phase): void {
  const { waves, wave, waiting, inFlight, failures, concurrency, failureLimit } = progress;
  const first = Math.max(0, Math.min(wave - 1, waves.length - SHOWN));
  const rows = waves
    .slice(first, first + SHOWN)
    .map((w) => [
      w.number === wave ? `**${w.number}**` : String(w.number),
      ...[w.hosts, w.updated, w.failed, w.leftOut].map(String),
    ]);
  setCurrentDetails(
    page(
      `**${state}**, wave ${wave} of ${waves.length}, at most ${concurrency} hosts in flight`,
      waiting === null
        ? ''
        : `**waits for ${waiting.for}**: ${literal(withoutNextActions(waiting.detail))}`,
      inFlight.length === 0 ? '' : `in flight: ${inFlight.slice(0, 20).map(hostLink).join(', ')}`,
      markdownTable(['wave', 'hosts', 'updated', 'failed', 'left out'], rows),
      failures.length === 0
        ? ''
        : page(
            `Latest failures (more than ${failureLimit} stop the run):`,
            markdownTable(
              ['host', 'reason'],
              failures
                .slice(-5)
                .map((f) => [hostLink(f.hostId), literal(withoutNextActions(f.reason))]),
            ),
          ),
    ),
  );
}

/** The latest run of the host: a host has one at a time. */
const hostLink = (hostId: string) => runLink(hostId, { workflowId: serviceHostId(hostId) });
