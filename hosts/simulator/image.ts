import type { CoreImage } from '../engine/state';
import { phaseOf as phaseOfImage } from '../engine/phase';
import type { VmState } from './state';

/** What the engine decides by, of a simulated VM. */
export function imageOf({
  partition,
  workerProcess,
  record,
  adapters,
  migration,
}: VmState): CoreImage {
  const running = partition.state === 'running';
  const held = adapters.find(({ custody, vpci }) => custody !== null || vpci.hold !== null);
  return {
    running,
    pausedAtMs: partition.pausedAtMs,
    process: workerProcess.state === 'exited' ? 'exited' : 'running',
    record,
    hold: held === undefined ? null : (held.vpci.hold ?? 'instruct-skip'),
    untouched: adapters.every(({ vdev }) => vdev.optimizations === 'enabled'),
    away: running ? null : awayOf(migration),
    version: workerProcess.version,
  };
}

/** Where the VM stands at the end of a migration that does not run it. */
function awayOf(migration: VmState['migration']): CoreImage['away'] {
  if (migration === undefined) return null;
  if (migration.role === 'source') return migration.relinquished === null ? null : 'relinquished';
  return migration.over === null ? 'incoming' : null;
}

export const phaseOf = (vm: VmState) => phaseOfImage(vm, imageOf(vm));
