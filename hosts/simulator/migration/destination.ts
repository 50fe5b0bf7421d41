import type { MovedFunction, Receipt } from '../../../contract/migration';
import { SETTLED_MS, chosenPath, restoreEmulated, resumeIo } from '../devices/guest-io';
import { guestResumed } from '../devices/guest';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import { custodianName, prepareWorkerProcess } from '../devices/vm-worker-process';
import * as adapter from '../devices/synthetic-network-adapter';
import { describeVm } from '../describe';
import { identityOf } from '../identity';
import { refused } from '../legal-moves';
import { withBlackout } from '../operations/resume';
import type { CommandRunner, StepOperation } from '../operations/operation';
import type { Objects } from '../state';
import {
  allocateFunctions,
  areExposed,
  arriveWithout,
  everyIo,
  exposeFunctions as expose,
  functionOf,
  hasFunctions,
  isUsed,
  ledger,
  steerTo,
} from './functions';
import { followGuest } from './follow-guest';
import { drainedOf, type MigrationState } from './migration-state';
import {
  byEmulatedPath,
  giveFunction,
  migrationOf,
  preferPassthrough,
  takeEmulatedAway,
} from './paths';
import { unpacked } from './vm-package';

/** The functions that the VM needs here: VF0′, and VF1′ where there is an emulated path. */
const needed = (o: Objects) => pathsOf(migrationOf(o));
const pathsOf = ({ method, functions }: MigrationState) =>
  functions.length === 0
    ? []
    : method === 'emulated-path'
      ? (['passthrough', 'emulated'] as const)
      : (['passthrough'] as const);

/** Before anything stops: nobody else can take them any more. */
export const reserveFunctions: StepOperation = {
  usesPf: true,
  inPlace: (o) => hasFunctions(o, needed(o)),
  effect: (c) => {
    allocateFunctions(c, c.run('Hypervisor.ReadFunctions', needed));
    return {};
  },
};

/** 514, 614: one to one, VF0′ for VF0 and VF1′ for VF1. */
export const exposeFunctions: StepOperation = {
  usesPf: true,
  inPlace: (o) => areExposed(o, needed(o)),
  effect: (c) => {
    expose(c, c.run('Hypervisor.ReadFunctions', needed));
    return c.run('Hypervisor.ReadFunctions', (o) => ({
      passthroughVfId: functionOf(o, 'passthrough')?.vfId,
      emulatedVfId: functionOf(o, 'emulated')?.vfId,
    }));
  },
};

/** 516: everything of the VM is here, and it stays suspended: only with the source's word that it let go may it run. */
export const receiveVm: StepOperation = {
  usesPf: true,
  inPlace: ({ vm }) => vm.migration?.package != null && vm.workerProcess.state === 'running',
  observed: (o) => ({ receipt: receiptOf(migrationOf(o)) }),
  effect: (c) => {
    c.run('Hypervisor.ReceiveVm', (o) => {
      const migration = migrationOf(o);
      if (c.handed.package === undefined)
        throw refused(`No package of ${o.vm.vmId} was handed over.`);
      receive(o, migration, c);
    });
    c.run('EmulatedDevice.RestoreState', (o) => {
      for (const moved of migrationOf(o).functions) restoreEmulated(moved.io, moved.saved);
    });
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
      if (byEmulatedPath(o) === undefined) steerTo(o, 'emulated');
    });
    return c.run('VMWP.Start', (o) => {
      const { vm, host } = o;
      host.nextWorkerProcess += 1;
      vm.workerProcess = {
        ...prepareWorkerProcess(host.nextWorkerProcess, host.versions.vmWorkerProcess),
        state: 'running',
      };
      vm.partition.custodian = custodianName(vm.workerProcess);
      return { receipt: receiptOf(migrationOf(o)) };
    });
  },
};

function receive(
  { vm, nowMs }: Objects,
  migration: MigrationState,
  { handed }: CommandRunner,
): void {
  if (handed.package === undefined) return;
  const arrived = unpacked(handed.package, migration.migrationId, nowMs);
  const { functions = [], drain = null } = arrived.migration ?? {};
  arriveWithout(arrived);
  const { generation, lease, nextLease, mailbox, faults, workerProcess } = vm;
  Object.assign(vm, arrived, {
    ...{ generation, lease, nextLease, mailbox, faults, workerProcess },
    ...{ successor: null, record: null, pointOfNoReturn: null, deadlineMs: null, stranded: null },
    migration: { ...migration, functions, drain, package: handed.package },
  });
}

function receiptOf({ package: received, migrationId }: MigrationState): Receipt {
  if (received === null) throw refused(`No package of ${migrationId} has been received.`);
  return { migrationId, checksum: received.checksum };
}

/** 516: at the destination the VM goes on, on the emulated path. */
export const resumeMigratedVm: StepOperation = {
  inPlace: ({ vm }) => vm.partition.state === 'running',
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, host, nowMs } = o;
      const migration = migrationOf(o);
      const receipt = receiptOf(migration);
      const { proof } = c.handed;
      const isMeant =
        proof?.migrationId === receipt.migrationId &&
        proof.checksum === receipt.checksum &&
        proof.toHostId === host.hostId;
      if (!isMeant) {
        throw refused(
          `${vm.vmId} is not resumed on ${host.hostId}: ${migration.peer} has not relinquished this state of it.`,
        );
      }
      adapter.resume(vm.adapter);
      guestResumed(vm.guest, undefined, nowMs);
      vm.blackoutMs = resumeVirtualProcessors(vm.partition, nowMs);
      vm.withinBudget = vm.blackoutMs <= (vm.lease?.settings.blackoutBudgetMs ?? Infinity);
      vm.blackouts = withBlackout(vm.blackouts ?? [], vm.blackoutMs);
      vm.guest.hangs = false;
      for (const { io } of migration.functions) resumeIo(io, nowMs);
      host.vmIds = [...new Set([...host.vmIds, vm.vmId])].sort();
      return { blackoutMs: vm.blackoutMs };
    }),
};

/** 518: VF0′ is passed through to the running guest. */
export const plugPassthrough: StepOperation = {
  usesPf: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) => everyIo(migrationOf(o), (io) => io.paths.passthrough !== null),
  effect: (c) => {
    giveFunction(c);
    return c.run('Hypervisor.ReadFunctions', (o) => ({ identity: identityOf(o) }));
  },
};

/** 518: what is open on the emulated path is done first, so that every queue keeps its order. */
export const switchToPassthrough: StepOperation = {
  usesPf: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) => isUsed(o) && everyIo(migrationOf(o), (io) => chosenPath(io) === 'passthrough'),
  effect: (c) => {
    preferPassthrough(c);
    return {};
  },
};

/** 520: the end of the emulated path. */
export const unplugEmulatedPath: StepOperation = {
  usesPf: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) =>
    functionOf(o, 'emulated') === undefined &&
    everyIo(migrationOf(o), (io) => io.paths.emulated === null),
  effect: async (c) => {
    await takeEmulatedAway(c);
    return {};
  },
};

/** The guest's commands are counted, the functions compared, and the lease is given back. */
export const verifyMigration: StepOperation = {
  releasesLease: true,
  inPlace: ({ vm }) => vm.migration?.over != null && vm.lease === null,
  observed: verified,
  effect: async (c) => {
    c.run('Medium.ReadLedger', followGuest);
    await c.sleep(SETTLED_MS);
    c.run('Lease.Release', (o) => {
      const { vm } = o;
      if (vm.partition.state !== 'running') throw refused(`${vm.vmId} does not run yet.`);
      const migration = migrationOf(o);
      migration.over ??= { ledger: ledger(o), functions: movedFunctions(o, migration) };
      migration.package = null;
      o.media = null;
      vm.lease = null;
      vm.faults = [];
    });
    return c.run('Hypervisor.ReadFunctions', verified);
  },
};

function verified(o: Objects) {
  const { over, drain } = migrationOf(o);
  return { ...over, drain: drainedOf(drain), vm: describeVm(o) };
}

const movedFunctions = (o: Objects, { manifest }: MigrationState): MovedFunction[] =>
  manifest.functions.map(({ adapterId, kind, identity: before }) => {
    const after = identityOf(o);
    const identityKept = JSON.stringify(before) === JSON.stringify(after);
    return { adapterId, kind, before, after, identityKept };
  });
