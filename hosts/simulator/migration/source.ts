import { HoldfastError } from '../../../contract/failures';
import type { RelinquishProof } from '../../../contract/migration';
import {
  advance,
  chosenPath,
  openCommands,
  plugPath,
  preferPath,
  saveEmulated,
  setAccess,
  suspendIo,
  unplugPath,
} from '../devices/guest-io';
import { guestPaused } from '../devices/guest';
import { suspendVirtualProcessors } from '../devices/hypervisor-partition';
import * as vdev from '../devices/synthetic-network-adapter';
import { exitWorkerProcess } from '../devices/vm-worker-process';
import { blackoutBegins } from '../../engine/leases';
import { refused } from '../../engine/refused';
import { eachAdapter, ofEachAdapter, runOnEach } from '../operations/each-adapter';
import type { StepOperation } from '../operations/operation';
import type { Objects } from '../state';
import {
  allocateFunction,
  dropFilter,
  eachMoved,
  ejectFunction,
  everyIo,
  exposeFunction,
  functionOf,
  guestSeesEmulated,
  ioOf,
  isAssigned,
  isExposed,
  releaseFunction,
  steerTo,
  unassignFunction,
} from './functions';
import { followGuest } from './follow-guest';
import { drainedOf, type MigrationState } from './migration-state';
import { hasNoEmulatedPath, migrationOf, notByEmulatedPath } from './paths';
import { packed } from './vm-package';

/** 502-506, 604: a second device, backed by a function of its own, beside the one that is passed through. */
export const plugEmulatedPath: StepOperation<'plugEmulatedPath'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => isExposed(o, 'emulated') && ioOf(o)[0].paths.emulated !== null,
    effect: (c) => {
      allocateFunction(c, 'emulated');
      exposeFunction(c, 'emulated');
      return c.run('EmulatedDevice.Plug', (o) => {
        const [io, medium] = ioOf(o);
        if (io.paths.emulated === null) {
          plugPath(io, medium, 'emulated', o.nowMs);
          guestSeesEmulated(o, 'offer');
        }
        const { passthrough, emulated } = io.paths;
        return {
          emulatedVfId: functionOf(o, 'emulated')?.vfId,
          access: { passthrough: passthrough?.access, emulated: emulated?.access },
        };
      });
    },
  }),
  usesDevices: true,
};

/** 506, 606: from here on no new command goes to the passthrough path; new ones wait until the earlier ones are done. */
export const switchToEmulatedPath: StepOperation<'switchToEmulatedPath'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => chosenPath(ioOf(o)[0]) === 'emulated',
    effect: (c) =>
      c.run(c.kind === 'network' ? 'DeviceMapper.MapEmulated' : 'NVMe.ChangeAnaState', (o) => {
        const [io, medium] = ioOf(o);
        preferPath(io, medium, 'emulated', o.nowMs);
        steerTo(o, 'emulated');
        const { passthrough, emulated } = io.paths;
        return { access: { passthrough: passthrough?.access, emulated: emulated?.access } };
      }),
  }),
  usesDevices: true,
};

/** How often the hypervisor looks whether the path is drained, ms: at first, and at most. */
const LOOK_MS = { first: 2, atMost: 100 };

/**
 * 508, 608: the hypervisor itself verifies, on the queues in the guest's memory, that every earlier command has completed:
 * what the device says of itself does not count.
 */
export const drainPassthrough: StepOperation<'drainPassthrough'> = {
  ownLatency: true,
  notApplicable: hasNoEmulatedPath,
  inPlace: ({ vm: { migration } }) => migration?.drain?.drainedAtMs != null,
  observed: (o) => ({ ...drainedOf(migrationOf(o).drain) }),
  effect: async (c) => {
    c.run('Hypervisor.StartDrain', (o) => {
      if (!everyIo(o.vm, (io) => chosenPath(io) === 'emulated')) {
        throw refused(`New commands of ${o.vm.vmId} still go to the passthrough path.`);
      }
      const migration = migrationOf(o);
      const commands = openOnPassthrough(migration);
      migration.drain ??= { startedAtMs: o.nowMs, commands, drainedAtMs: null };
    });
    await c.sleep(c.latencyMs);
    for (let lookMs = LOOK_MS.first; ; lookMs = Math.min(2 * lookMs, LOOK_MS.atMost)) {
      if (c.run('Hypervisor.VerifyCompletions', verifyCompletions)) break;
      await c.sleep(lookMs);
    }
    return c.look((o) => ({ ...drainedOf(migrationOf(o).drain) }));
  },
};

function verifyCompletions(o: Objects): boolean {
  const migration = migrationOf(o);
  for (const of of eachMoved(o)) advance(...ioOf(of), o.nowMs);
  const open = openOnPassthrough(migration);
  const { drain, drainTimeLimitMs } = migration;
  if (drain === null) throw refused(`No drain of ${o.vm.vmId} has begun.`);
  if (open === 0) drain.drainedAtMs ??= o.nowMs;
  else if (o.nowMs - drain.startedAtMs > drainTimeLimitMs) {
    throw new HoldfastError(
      'DrainTimedOut',
      `${String(open)} commands on the passthrough path of ${o.vm.vmId} have not completed within ${String(drainTimeLimitMs)} ms.`,
      { open, drainTimeLimitMs },
    );
  }
  return open === 0;
}

const openOnPassthrough = ({ functions }: MigrationState): number =>
  functions.reduce((open, { io }) => open + openCommands(io, 'passthrough'), 0);

/** 510, 610: only a drained path. VF0 stays allocated until the source is released, so that an undo cannot miss it. */
export const unplugPassthrough: StepOperation<'unplugPassthrough'> = {
  ...ofEachAdapter({
    notApplicable: notByEmulatedPath,
    inPlace: (o) => !isAssigned(o) && ioOf(o)[0].paths.passthrough === null,
    effect: async (c) => {
      if (c.kind === 'nvme') {
        c.run('NVMe.ChangeAnaState', (o) => {
          const [io, medium] = ioOf(o);
          if (io.paths.passthrough !== null)
            setAccess(io, medium, 'passthrough', 'inaccessible', o.nowMs);
        });
      }
      c.run('VPCI.Eject', () => undefined);
      await c.sleep(c.latencyMs);
      c.run('VPCI.EjectComplete', (o) => {
        const [io, medium] = ioOf(o);
        if (io.paths.passthrough !== null) unplugPath(io, medium, 'passthrough', o.nowMs);
        ejectFunction(o);
      });
      c.run('VPCI.UnassignDevice', unassignFunction);
      return {};
    },
  }),
  usesDevices: true,
  ownLatency: true,
};

/** 512, 612. Saved once more after the suspension: meanwhile the device goes on. */
export const saveEmulatedDevice: StepOperation<'saveEmulatedDevice'> = {
  notApplicable: hasNoEmulatedPath,
  inPlace: (o) => migrationOf(o).functions.every(({ saved }) => saved !== null),
  effect: (c) =>
    c.run('EmulatedDevice.SaveState', (o) => {
      if (eachMoved(o).some(isAssigned))
        throw refused(`Passthrough of ${o.vm.vmId} is still plugged in.`);
      saveAll(o);
      return {};
    }),
};

function saveAll(o: Objects): void {
  for (const of of eachMoved(o)) advance(...ioOf(of), o.nowMs);
  for (const moved of migrationOf(o).functions) moved.saved = saveEmulated(moved.io);
}

/**
 * 516: the virtual processors stop, with them the emulated device, whose state is saved again: in flight is what it had not
 * completed by now, and what it has executed must not be executed again. What the destination needs is packed.
 */
export const suspendVm: StepOperation<'suspendVm'> = {
  inPlace: ({ vm }) => vm.partition.state === 'suspended' && vm.migration?.package != null,
  observed: (o) => ({ package: migrationOf(o).package ?? undefined }),
  effect: (c) => {
    c.run('Hypervisor.SuspendVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      if (vm.partition.state === 'suspended') return;
      if (eachAdapter(o).some(isAssigned)) {
        throw refused(`${vm.vmId} cannot be moved while a function is passed through to it.`);
      }
      if (vm.adapters.some(({ guest }) => guest.dataPathSwitchPending))
        throw refused('A data-path switch is pending; the VM cannot be suspended.');
      followGuest(o);
      for (const { guest } of vm.adapters) guestPaused(guest, undefined, nowMs);
      suspendVirtualProcessors(vm.partition, nowMs);
      for (const adapter of vm.adapters) vdev.pause(adapter.vdev);
      for (const of of eachMoved(o)) suspendIo(...ioOf(of), nowMs);
      blackoutBegins(o);
    });
    c.run('EmulatedDevice.SaveState', saveAll);
    return c.run('Hypervisor.PackVm', (o) => {
      const migration = migrationOf(o);
      migration.package ??= packed(o);
      return { package: migration.package };
    });
  },
};

/**
 * The crossing, in one transaction: this generation says that the VM never runs here again. The dead-man has no deadline to
 * keep any more, and whoever comes later finds the VM relinquished.
 */
export const relinquishVm: StepOperation<'relinquishVm'> = {
  inPlace: (o) => migrationOf(o).relinquished !== null,
  observed: (o) => relinquished(migrationOf(o)),
  effect: (c) =>
    c.run('Hypervisor.RelinquishVm', (o) => {
      const { vm, nowMs } = o;
      const migration = migrationOf(o);
      const { receipt } = c.handed;
      if (vm.partition.state !== 'suspended' || migration.package === null) {
        throw refused(
          `${vm.vmId} is ${vm.partition.state}: only a suspended VM can be relinquished.`,
        );
      }
      const { checksum, migrationId } = migration.package;
      if (receipt?.migrationId !== migrationId || receipt.checksum !== checksum) {
        throw refused(
          `${vm.vmId} is not relinquished: ${migration.peer} has not received the package ${checksum.slice(0, 12)} of ${migrationId}.`,
        );
      }
      const darkForMs = nowMs - (vm.partition.pausedAtMs ?? nowMs);
      migration.relinquished = { migrationId, checksum, atMs: nowMs, darkForMs };
      vm.pointOfNoReturn = { generation: c.generation, atMs: nowMs };
      vm.deadlineMs = null;
      return relinquished(migration);
    }),
};

function relinquished({ relinquished: word, peer, manifest }: MigrationState) {
  if (word === null) throw refused(`${manifest.vmId} has not been relinquished.`);
  const { migrationId, checksum, darkForMs } = word;
  const proof: RelinquishProof = { migrationId, checksum, toHostId: peer };
  return { proof, darkForMs };
}

/** What the VM had here is given back; of the VM only the note stays that it has left. */
export const releaseMigratedVm: StepOperation<'releaseMigratedVm'> = {
  usesDevices: true,
  releasesLease: true,
  inPlace: (o) => migrationOf(o).gone && o.vm.lease === null,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', (o) => {
      if (migrationOf(o).relinquished === null)
        throw refused(`${o.vm.vmId} has not been relinquished, so nothing of it is given back.`);
    });
    for (const adapter of c.look(({ vm }) => vm.adapters)) {
      releaseFunction(c.ofAdapter(adapter), 'passthrough');
      releaseFunction(c.ofAdapter(adapter), 'emulated');
    }
    runOnEach(c, 'OID_RECEIVE_FILTER_CLEAR_FILTER', dropFilter);
    c.run('VMWP.Exit', ({ vm }) => {
      if (vm.workerProcess.state === 'running') exitWorkerProcess(vm.workerProcess, 'Save');
      vm.partition = { ...vm.partition, state: 'gone', pagesPinned: false, pausedAtMs: null };
    });
    c.run('Host.ForgetVm', (o) => {
      const { host, vm } = o;
      host.vmIds = host.vmIds.filter((id) => id !== vm.vmId);
      host.stranded = host.stranded.filter((id) => id !== vm.vmId);
      migrationOf(o).gone = true;
      vm.lease = null;
      vm.faults = [];
    });
    return {};
  },
};
