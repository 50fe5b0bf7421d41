import type { MovedFunction, Receipt } from '../../../contract/migration';
import { SETTLED_MS, chosenPath, restoreEmulated, resumeIo } from '../devices/guest-io';
import { guestResumed } from '../devices/guest';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import * as vdev from '../devices/synthetic-network-adapter';
import { custodianName, prepareWorkerProcess } from '../devices/vm-worker-process';
import { describeVm } from '../describe';
import { identityOf } from '../identity';
import { blackoutEnds } from '../../engine/leases';
import { refused } from '../../engine/refused';
import { eachAdapter, ofEachAdapter } from '../operations/each-adapter';
import type { AdapterCommandRunner, CommandRunner, StepOperation } from '../operations/operation';
import type { AdapterObjects, Objects } from '../state';
import {
  addFilter,
  allocateFunction,
  arriveWithout,
  exposeFunction,
  functionOf,
  ioOf,
  isExposed,
  isUsed,
  ledger,
  movedOf,
  steerTo,
} from './functions';
import { followGuest } from './follow-guest';
import { drainedOf, type MigrationState } from './migration-state';
import {
  giveFunction,
  hasNoEmulatedPath,
  migrationOf,
  notByEmulatedPath,
  preferPassthrough,
  takeEmulatedAway,
} from './paths';
import { unpacked } from './vm-package';

/** What corresponds to the VM's functions here: VF0′, and VF1′ where there is an emulated path. */
const needed = (o: AdapterObjects) =>
  movedOf(o) === undefined
    ? []
    : hasNoEmulatedPath(o) === undefined
      ? (['passthrough', 'emulated'] as const)
      : (['passthrough'] as const);
const hasNone = (o: AdapterObjects) =>
  movedOf(o) === undefined ? 'no function is passed through' : undefined;

/** Before anything stops: nobody else can take them any more. */
export const reserveFunctions: StepOperation<'reserveFunctions'> = {
  ...ofEachAdapter({
    notApplicable: hasNone,
    inPlace: (o) => needed(o).every((path) => functionOf(o, path) !== undefined),
    effect: (c) => {
      for (const path of c.look(needed)) allocateFunction(c, path);
      return c.look(vfIds);
    },
  }),
  usesDevices: true,
};

const vfIds = (o: AdapterObjects) => ({
  passthroughVfId: functionOf(o, 'passthrough')?.vfId,
  emulatedVfId: functionOf(o, 'emulated')?.vfId,
});

/** 514, 614: one to one, VF0′ for VF0 and VF1′ for VF1, with the namespace where they are controllers of one. */
export const exposeFunctions: StepOperation<'exposeFunctions'> = {
  ...ofEachAdapter({
    notApplicable: hasNone,
    inPlace: (o) => needed(o).every((path) => isExposed(o, path)),
    observed: vfIds,
    effect: (c) => {
      for (const path of c.look(needed)) exposeFunction(c, path);
      return c.look((o) => ({ ...vfIds(o), namespace: movedOf(o)?.namespace ?? null }));
    },
  }),
  usesDevices: true,
};

/** 516: everything of the VM is here, and it stays suspended: only with the source's word that it let go may it run. */
export const receiveVm: StepOperation<'receiveVm'> = {
  usesDevices: true,
  inPlace: ({ vm }) => vm.migration?.package != null && vm.workerProcess.state === 'running',
  observed: (o) => ({ receipt: receiptOf(migrationOf(o)) }),
  effect: (c) => {
    c.run('Hypervisor.ReceiveVm', (o) => {
      receive(o, migrationOf(o), c);
    });
    c.run('EmulatedDevice.RestoreState', (o) => {
      for (const moved of migrationOf(o).functions) restoreEmulated(moved.io, moved.saved);
    });
    for (const adapter of c.look(({ vm }) => vm.adapters)) connect(c.ofAdapter(adapter));
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

/** The address of a NIC is known at the switch here from now on, and what arrives goes to the emulated device. */
function connect(c: AdapterCommandRunner): void {
  if (c.kind !== 'network') return;
  c.run('OID_RECEIVE_FILTER_SET_FILTER', addFilter);
  if (c.look(notByEmulatedPath) !== undefined) return;
  c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
    steerTo(o, 'emulated');
  });
}

function receive({ vm, nowMs }: Objects, own: MigrationState, { handed }: CommandRunner): void {
  if (handed.package === undefined) throw refused(`No package of ${vm.vmId} was handed over.`);
  const arrived = unpacked(handed.package, own.migrationId, nowMs);
  const place = new Map(vm.adapters.map(({ adapterId, pfId }) => [adapterId, pfId]));
  const exposed = new Map(own.functions.map((each) => [each.adapterId, each.exposed]));
  const { functions = [], drain = null } = arrived.migration ?? {};
  const { generation, lease, nextLease, mailbox, faults, workerProcess } = vm;
  Object.assign(vm, arrived, {
    ...{ generation, lease, nextLease, mailbox, faults, workerProcess },
    ...{ successor: null, record: null, pointOfNoReturn: null, deadlineMs: null, stranded: null },
    adapters: arrived.adapters.map((each) =>
      arriveWithout(each, place.get(each.adapterId) ?? each.pfId),
    ),
    migration: {
      ...own,
      functions: functions.map((each) => ({
        ...each,
        exposed: exposed.get(each.adapterId) ?? [],
      })),
      drain,
      package: handed.package,
    },
  });
}

function receiptOf({ package: received, migrationId }: MigrationState): Receipt {
  if (received === null) throw refused(`No package of ${migrationId} has been received.`);
  return { migrationId, checksum: received.checksum };
}

/** 516: at the destination the VM goes on, on the emulated path. */
export const resumeMigratedVm: StepOperation<'resumeMigratedVm'> = {
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
      for (const adapter of vm.adapters) vdev.resume(adapter.vdev);
      for (const { guest } of vm.adapters) guestResumed(guest, undefined, nowMs);
      blackoutEnds(o, resumeVirtualProcessors(vm.partition, nowMs));
      vm.guestHangs = false;
      for (const { io } of migration.functions) resumeIo(io, nowMs);
      host.vmIds = [...new Set([...host.vmIds, vm.vmId])].sort();
      return { blackoutMs: vm.blackoutMs };
    }),
};

/** 518: VF0′ is passed through to the running guest. */
export const plugPassthrough: StepOperation<'plugPassthrough'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => ioOf(o)[0].paths.passthrough !== null,
    effect: (c) => {
      giveFunction(c);
      return c.look((o) => ({ identity: identityOf(o) }));
    },
  }),
  usesDevices: true,
};

/** 518: I/O moves to it. */
export const switchToPassthrough: StepOperation<'switchToPassthrough'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => isUsed(o) && chosenPath(ioOf(o)[0]) === 'passthrough',
    effect: (c) => {
      preferPassthrough(c);
      return c.look((o) => {
        const { passthrough, emulated } = ioOf(o)[0].paths;
        return { access: { passthrough: passthrough?.access, emulated: emulated?.access } };
      });
    },
  }),
  usesDevices: true,
};

/** 520: the end of the emulated path. */
export const unplugEmulatedPath: StepOperation<'unplugEmulatedPath'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => functionOf(o, 'emulated') === undefined && ioOf(o)[0].paths.emulated === null,
    effect: async (c) => {
      await takeEmulatedAway(c);
      return {};
    },
  }),
  usesDevices: true,
};

/** The guest's commands are counted, the functions compared, and the lease is given back. */
export const verifyMigration: StepOperation<'verifyMigration'> = {
  releasesLease: true,
  inPlace: ({ vm }) => vm.migration?.over != null && vm.lease === null,
  observed: verified,
  effect: async (c) => {
    c.run('Medium.ReadLedger', (o) => {
      if (migrationOf(o).over === null) followGuest(o);
    });
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
    return c.look(verified);
  },
};

function verified(o: Objects) {
  const { over, drain } = migrationOf(o);
  return { ...over, drain: drainedOf(drain), vm: describeVm(o) };
}

function movedFunctions(o: Objects, { manifest }: MigrationState): MovedFunction[] {
  const now = new Map(eachAdapter(o).map((of) => [of.adapter.adapterId, identityOf(of)]));
  return manifest.functions.map(({ adapterId, kind, identity: before }) => {
    const after = now.get(adapterId) ?? null;
    const identityKept = JSON.stringify(before) === JSON.stringify(after);
    return { adapterId, kind, before, after, identityKept };
  });
}
