import type { VmDescription } from '../../contract/host';
import { vfOutageMs } from './devices/guest';
import { identityOf } from './identity';
import { darkForMs, phaseOf } from './leases';
import type { Objects } from './state';

/** What the host says of one VM: where it stands and what was measured of its last operation. */
export function describeVm(o: Objects): VmDescription {
  const { vm, nowMs } = o;
  const running = vm.partition.state === 'running';
  return {
    vmId: vm.vmId,
    phase: phaseOf(vm),
    holder: vm.lease?.holder ?? null,
    generation: vm.generation,
    crossed: vm.pointOfNoReturn !== null,
    darkForMs: darkForMs(vm, nowMs),
    identity: identityOf(o),
    dataPath: vm.guest.dataPath,
    heartbeat: running ? (vm.guest.hangs === true ? 'lost' : 'ok') : 'none',
    blackouts: vm.blackouts ?? [],
    facts: {
      running,
      path: vm.path,
      pathReason: vm.pathReason,
      identityBefore: vm.identityBefore,
      identityAfter: identityOf(o),
      blackoutMs: running ? vm.blackoutMs : darkForMs(vm, nowMs),
      vfOutageMs: vfOutageMs(vm.guest, nowMs) - vm.before.vfOutageMs,
      guestVisibleEvents: vm.guest.events.length - vm.before.events,
      droppedPackets: vm.guest.droppedPackets - vm.before.droppedPackets,
      withinBudget: vm.withinBudget,
      stackVersion: vm.workerProcess.version,
    },
  };
}
