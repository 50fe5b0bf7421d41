import { HoldfastError } from '../../../contract/failures';
import {
  giveUpUpdate,
  hasTurn,
  isDecided,
  isNextToPause,
  isNextToRestore,
  isRolling,
  isSaved,
  markAdmitted,
  markArmed,
  markRestoreWaiting,
  memberOf,
  takeTurn,
  updateDueByMs,
  whyNot,
} from '../gates';
import type { Operations } from '../operation';
import type { GateStep, Port } from '../port';
import type { CoreObjects } from '../state';

const alone = 'the VM is not part of a servicing run';

const refuseAborted = ({ host, vm }: CoreObjects, what: 'pause' | 'cross'): void => {
  const servicing = memberOf({ host, vm });
  if (servicing === undefined || servicing.crossed) return;
  const of = vm.lease?.servicing ?? servicing.generation;
  // In a rolling run a VM whose turn it is goes on: no other waits for it.
  if (of === servicing.generation && hasTurn(servicing, vm.vmId)) return;
  const isOfRun = of === servicing.generation;
  const why = isOfRun ? whyNot(servicing, vm.vmId) : 'its run was taken over';
  if (why !== null)
    throw new HoldfastError('BarrierBroken', `${vm.vmId} does not ${what}: ${why}.`);
};

/** Whether the call is of the run that the host is in: one of an older run, that comes late, arms nothing. */
const isOfRun = ({ host: { servicing }, vm }: CoreObjects, generation: number): boolean =>
  [vm.lease, vm.nextLease].some(
    (lease) => lease?.generation === generation && lease.servicing === servicing?.generation,
  );

/** The run was stopped before this VM was paused: it is not saved any more, whether or not its save's run is there to say so. */
function neverSaved(o: CoreObjects, isRunning: boolean): boolean {
  const servicing = memberOf(o);
  if (servicing === undefined || servicing.crossed || !isRunning) return false;
  return whyNot(servicing, o.vm.vmId) !== null && !hasTurn(servicing, o.vm.vmId);
}

/** The steps of a VM that wait for the others of its servicing run, whatever hypervisor they have. */
export const gateSteps = <O extends CoreObjects>(port: Port<O>) => {
  const devicesOf = ({ vm }: O) => port.servesOneAtATime?.(vm) ?? [];
  return {
    /**
     * All VMs of a servicing run are prepared before the first one pauses, so that they are dark together and briefly. In a
     * rolling run each waits for its own restore to be prepared, and for its turn.
     */
    awaitPause: {
      waitsAt: 'pause',
      arrive: (o, generation) => {
        if (isOfRun(o, generation)) markArmed(o.host, o.vm.vmId);
      },
      notApplicable: (o) => (memberOf(o) === undefined ? alone : undefined),
      ready: (o) => {
        const servicing = memberOf(o);
        if (servicing === undefined) return true;
        refuseAborted(o, 'pause');
        return isRolling(servicing)
          ? isNextToPause(o.vm.vmId, servicing, devicesOf(o))
          : servicing.pauseUntilMs !== null;
      },
      begin: (o) => {
        const servicing = memberOf(o);
        if (servicing !== undefined) takeTurn(servicing, o.vm.vmId, devicesOf(o));
      },
      effect: () => ({}),
    },

    /** The host-wide barrier and the durable mark: no VM crosses until all have finished `saveVm`. */
    crossPointOfNoReturn: {
      waitsAt: 'cross',
      ready: (o) => {
        const servicing = memberOf(o);
        if (servicing === undefined || servicing.crossed) return true;
        refuseAborted(o, 'cross');
        return isRolling(servicing) || isSaved(servicing);
      },
      inPlace: ({ vm }) => vm.pointOfNoReturn !== null,
      effect: (c) =>
        c.run('PointOfNoReturn.Cross', (o) => {
          // Only forward from there, and without these there is no way forward.
          port.refuseUncrossable(o);
          refuseAborted(o, 'cross');
          const servicing = memberOf(o);
          if (servicing !== undefined && o.vm.nextLease === null)
            throw new HoldfastError(
              'BarrierBroken',
              `${o.vm.vmId} does not cross: no restore waits for it.`,
            );
          if (servicing !== undefined && !isRolling(servicing)) servicing.crossed = true;
          o.vm.pointOfNoReturn = { generation: c.generation, atMs: o.nowMs };
          return {};
        }),
    },

    /** Waits for the update and for the VM's turn: who has been dark longest goes first. */
    awaitUpdate: {
      waitsAt: 'restore',
      anyGeneration: true,
      endsList: (reason) => reason === 'saveUndone',
      arrive: (o, generation) => {
        if (isOfRun(o, generation)) markRestoreWaiting(o.host, o.vm.vmId);
      },
      notApplicable: (o, generation) => {
        const { lease, nextLease } = o.vm;
        const undone = lease?.generation !== generation && nextLease?.generation !== generation;
        if (undone || neverSaved(o, port.image(o.vm).running)) return 'saveUndone';
        return memberOf(o) === undefined ? alone : undefined;
      },
      ready: (o, generation) => {
        const servicing = memberOf(o);
        if (servicing === undefined) return true;
        const isDown = o.vm.lease?.generation === generation;
        if (isRolling(servicing)) return isDown;
        const isOpen = isDecided(servicing) || o.nowMs > (updateDueByMs(o.vm) ?? Infinity);
        return isOpen && isDown && isNextToRestore(o, servicing);
      },
      readyAtMs: ({ vm }) => updateDueByMs(vm),
      effect: (c) =>
        c.run('Servicing.AdmitRestore', (o) => {
          const servicing = memberOf(o);
          if (servicing === undefined) return {};
          // The budget decides for the old stack: the update did not come in time.
          giveUpUpdate(o.host);
          markAdmitted(o.host, o.vm.vmId);
          return { update: servicing.update };
        }),
    },

    /** The save ends only when its VM runs again: its last hops would cost the restores of the host their time. */
    awaitResume: {
      waitsAt: 'own resume',
      notApplicable: (o) => (memberOf(o) === undefined ? alone : undefined),
      ready: ({ vm }) => port.image(vm).running || vm.stranded !== null,
      anyGeneration: true,
      effect: () => ({}),
    },
  } as const satisfies Operations<O, GateStep>;
};
