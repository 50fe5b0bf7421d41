import { refused } from '../../engine/refused';
import { move, type LegalMoves } from '../legal-moves';

/** The VM worker process (VMWP): one per VM, from a stack of a version. */
export interface WorkerProcessState {
  number: number;
  state: WorkerProcessPhase;
  version: string;
  /** HCS WorkerExitDetail. */
  exitDetail: 'FastSavePreservePartitionHandleTransferNetworking' | 'Save' | null;
}
type WorkerProcessPhase = 'prepared' | 'running' | 'exited';

const MOVES: LegalMoves<WorkerProcessPhase> = {
  prepared: ['running', 'exited'],
  running: ['exited'],
  exited: [],
};

export const prepareWorkerProcess = (number: number, version: string): WorkerProcessState => ({
  number,
  state: 'prepared',
  version,
  exitDetail: null,
});

/** Starts the prepared process on the VM; two for one VM would both own the partition. */
export function startWorkerProcess(
  next: WorkerProcessState,
  old: WorkerProcessState,
): WorkerProcessState {
  if (old.state === 'running') {
    throw refused(
      `Worker process ${String(old.number)} still runs the VM; a second one cannot start.`,
    );
  }
  return { ...next, state: move('VM worker process', MOVES, next.state, 'running') };
}

export function exitWorkerProcess(
  p: WorkerProcessState,
  detail: NonNullable<WorkerProcessState['exitDetail']>,
): void {
  p.state = move('VM worker process', MOVES, p.state, 'exited');
  p.exitDetail = detail;
}

export const custodianName = (p: WorkerProcessState): string => `vmwp#${String(p.number)}`;
