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
import { exitWorkerProcess } from '../devices/vm-worker-process';
import * as adapter from '../devices/synthetic-network-adapter';
import { refused } from '../legal-moves';
import type { StepOperation } from '../operations/operation';
import type { Objects } from '../state';
import {
  allocateFunctions,
  areExposed,
  dropFilters,
  eachIo,
  ejectFunction,
  everyIo,
  exposeFunctions,
  functionOf,
  guestSeesEmulated,
  isUnassigned,
  releaseFunctions,
  steerTo,
  unassignFunction,
} from './functions';
import { followGuest } from './follow-guest';
import { byEmulatedPath, kindsOf, migrationOf } from './paths';
import { drainedOf, type MigrationState } from './migration-state';
import { packed } from './vm-package';

/** 502-506: a second device, backed by a function of its own, beside the one that is passed through. */
export const plugEmulatedPath: StepOperation = {
  usesPf: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) =>
    areExposed(o, ['emulated']) && everyIo(migrationOf(o), (io) => io.paths.emulated !== null),
  effect: (c) => {
    allocateFunctions(c, ['emulated']);
    exposeFunctions(c, ['emulated']);
    return c.run('EmulatedDevice.Plug', (o) => {
      eachIo(o, (io, medium) => {
        if (io.paths.emulated !== null) return;
        plugPath(io, medium, 'emulated', o.nowMs);
        guestSeesEmulated(o, 'offer');
      });
      return { vfId: functionOf(o, 'emulated')?.vfId, access: accessStates(o) };
    });
  },
};

const accessStates = (o: Objects) =>
  migrationOf(o).functions.map(({ adapterId, io: { paths } }) => ({
    adapterId,
    passthrough: paths.passthrough?.access ?? null,
    emulated: paths.emulated?.access ?? null,
  }));

/** 506, 606: from here on no new command goes to the passthrough path; new ones wait until the earlier ones are done. */
export const switchToEmulatedPath: StepOperation = {
  usesPf: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) => everyIo(migrationOf(o), (io) => chosenPath(io) === 'emulated'),
  effect: (c) => {
    for (const kind of kindsOf(c)) {
      c.run(kind === 'network' ? 'DeviceMapper.MapEmulated' : 'NVMe.ChangeAnaState', (o) => {
        eachIo(o, (io, medium, moved) => {
          if (moved.kind === kind) preferPath(io, medium, 'emulated', o.nowMs);
        });
        if (kind === 'network') steerTo(o, 'emulated');
      });
    }
    return c.run('Hypervisor.ReadPaths', (o) => ({ access: accessStates(o) }));
  },
};

/** How often the hypervisor looks whether the path is drained, ms: at first, and at most. */
const LOOK_MS = { first: 2, atMost: 100 };

/**
 * 508, 608: the hypervisor itself verifies, on the queues in the guest's memory, that every earlier command has completed:
 * what the device says of itself does not count.
 */
export const drainPassthrough: StepOperation = {
  ownLatency: true,
  notApplicable: byEmulatedPath,
  inPlace: ({ vm: { migration } }) => migration?.drain?.drainedAtMs != null,
  observed: (o) => drained(migrationOf(o)),
  effect: async (c) => {
    c.run('Hypervisor.StartDrain', (o) => {
      const migration = migrationOf(o);
      if (!everyIo(migration, (io) => chosenPath(io) === 'emulated')) {
        throw refused(`New commands of ${o.vm.vmId} still go to the passthrough path.`);
      }
      const commands = openOnPassthrough(migration);
      migration.drain ??= { startedAtMs: o.nowMs, commands, drainedAtMs: null };
    });
    await c.sleep(c.latencyMs);
    for (let lookMs = LOOK_MS.first; ; lookMs = Math.min(2 * lookMs, LOOK_MS.atMost)) {
      const isDrained = c.run('Hypervisor.VerifyCompletions', (o) => {
        const migration = migrationOf(o);
        eachIo(o, (io, medium) => advance(io, medium, o.nowMs));
        const open = openOnPassthrough(migration);
        const { drain } = migration;
        if (drain === null) throw refused(`No drain of ${o.vm.vmId} has begun.`);
        if (open === 0) drain.drainedAtMs = o.nowMs;
        else if (o.nowMs - drain.startedAtMs > migration.drainTimeLimitMs) {
          throw new HoldfastError(
            'DrainTimedOut',
            `${String(open)} commands on the passthrough path of ${o.vm.vmId} have not completed within ${String(migration.drainTimeLimitMs)} ms.`,
            { open, drainTimeLimitMs: migration.drainTimeLimitMs },
          );
        }
        return open === 0;
      });
      if (isDrained) return c.run('Hypervisor.EndDrain', (o) => drained(migrationOf(o)));
      await c.sleep(lookMs);
    }
  },
};

const openOnPassthrough = ({ functions }: MigrationState) =>
  functions.reduce((open, { io }) => open + openCommands(io, 'passthrough'), 0);
const drained = ({ drain }: MigrationState) => ({ ...drainedOf(drain) });

/** 510, 610: only a drained path. VF0 stays allocated until the source is released, so that an undo cannot miss it. */
export const unplugPassthrough: StepOperation = {
  usesPf: true,
  ownLatency: true,
  notApplicable: byEmulatedPath,
  inPlace: (o) => isUnassigned(o) && everyIo(migrationOf(o), (io) => io.paths.passthrough === null),
  effect: async (c) => {
    if (kindsOf(c).includes('nvme')) {
      c.run('NVMe.ChangeAnaState', (o) => {
        eachIo(o, (io, medium, moved) => {
          if (moved.kind === 'nvme' && io.paths.passthrough !== null)
            setAccess(io, medium, 'passthrough', 'inaccessible', o.nowMs);
        });
      });
    }
    c.run('VPCI.Eject', () => undefined);
    await c.sleep(c.latencyMs);
    c.run('VPCI.EjectComplete', (o) => {
      eachIo(o, (io, medium) => {
        if (io.paths.passthrough !== null) unplugPath(io, medium, 'passthrough', o.nowMs);
      });
      ejectFunction(o);
    });
    c.run('VPCI.UnassignDevice', unassignFunction);
    return {};
  },
};

/** 512, 612. Saved once more after the suspension: meanwhile the device goes on. */
export const saveEmulatedDevice: StepOperation = {
  notApplicable: byEmulatedPath,
  inPlace: (o) => migrationOf(o).functions.every(({ saved }) => saved !== null),
  effect: (c) =>
    c.run('EmulatedDevice.SaveState', (o) => {
      if (!isUnassigned(o)) throw refused(`Passthrough of ${o.vm.vmId} is still plugged in.`);
      saveAll(o);
      return {};
    }),
};

function saveAll(o: Objects): void {
  eachIo(o, (io, medium, moved) => {
    advance(io, medium, o.nowMs);
    moved.saved = saveEmulated(io);
  });
}

/**
 * 516: the virtual processors stop, with them the emulated device, whose state is saved again: in flight is what it had not
 * completed by now, and what it has executed must not be executed again. What the destination needs is packed.
 */
export const suspendVm: StepOperation = {
  inPlace: ({ vm }) => vm.partition.state === 'suspended' && vm.migration?.package != null,
  observed: (o) => ({ package: migrationOf(o).package }),
  effect: (c) => {
    c.run('Hypervisor.SuspendVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      if (vm.partition.state === 'suspended') return;
      if (!isUnassigned(o)) {
        throw refused(`${vm.vmId} cannot be moved while a function is passed through to it.`);
      }
      if (vm.guest.dataPathSwitchPending) throw refused('A data-path switch is pending.');
      followGuest(o);
      guestPaused(vm.guest, undefined, nowMs);
      suspendVirtualProcessors(vm.partition, nowMs);
      if (vm.adapter.state === 'Running') adapter.pause(vm.adapter);
      eachIo(o, (io, medium) => suspendIo(io, medium, nowMs));
      vm.deadlineMs = nowMs + (vm.lease?.settings.blackoutBudgetMs ?? 0);
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
export const relinquishVm: StepOperation = {
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
      migration.relinquished = { ...receipt, atMs: nowMs, darkForMs };
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
export const releaseMigratedVm: StepOperation = {
  usesPf: true,
  releasesLease: true,
  inPlace: (o) => migrationOf(o).gone && o.vm.lease === null,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', (o) => {
      if (migrationOf(o).relinquished === null)
        throw refused(`${o.vm.vmId} has not been relinquished, so nothing of it is given back.`);
    });
    releaseFunctions(c, ['passthrough', 'emulated']);
    c.run('VMWP.Exit', ({ vm }) => {
      if (vm.workerProcess.state === 'running') exitWorkerProcess(vm.workerProcess, 'Save');
      vm.partition = { ...vm.partition, state: 'gone', pagesPinned: false, pausedAtMs: null };
    });
    c.run('Host.ForgetVm', (o) => {
      const { host, vm } = o;
      dropFilters(o);
      host.vmIds = host.vmIds.filter((id) => id !== vm.vmId);
      host.stranded = host.stranded.filter((id) => id !== vm.vmId);
      migrationOf(o).gone = true;
      vm.lease = null;
      vm.faults = [];
    });
    return {};
  },
};
