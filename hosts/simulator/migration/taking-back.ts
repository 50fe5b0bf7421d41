import { guestResumed } from '../devices/guest';
import { chosenPath, resumeIo } from '../devices/guest-io';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import * as vdev from '../devices/synthetic-network-adapter';
import { identityOf } from '../identity';
import { blackoutEnds } from '../../engine/leases';
import { refused } from '../../engine/refused';
import { runOnEach } from '../operations/each-adapter';
import type { AdapterCommandRunner, StepOperation } from '../operations/operation';
import type { Objects } from '../state';
import {
  dropFilter,
  functionOf,
  ioOf,
  isAssigned,
  isUsed,
  ledger,
  releaseFunction,
  unassignFunction,
} from './functions';
import { followGuest } from './follow-guest';
import { underWay } from './migration-state';
import {
  giveEmulatedUp,
  giveFunction,
  migrationOf,
  notByEmulatedPath,
  preferPassthrough,
  takeEmulatedAway,
} from './paths';

const nothingToTakeBack = ({ vm }: Objects): string | undefined =>
  underWay(vm) === null ? 'no migration is under way' : undefined;

const refuseRelinquished = (o: Objects): void => {
  const { relinquished, peer } = migrationOf(o);
  if (relinquished !== null)
    throw refused(`${o.vm.vmId} was relinquished to ${peer}: from there only forward.`);
};

/** The blackout ends where it began, on the emulated path. */
export const resumeAtSource: StepOperation<'resumeAtSource'> = {
  notApplicable: nothingToTakeBack,
  inPlace: ({ vm }) => vm.partition.state === 'running',
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      refuseRelinquished(o);
      for (const adapter of vm.adapters)
        if (adapter.vdev.state === 'Paused') vdev.resume(adapter.vdev);
      for (const { guest } of vm.adapters) guestResumed(guest, undefined, nowMs);
      blackoutEnds(o, resumeVirtualProcessors(vm.partition, nowMs));
      const migration = migrationOf(o);
      migration.package = null;
      for (const { io } of migration.functions) resumeIo(io, nowMs);
      return { blackoutMs: vm.blackoutMs };
    }),
};

/** Passthrough comes back, I/O moves to it, the emulated path goes: the VM is as it was, and the count is told. */
export const takeBackMigration: StepOperation<'takeBackMigration'> = {
  usesDevices: true,
  notApplicable: nothingToTakeBack,
  inPlace: ({ vm }) => underWay(vm) === null,
  effect: async (c) => {
    c.run('PointOfNoReturn.Read', (o) => {
      refuseRelinquished(o);
      if (o.vm.partition.state !== 'running')
        throw refused(`${o.vm.vmId} is ${o.vm.partition.state}: it must run first.`);
      // What a device kept it gives back now: the fault ends with the migration.
      for (const { io } of migrationOf(o).functions)
        if (io.paths.passthrough !== null) io.paths.passthrough.stuck = false;
    });
    for (const adapter of c.look(({ vm }) => vm.adapters)) {
      const of = c.ofAdapter(adapter);
      if (of.look(notByEmulatedPath) === undefined) await takeBack(of);
      else if (of.look((o) => isAssigned(o) && !isUsed(o))) {
        // An eject that was cut short: the guest has let go, so it is to be offered its function anew.
        of.run('VPCI.UnassignDevice', unassignFunction);
      }
    }
    return c.run('Migration.TakeBack', (o) => {
      followGuest(o);
      const counted = ledger(o);
      o.media = null;
      delete o.vm.migration;
      return { ledger: counted };
    });
  },
};

async function takeBack(c: AdapterCommandRunner): Promise<void> {
  // One that was taken away meanwhile is no more; the VM gets another after this.
  if (c.look((o) => functionOf(o, 'passthrough')) === undefined) {
    giveEmulatedUp(c);
    return;
  }
  const isUnplugged = c.look((o) => !isAssigned(o) || ioOf(o)[0].paths.passthrough === null);
  if (isUnplugged) giveFunction(c);
  if (c.look((o) => chosenPath(ioOf(o)[0]) === 'emulated' || !isAssigned(o))) preferPassthrough(c);
  await takeEmulatedAway(c);
  c.run('SyntheticNic.ReadPath', (o) => {
    // A device that was unplugged has come back as another one, though it is of the same function.
    const isKept = identityOf(o)?.luid === o.adapter.identityBefore?.luid;
    o.adapter.path = isKept ? 'kept' : 'reattached';
    o.adapter.pathReason = isKept ? null : 'its migration was undone';
  });
}

/** The destination's part of the undo. A VM that was resumed here stays. */
export const cancelReservation: StepOperation<'cancelReservation'> = {
  usesDevices: true,
  releasesLease: true,
  inPlace: (o) => migrationOf(o).gone && o.vm.lease === null,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', ({ host, vm }) => {
      if (vm.partition.state === 'running' || host.vmIds.includes(vm.vmId))
        throw refused(`${vm.vmId} runs on ${host.hostId}: it is no reservation any more.`);
    });
    for (const adapter of c.look(({ vm }) => vm.adapters)) {
      releaseFunction(c.ofAdapter(adapter), 'passthrough');
      releaseFunction(c.ofAdapter(adapter), 'emulated');
    }
    runOnEach(c, 'OID_RECEIVE_FILTER_CLEAR_FILTER', dropFilter);
    c.run('Host.ForgetVm', (o) => {
      const { vm } = o;
      const migration = migrationOf(o);
      vm.partition = { ...vm.partition, state: 'gone', pagesPinned: false, pausedAtMs: null };
      migration.package = null;
      migration.gone = true;
      vm.lease = null;
      vm.faults = [];
    });
    return {};
  },
};
