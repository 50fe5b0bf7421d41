import { HoldfastError } from '../../../contract/failures';
import type { VirtualFunctionIdentity } from '../../../contract/ids';
import { guestResumed } from '../devices/guest';
import { handPartitionTo, reattachPartition, resumeVirtualProcessors } from '../devices/hypervisor-partition';
import { vfOf } from '../devices/network-adapter';
import { blockCount, claimRecord, consumeRecord, type SavedRecord } from '../devices/runtime-repository';
import * as adapter from '../devices/synthetic-network-adapter';
import { completeNicRestore, createAndConnectNic, restoreNicBlob, startNicRestore } from '../devices/vm-switch';
import { adoptDevice, assignNewDevice, connectDevice, createBusInterface, releaseHold } from '../devices/vpci-vsp';
import { custodianName, prepareWorkerProcess, startWorkerProcess } from '../devices/vm-worker-process';
import { describeVm } from '../describe';
import { identityOf } from '../identity';
import { refused } from '../legal-moves';
import { markResumed } from '../servicing';
import type { Objects } from '../state';
import type { CommandRunner, StepOperation } from './operation';

const isRunning = (o: Objects) => o.vm.partition.state === 'running';

/** Why the VF part of a restore has nothing to do, if so. A running VM is being given a new VF instead. */
const noVfToRestore = (o: Objects): string | undefined =>
  isRunning(o) ? undefined : (o.vm.vfAbandoned ?? o.vm.record?.withoutVf ?? undefined);

/** The stack that the next worker process comes from: the staged one as long as the update may still come. */
function nextStackVersion({ host }: Objects): string {
  const pending = host.servicing?.update === 'armed' || host.servicing?.update === 'committing';
  return pending && host.staged?.component === 'vmWorkerProcess'
    ? host.staged.version
    : host.versions.vmWorkerProcess;
}

function prepareSuccessor(o: Objects): void {
  o.host.nextWorkerProcess += 1;
  o.vm.successor = {
    workerProcess: prepareWorkerProcess(o.host.nextWorkerProcess, nextStackVersion(o)),
    adapter: adapter.createAdapter(),
  };
}

export const initializeSyntheticAdapter: StepOperation = {
  preparation: true,
  notApplicable: (o) => (o.vm.record?.state === 'claimed' && o.vm.workerProcess.state === 'running' ? 'the successor runs already' : undefined),
  inPlace: ({ vm }) => vm.successor !== null && vm.successor.adapter.state !== 'Created',
  effect: (c) =>
    c.run('VDEV.Initialize', (o) => {
      if (o.vm.successor === null) prepareSuccessor(o);
      const next = o.vm.successor;
      if (next?.adapter.state === 'Created') adapter.initialize(next.adapter);
      return { workerProcess: next?.workerProcess.number, version: next?.workerProcess.version };
    }),
};

export const reserveResources: StepOperation = {
  preparation: true,
  notApplicable: (o) => (o.vm.successor === null ? 'the successor runs already' : undefined),
  inPlace: ({ vm }) => vm.successor?.adapter.state === 'ResourcesReserved',
  effect: (c) => {
    c.run('VDEV.StartReservingResources', ({ vm }) => {
      if (vm.successor === null) throw refused('Resources cannot be reserved before the adapter is initialized.');
    });
    c.run('VDEV.FinishReservingResources', ({ vm }) => {
      if (vm.successor !== null) adapter.finishReservingResources(vm.successor.adapter);
    });
    return {};
  },
};

/** Refuses before any hardware is touched: lost, another identity, or another configuration epoch (claim 10). */
function checkIdentity(o: Objects): VirtualFunctionIdentity | null {
  const { vm } = o;
  if (noVfToRestore(o) !== undefined) return null;
  const info = vm.record?.blocks.vfInfo;
  if (info === undefined) throw new HoldfastError('VmStateLost', `The record of ${vm.vmId} has no VF info.`);
  const now = identityOf(o);
  if (now === null) {
    throw new HoldfastError(
      'VirtualFunctionLost',
      `VF ${String(info.vfId)} of ${vm.vmId} is not allocated and assigned any more.`,
    );
  }
  const differing = (Object.keys(now) as (keyof VirtualFunctionIdentity)[]).filter((k) => now[k] !== info[k]);
  if (differing.length > 0) {
    throw new HoldfastError(
      'IdentityMismatch',
      `The VF of ${vm.vmId} differs from the saved one in ${differing.map((k) => `${k} (${String(info[k])} saved, ${String(now[k])} found)`).join(', ')}.`,
    );
  }
  const epoch = vfOf(o.pf, vm.vmId)?.configEpoch;
  if (epoch !== info.configEpoch) {
    throw new HoldfastError(
      'ConfigEpochChanged',
      `VF ${String(info.vfId)} of ${vm.vmId} was reset while held (epoch ${String(info.configEpoch)} saved, ${String(epoch)} found).`,
    );
  }
  return now;
}

const recordOf = (o: Objects): SavedRecord => {
  if (o.vm.record === null) throw new HoldfastError('NoRecord', `${o.vm.vmId} has no saved record.`);
  return o.vm.record;
};

const readVfInfo = (c: CommandRunner) => c.run('Repository.ReadVirtualFunctionInfo', checkIdentity);

export const powerOnRestore: StepOperation = {
  inPlace: ({ vm }, generation) =>
    vm.workerProcess.state === 'running' &&
    vm.record?.state === 'claimed' &&
    vm.record.claimedBy === generation &&
    vm.adapter.state !== 'ResourcesReserved',
  effect: (c) => {
    c.run('Repository.ClaimRecord', (o) => {
      claimRecord(recordOf(o), c.generation);
    });
    c.run('VMWP.Start', (o) => {
      const { vm } = o;
      if (vm.workerProcess.state === 'running') return;
      if (vm.successor?.workerProcess.version !== nextStackVersion(o)) {
        // Prepared for an update that did not come: the old stack restores the VM.
        prepareSuccessor(o);
        if (vm.successor !== null) {
          adapter.initialize(vm.successor.adapter);
          adapter.finishReservingResources(vm.successor.adapter);
        }
      }
      if (vm.successor === null) throw refused('There is no prepared worker process.');
      vm.workerProcess = startWorkerProcess(vm.successor.workerProcess, vm.workerProcess);
      vm.adapter = vm.successor.adapter;
      vm.successor = null;
    });
    c.run('VDEV.PowerOnRestore (begin)', () => undefined);
    const vdevVersion = c.run('Repository.ReadVdevVersion', (o) => recordOf(o).vdevVersion);
    const blocks = c.run('Repository.ReadBlockCount', (o) => blockCount(recordOf(o)));
    const oneStep = c.run('Repository.ReadSettings', ({ vm }) => vm.lease?.settings.virtualFunctionRestore === 'one-step');
    // Claim 10: the adapter retrieves the ids here; with claim 17 the combined step retrieves them.
    const identity = oneStep ? null : readVfInfo(c);
    c.run('VDEV.PowerOnRestore (end)', ({ vm }) => {
      if (vm.adapter.state === 'ResourcesReserved') adapter.powerOn(vm.adapter);
    });
    return { vdevVersion, blocks, vfId: identity?.vfId, luid: identity?.luid };
  },
};

export const createVpciBus: StepOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ vm }) => vm.vpci.interface.state !== 'none' && vm.vpci.interface.madeBy === vm.workerProcess.number,
  effect: (c) => {
    c.run('VPCI.CreateBus', ({ vm }) => {
      createBusInterface(vm.vpci, vm.workerProcess.number);
    });
    return {};
  },
};

/** Adopts the held device by its stored ids, or, for a running VM, assigns a new one; then the tail of bus creation. */
export const assignVirtualFunction: StepOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ vm }) => vm.vpci.interface.state === 'active' && vm.vpci.interface.madeBy === vm.workerProcess.number,
  effect: (c) => {
    c.run('VPCI.AssignDevice', (o) => {
      const { vm } = o;
      if (vm.vpci.interface.state === 'bound') return;
      if (isRunning(o)) {
        const vf = vfOf(o.pf, vm.vmId);
        if (vf === undefined) throw refused('No VF is allocated that could be assigned.');
        o.host.nextLuid += 1;
        assignNewDevice(vm.vpci, vm.vmId, vf.vfId, `00000000:${o.host.nextLuid.toString(16).padStart(8, '0')}`);
        return;
      }
      const info = recordOf(o).blocks.vfInfo;
      if (info === undefined) throw refused('The record has no VF info to adopt the device by.');
      adoptDevice(vm.vpci, vm.vmId, info.vfId, info.luid);
    });
    c.run('VPCI.CreateBus (connect)', (o) => {
      connectDevice(o.vm.vpci);
      if (isRunning(o)) adapter.markAssigned(o.vm.adapter, o.vm.configuredIovWeight);
    });
    return c.run('VPCI.ReadAssignment', ({ vm }) => ({
      vfId: vm.vpci.device?.vfId,
      luid: vm.vpci.device?.luid,
      iommuAttachCount: vm.vpci.device?.iommuAttachCount,
    }));
  },
};

/** Re-adopts the shadow state; indices, BARs and the command register are never written back to the live device. */
export const restoreVirtualFunctionState: StepOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ vm }) => vm.restored.vfState,
  effect: (c) =>
    c.run('VPCI.RestoreDeviceState', (o) => {
      const { vm } = o;
      const state = recordOf(o).blocks.vfState;
      if (vm.vpci.interface.state !== 'active') throw refused('The VF device is not connected.');
      const epoch = vfOf(o.pf, vm.vmId)?.configEpoch;
      if (state?.configEpoch !== epoch) {
        throw new HoldfastError('ConfigEpochChanged', `The saved state of the VF of ${vm.vmId} is of another epoch.`);
      }
      vm.restored.vfState = true;
      return { configEpoch: epoch };
    }),
};

/** Claim 17: one function retrieves the ids and restores the VF. */
export const retrieveAndRestoreVirtualFunction: StepOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ vm }) => vm.restored.vfState && vm.vpci.interface.state === 'active',
  effect: async (c) => {
    const identity = readVfInfo(c);
    if (!c.run('VPCI.ReadInterface', (o) => createVpciBus.inPlace(o, c.generation))) await createVpciBus.effect(c);
    if (!c.run('VPCI.ReadInterface', (o) => assignVirtualFunction.inPlace(o, c.generation))) {
      await assignVirtualFunction.effect(c);
    }
    await restoreVirtualFunctionState.effect(c);
    return { vfId: identity?.vfId, luid: identity?.luid };
  },
};

export const restoreVm: StepOperation = {
  inPlace: ({ vm }) => vm.restored.vmState,
  effect: (c) =>
    c.run('Hypervisor.RestorePartition', (o) => {
      const { vm } = o;
      if (recordOf(o).blocks.vmState === undefined || vm.partition.state === 'gone') {
        throw new HoldfastError('VmStateLost', `The state of ${vm.vmId} is not in its record, or its partition is gone.`);
      }
      reattachPartition(vm.partition);
      handPartitionTo(vm.partition, custodianName(vm.workerProcess));
      vm.restored.vmState = true;
      return {};
    }),
};

export const markVirtualFunctionAssigned: StepOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ vm }) => vm.adapter.vfAssigned && vm.adapter.iovWeight > 0,
  effect: (c) =>
    c.run('VDEV.MarkVirtualFunctionAssigned', ({ vm }) => {
      adapter.markAssigned(vm.adapter, vm.configuredIovWeight);
      return { iovWeight: vm.configuredIovWeight };
    }),
};

export const connectSyntheticAdapter: StepOperation = {
  inPlace: ({ vm }) => vm.nic.state === 'connected',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_CREATE, OID_SWITCH_NIC_CONNECT', ({ vm }) => {
      createAndConnectNic(vm.nic);
    });
    return {};
  },
};

export const resumeSyntheticAdapter: StepOperation = {
  inPlace: ({ vm }) => vm.adapter.state === 'Running',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_RESTORE (start)', ({ vm }) => {
      startNicRestore(vm.nic);
    });
    const blobs = c.run('Repository.ReadSwitchBlobs', (o) => recordOf(o).blocks.switchBlobs ?? []);
    const owners = blobs.map((blob) =>
      c.run('OID_SWITCH_NIC_RESTORE', ({ host, vm }) => restoreNicBlob(vm.nic, blob, host.switchExtensions)),
    );
    c.run('OID_SWITCH_NIC_RESTORE_COMPLETE', ({ vm }) => {
      completeNicRestore(vm.nic);
    });
    c.run('VDEV.Resume', ({ vm }) => {
      adapter.resume(vm.adapter);
    });
    return { blobs: blobs.length, unowned: owners.filter((o) => o === 'UNOWNED').length };
  },
};

/** Ends the blackout: of a restore, where the record is consumed, or of a save that is undone. */
export const resumeVm: StepOperation = {
  inPlace: isRunning,
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      if (vm.record?.state === 'committed') throw refused('A saved VM cannot resume without its record being claimed.');
      if (vm.record?.state === 'claimed') {
        if (!vm.restored.vmState) throw refused('The VM state was not restored.');
        consumeRecord(vm.record);
      } else if (vm.adapter.state === 'Paused') adapter.resume(vm.adapter);
      if (vm.adapter.state !== 'Running') throw refused(`The VM cannot resume: its adapter is ${vm.adapter.state}.`);
      guestResumed(vm.guest, vfOf(o.pf, vm.vmId), nowMs);
      vm.blackoutMs = resumeVirtualProcessors(vm.partition, nowMs);
      vm.withinBudget = vm.blackoutMs <= (vm.lease?.settings.blackoutBudgetMs ?? Infinity);
      vm.deadlineMs = null;
      vm.pointOfNoReturn = null;
      markResumed(o.host, vm.vmId);
      const vfGone = vm.vfAbandoned ?? vm.record?.withoutVf ?? null;
      if (vm.record?.state === 'consumed' && vfGone !== null) {
        vm.path = 'synthetic-only';
        vm.pathReason = vfGone;
      }
      return { blackoutMs: vm.blackoutMs, interruptsReplayed: vm.guest.interruptsReplayed };
    }),
};

/** Claim 18: since the VF is assigned, bus creation, allocation and assignment are skipped; the hold ends. */
export const enableOptimizations: StepOperation = {
  inPlace: ({ vm }) => vm.adapter.optimizations === 'enabled' && vm.custody === null,
  effect: (c) => {
    const skipped = c.run('VDEV.EnableOptimizations', ({ vm }) => {
      if (vm.adapter.optimizations !== 'enabled') adapter.enableOptimizations(vm.adapter);
      return vm.adapter.vfAssigned ? ['CreateBus', 'AllocateVf', 'AssignDevice'] : [];
    });
    c.run('VPCI.ReleaseHold', ({ vm }) => {
      releaseHold(vm.vpci);
      vm.custody = null;
    });
    return { skipped };
  },
};

/** Identity after equals identity before, the guest saw nothing; then the lease is given back. */
export const verifyRestore: StepOperation = {
  releasesLease: true,
  inPlace: ({ vm }, generation) => vm.lease?.generation !== generation,
  effect: (c) =>
    c.run('Lease.Release', (o) => {
      const { vm } = o;
      if (vm.path === 'kept') {
        const [before, after] = [vm.identityBefore, identityOf(o)];
        const events = vm.guest.events.length - vm.before.events;
        if (JSON.stringify(before) !== JSON.stringify(after) || events > 0) {
          o.host.invariants.violations.push(`I2/I3: ${vm.vmId}`);
          throw new HoldfastError(
            'InvariantBreach',
            `The VF of ${vm.vmId} is not what it was: ${JSON.stringify(before)} before, ${JSON.stringify(after)} after; the guest saw ${String(events)} events.`,
          );
        }
      }
      o.host.invariants.checked += 2;
      vm.lease = null;
      vm.nextLease = null;
      vm.faults = [];
      return { vm: describeVm(o) };
    }),
};
