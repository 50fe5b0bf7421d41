import { refused } from '../../engine/refused';
import { move, type LegalMoves } from '../legal-moves';

/**
 * The hypervisor partition: virtual processors, guest memory map, IOMMU domain. It outlives the worker process: while
 * none lives, the hypervisor itself is the custodian and the pages stay pinned, since the held device does DMA.
 */
export interface PartitionState {
  state: PartitionPhase;
  /** Who keeps partition, memory map and IOMMU domain: a worker process by number, or the hypervisor. */
  custodian: string;
  pagesPinned: boolean;
  pausedAtMs: number | null;
  /** How far the guest's clock lags behind, ms; 0 after a resume has resynchronised it. */
  guestClockLagMs: number;
}
type PartitionPhase = 'running' | 'suspended' | 'preserved' | 'gone';

const MOVES: LegalMoves<PartitionPhase> = {
  running: ['suspended', 'gone'],
  suspended: ['running', 'preserved', 'gone'],
  preserved: ['suspended', 'gone'],
  gone: ['running'],
};

const go = (p: PartitionState, to: PartitionPhase) => {
  p.state = move('hypervisor partition', MOVES, p.state, to);
};

export function suspendVirtualProcessors(p: PartitionState, nowMs: number): void {
  go(p, 'suspended');
  p.pausedAtMs = nowMs;
}

/** Saving needs every virtual processor explicitly suspended (HCS_E_INVALID_STATE otherwise). */
export function preservePartition(p: PartitionState): void {
  if (p.state === 'running') {
    throw refused(
      'The partition cannot be saved while it runs (HCS_E_INVALID_STATE): pause it first.',
    );
  }
  go(p, 'preserved');
}

/** The worker process gives the partition up, or takes it over. */
export const handPartitionTo = (p: PartitionState, custodian: string): void => {
  p.custodian = custodian;
};

export const reattachPartition = (p: PartitionState): void => go(p, 'suspended');

/** Resumes the virtual processors and resynchronises the guest's clock. Answers how long they stood, ms. */
export function resumeVirtualProcessors(p: PartitionState, nowMs: number): number {
  go(p, 'running');
  const darkForMs = p.pausedAtMs === null ? 0 : nowMs - p.pausedAtMs;
  p.pausedAtMs = null;
  p.guestClockLagMs = 0;
  return darkForMs;
}

/** The guest is started from nothing: its memory is lost. */
export function startCold(p: PartitionState): void {
  if (p.state !== 'gone') go(p, 'gone');
  p.pagesPinned = true;
}
