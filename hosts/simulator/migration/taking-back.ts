import { guestResumed } from '../devices/guest';
import { chosenPath, resumeIo } from '../devices/guest-io';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import * as adapter from '../devices/synthetic-network-adapter';
import { DEAD_MAN } from '../../../contract/ids';
import { refused } from '../legal-moves';
import { sameHolder } from '../leases';
import { withBlackout } from '../operations/resume';
import type { StepOperation } from '../operations/operation';
import type { Objects } from '../state';
import {
  dropFilters,
  everyIo,
  functionOf,
  isAssigned,
  ledger,
  releaseFunctions,
} from './functions';
import { followGuest } from './follow-guest';
import { underWay } from './migration-state';
import {
  byEmulatedPath,
  giveEmulatedUp,
  giveFunction,
  migrationOf,
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
export const resumeAtSource: StepOperation = {
  notApplicable: nothingToTakeBack,
  inPlace: ({ vm }) => vm.partition.state === 'running',
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      refuseRelinquished(o);
      if (vm.adapter.state === 'Paused') adapter.resume(vm.adapter);
      guestResumed(vm.guest, undefined, nowMs);
      vm.blackoutMs = resumeVirtualProcessors(vm.partition, nowMs);
      vm.withinBudget = vm.blackoutMs <= (vm.lease?.settings.blackoutBudgetMs ?? Infinity);
      vm.blackouts = withBlackout(vm.blackouts ?? [], vm.blackoutMs);
      const migration = migrationOf(o);
      migration.package = null;
      for (const { io } of migration.functions) resumeIo(io, nowMs);
      // The dead-man keeps its deadline until it has given the lease back: it may die before that.
      if (!sameHolder(vm.lease?.holder, DEAD_MAN)) vm.deadlineMs = null;
      return { blackoutMs: vm.blackoutMs };
    }),
};

/** Passthrough comes back, I/O moves to it, the emulated path goes: the VM is as it was, and the count is told. */
export const takeBackMigration: StepOperation = {
  usesPf: true,
  notApplicable: nothingToTakeBack,
  inPlace: ({ vm }) => underWay(vm) === null,
  effect: async (c) => {
    const todo = c.run('PointOfNoReturn.Read', (o) => {
      refuseRelinquished(o);
      if (o.vm.partition.state !== 'running')
        throw refused(`${o.vm.vmId} is ${o.vm.partition.state}: it must run first.`);
      const migration = migrationOf(o);
      // What a device kept it gives back now: the fault ends with the migration.
      for (const { io } of migration.functions)
        if (io.paths.passthrough !== null) io.paths.passthrough.stuck = false;
      return {
        hasEmulated: byEmulatedPath(o) === undefined,
        // One that was taken away meanwhile is no more; the VM gets another after this.
        hasFunction: functionOf(o, 'passthrough') !== undefined,
        isUnplugged: everyIo(migration, (io) => io.paths.passthrough === null) || !isAssigned(o),
        isSwitched: everyIo(migration, (io) => chosenPath(io) === 'emulated'),
      };
    });
    if (todo.hasEmulated && !todo.hasFunction) giveEmulatedUp(c);
    else if (todo.hasEmulated) {
      if (todo.isUnplugged) giveFunction(c);
      if (todo.isUnplugged || todo.isSwitched) preferPassthrough(c);
      await takeEmulatedAway(c);
    }
    return c.run('Migration.TakeBack', (o) => {
      followGuest(o);
      const { vm } = o;
      const counted = ledger(o);
      if (!todo.isUnplugged) [vm.path, vm.pathReason] = ['kept', null];
      else if (todo.hasFunction) vm.pathReason = 'its migration was undone';
      o.media = null;
      delete vm.migration;
      return { ledger: counted };
    });
  },
};

/** The destination's part of the undo. A VM that was resumed here stays. */
export const cancelReservation: StepOperation = {
  usesPf: true,
  releasesLease: true,
  inPlace: (o) => migrationOf(o).gone && o.vm.lease === null,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', ({ host, vm }) => {
      if (vm.partition.state === 'running' || host.vmIds.includes(vm.vmId))
        throw refused(`${vm.vmId} runs on ${host.hostId}: it is no reservation any more.`);
    });
    releaseFunctions(c, ['passthrough', 'emulated']);
    c.run('Host.ForgetVm', (o) => {
      const { vm } = o;
      const migration = migrationOf(o);
      dropFilters(o);
      vm.partition = { ...vm.partition, state: 'gone', pagesPinned: false, pausedAtMs: null };
      migration.package = null;
      migration.gone = true;
      vm.lease = null;
      vm.faults = [];
    });
    return {};
  },
};
