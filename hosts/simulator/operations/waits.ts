import { HoldfastError } from '../../../contract/failures';
import { refused } from '../legal-moves';
import {
  giveUpUpdate,
  isDecided,
  isNextToRestore,
  isPrepared,
  isTooLate,
  markAdmitted,
  markRestoreWaiting,
  memberOf,
} from '../servicing';
import type { StepOperation } from './operation';

const alone = 'the VM is not part of a servicing run';

/** All VMs of a servicing run are prepared before the first one pauses, so that they are dark together and briefly. */
export const awaitPause: StepOperation = {
  notApplicable: (o) => (memberOf(o) === undefined ? alone : undefined),
  ready: (o) => {
    const servicing = memberOf(o);
    if (servicing === undefined) return true;
    if (servicing.aborted !== null) {
      throw new HoldfastError(
        'BarrierBroken',
        `${o.vm.vmId} does not pause: ${servicing.aborted}.`,
      );
    }
    return isPrepared(servicing);
  },
  inPlace: () => false,
  effect: () => ({}),
};

/** The host-wide barrier and the durable mark: no VM crosses until all have finished `saveVm`. */
export const crossPointOfNoReturn: StepOperation = {
  ready: (o) => {
    const servicing = memberOf(o);
    if (servicing === undefined || servicing.crossed) return true;
    if (servicing.aborted !== null) {
      throw new HoldfastError(
        'BarrierBroken',
        `${o.vm.vmId} does not cross: ${servicing.aborted}.`,
      );
    }
    return servicing.members.every((id) => servicing.saved.includes(id));
  },
  inPlace: ({ vm }) => vm.pointOfNoReturn !== null,
  effect: (c) =>
    c.run('PointOfNoReturn.Cross', (o) => {
      const { record, adapters } = o.vm;
      const unsaved = adapters.find(({ vdev }) => vdev.state !== 'Saved');
      if (record?.state !== 'committed' || unsaved !== undefined) {
        // Only forward from there, and without these there is no way forward.
        throw refused(
          `${o.vm.vmId} cannot cross: its record is ${record?.state ?? 'missing'}, its adapter ${unsaved?.vdev.state ?? 'Saved'}.`,
        );
      }
      const servicing = memberOf(o);
      if (servicing !== undefined) {
        if (servicing.aborted !== null && !servicing.crossed) {
          throw new HoldfastError(
            'BarrierBroken',
            `${o.vm.vmId} does not cross: ${servicing.aborted}.`,
          );
        }
        servicing.crossed = true;
      }
      o.vm.pointOfNoReturn = { generation: c.generation, atMs: o.nowMs };
      return {};
    }),
};

/** The run was stopped before this VM's save had begun: nobody is there to undo it, and none will come. */
function neverSaved(o: Parameters<typeof memberOf>[0]): boolean {
  const servicing = memberOf(o);
  return servicing?.aborted != null && !servicing.crossed && o.vm.lease === null;
}

/** Waits for the update and for the VM's turn: who has been dark longest goes first. */
export const awaitUpdate: StepOperation = {
  anyGeneration: true,
  arrive: ({ host, vm }) => {
    markRestoreWaiting(host, vm.vmId);
  },
  notApplicable: (o, generation) => {
    const undone =
      o.vm.lease?.generation !== generation && o.vm.nextLease?.generation !== generation;
    if (undone || neverSaved(o)) return 'saveUndone';
    return memberOf(o) === undefined ? alone : undefined;
  },
  ready: (o, generation) => {
    const servicing = memberOf(o);
    if (servicing === undefined) return true;
    const open = isDecided(servicing) || isTooLate(o);
    return open && o.vm.lease?.generation === generation && isNextToRestore(o, servicing);
  },
  inPlace: () => false,
  effect: (c) =>
    c.run('Servicing.AdmitRestore', (o) => {
      const servicing = memberOf(o);
      if (servicing === undefined) return {};
      // The budget decides for the old stack: the update did not come in time.
      giveUpUpdate(o.host);
      markAdmitted(o.host, o.vm.vmId);
      return { update: servicing.update };
    }),
};

/** The save ends only when its VM runs again: its last hops would cost the restores of the host their time. */
export const awaitResume: StepOperation = {
  notApplicable: (o) => (memberOf(o) === undefined ? alone : undefined),
  ready: ({ vm }) => vm.partition.state === 'running' || vm.stranded !== null,
  anyGeneration: true,
  inPlace: () => false,
  effect: () => ({}),
};
