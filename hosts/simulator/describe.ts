import type { Vitals, VmDescription } from '../../contract/host';
import type { AdapterFacts, Path } from '../../contract/results';
import { vfOutageMs } from './devices/guest';
import { produced, vfOf } from './devices/physical-function';
import { firstIdentityBefore, identityOf } from './identity';
import { describeCore } from '../engine/core';
import { imageOf } from './image';
import { passthroughFunctions } from './migration/functions';
import { eachAdapter } from './operations/each-adapter';
import type { AdapterObjects, Objects, VmState } from './state';

/** From best to worst: a VM came back as its worst adapter did. */
const ADAPTER_PATHS = ['kept', 'reattached', 'synthetic-only'] as const;

function pathOf({ path, adapters }: VmState): Path {
  if (path !== 'kept') return path;
  return ADAPTER_PATHS.findLast((worst) => adapters.some((a) => a.path === worst)) ?? 'kept';
}

function pathReasonOf({ path, pathReason, adapters }: VmState): string | null {
  if (path !== 'kept') return pathReason;
  const reasons = adapters.flatMap(({ adapterId, pathReason: reason }) =>
    reason === null ? [] : [adapters.length === 1 ? reason : `${adapterId}: ${reason}`],
  );
  return reasons.length === 0 ? pathReason : reasons.join('; ');
}

function describeAdapter(o: AdapterObjects): AdapterFacts {
  const { adapter, nowMs } = o;
  const { guest, before } = adapter;
  return {
    adapterId: adapter.adapterId,
    kind: adapter.kind,
    pfId: adapter.pfId,
    wantsVf: adapter.wantsVf,
    dataPath: guest.dataPath,
    path: adapter.path,
    pathReason: adapter.pathReason,
    identityBefore: adapter.identityBefore,
    identityAfter: identityOf(o),
    vfOutageMs: vfOutageMs(guest, nowMs) - before.vfOutageMs,
    guestVisibleEvents: guest.events.length - before.events,
    droppedPackets: guest.droppedPackets - before.droppedPackets,
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, n) => all + n, 0);

const classOf = ({ adapters }: VmState): string =>
  adapters
    .map(({ kind, pfId, wantsVf }) => (wantsVf ? `${kind} of ${pfId}` : `${kind} without a VF`))
    .sort()
    .join(', ') || 'no adapter';

/** What a guest does beside what its VFs bring. */
const DISK_OPERATIONS_PER_MS = 2;
const INTERRUPTS_PER_MS = 10;

/** All is worked out from the host's clock, as a ring is: a guest that hangs, or whose ring went back, shows. */
function vitalsOf(o: Objects): Vitals {
  const { vm, nowMs } = o;
  const rings = eachAdapter(o).flatMap((of) => {
    const vf = vfOf(of);
    return of.adapter.guest.dataPath === 'vf' && vf !== undefined ? [produced(vf.ring, nowMs)] : [];
  });
  const aliveMs = vm.guestHangs ? 0 : nowMs;
  const replayed = sum(vm.adapters.map(({ guest }) => guest.interruptsReplayed));
  return {
    packets: sum(rings),
    interrupts: replayed + Math.floor(aliveMs * INTERRUPTS_PER_MS),
    diskOperations: Math.floor(aliveMs * DISK_OPERATIONS_PER_MS),
    clockLagMs: vm.partition.guestClockLagMs,
  };
}

/** What the host says of one VM: where it stands and what was measured of its last operation. */
export function describeVm(o: Objects): VmDescription {
  const { vm, nowMs } = o;
  const { facts, ...core } = describeCore(vm, imageOf(vm), nowMs);
  const adapters = eachAdapter(o).map(describeAdapter);
  const withVf = adapters.filter(({ wantsVf }) => wantsVf);
  const identity = withVf[0]?.identityAfter ?? null;
  return {
    ...core,
    identity,
    dataPath: (withVf[0] ?? adapters[0])?.dataPath ?? 'none',
    adapterClass: classOf(vm),
    ...(facts.running ? { vitals: vitalsOf(o) } : {}),
    heartbeat: facts.running ? (vm.guestHangs ? 'lost' : 'ok') : 'none',
    passthrough: passthroughFunctions(o).map(({ adapterId, kind, namespace }) => ({
      ...{ adapterId, kind, namespace },
    })),
    facts: {
      ...facts,
      path: pathOf(vm),
      pathReason: pathReasonOf(vm),
      identityBefore: firstIdentityBefore(vm),
      identityAfter: identity,
      vfOutageMs: Math.max(0, ...withVf.map((a) => a.vfOutageMs)),
      guestVisibleEvents: sum(adapters.map((a) => a.guestVisibleEvents)),
      droppedPackets: sum(adapters.map((a) => a.droppedPackets)),
      ...(adapters.length === 1 && withVf.length === 1 ? {} : { adapters }),
    },
  };
}
