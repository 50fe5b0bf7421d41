import { HoldfastError } from '../../../contract/failures';
import type { VirtualFunctionIdentity } from '../../../contract/ids';
import { handPartitionTo, reattachPartition } from '../devices/hypervisor-partition';
import { findVf, vfOf } from '../devices/network-adapter';
import { blockCount, claimRecord } from '../devices/runtime-repository';
import * as adapter from '../devices/synthetic-network-adapter';
import {
  adoptDevice,
  assignNewDevice,
  connectDevice,
  createBusInterface,
} from '../devices/vpci-vsp';
import {
  custodianName,
  prepareWorkerProcess,
  startWorkerProcess,
} from '../devices/vm-worker-process';
import { identityOf } from '../identity';
import { refused } from '../legal-moves';
import { nextStackVersion } from '../servicing';
import type { Objects } from '../state';
import type { CommandRunner, StepOperation } from './operation';
import { isRunning, noVfToRestore, recordOf } from './saved-vm';

function prepareSuccessor(o: Objects): void {
  o.host.nextWorkerProcess += 1;
  o.vm.successor = {
    workerProcess: prepareWorkerProcess(o.host.nextWorkerProcess, nextStackVersion(o.host)),
    adapter: adapter.createAdapter(),
  };
}

const successorRuns = ({ vm }: Objects): string | undefined =>
  vm.record?.state === 'claimed' && vm.workerProcess.state === 'running'
    ? 'the successor runs already'
    : undefined;

export const initializeSyntheticAdapter: StepOperation = {
  preparation: true,
  notApplicable: successorRuns,
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
  notApplicable: successorRuns,
  inPlace: ({ vm }) => vm.successor?.adapter.state === 'ResourcesReserved',
  effect: (c) => {
    c.run('VDEV.StartReservingResources', ({ vm }) => {
      if (vm.successor === null)
        throw refused('Resources cannot be reserved before the adapter is initialized.');
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
  if (info === undefined)
    throw new HoldfastError('VmStateLost', `The record of ${vm.vmId} has no VF info.`);
  const now = identityOf(o);
  if (now === null) {
    throw new HoldfastError(
      'VirtualFunctionLost',
      `VF ${String(info.vfId)} of ${vm.vmId} is not allocated and assigned any more.`,
    );
  }
  const differing = (Object.keys(now) as (keyof VirtualFunctionIdentity)[]).filter(
    (k) => now[k] !== info[k],
  );
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

const readVfInfo = (c: CommandRunner) => c.run('Repository.ReadVirtualFunctionInfo', checkIdentity);

/** Two worker processes would both own the partition, and an adapter without resources cannot power on. */
function refuseUnlessSuccessorReady({ vm }: Objects): void {
  if (vm.workerProcess.state === 'running') {
    throw refused(
      `Worker process ${String(vm.workerProcess.number)} still runs ${vm.vmId}; its successor cannot start.`,
    );
  }
  const prepared = vm.successor?.adapter.state ?? 'not prepared';
  if (prepared !== 'ResourcesReserved') {
    throw refused(`The successor's adapter of ${vm.vmId} is ${prepared}, not ResourcesReserved.`);
  }
}

export const powerOnRestore: StepOperation = {
  inPlace: ({ vm }, generation) =>
    vm.workerProcess.state === 'running' &&
    vm.record?.state === 'claimed' &&
    vm.record.claimedBy === generation &&
    (vm.adapter.state === 'PoweredOn' || vm.adapter.state === 'Running'),
  effect: (c) => {
    c.run('Repository.ClaimRecord', (o) => {
      const record = recordOf(o);
      if (record.state === 'discarded') {
        throw new HoldfastError(
          'VmStateLost',
          `The record of ${o.vm.vmId} was discarded for a cold start.`,
        );
      }
      if (record.state === 'committed') refuseUnlessSuccessorReady(o);
      const { workerProcess } = o.vm;
      const reader =
        workerProcess.state === 'running' ? workerProcess.version : nextStackVersion(o.host);
      claimRecord(record, c.generation, reader);
    });
    c.run('VMWP.Start', (o) => {
      const { vm } = o;
      if (vm.workerProcess.state === 'running') return;
      if (vm.successor?.workerProcess.version !== nextStackVersion(o.host)) {
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
    const oneStep = c.run(
      'Repository.ReadSettings',
      ({ vm }) => vm.lease?.settings.virtualFunctionRestore === 'one-step',
    );
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
  inPlace: ({ vm }) =>
    vm.vpci.interface.state !== 'none' && vm.vpci.interface.madeBy === vm.workerProcess.number,
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
  inPlace: ({ vm }) =>
    vm.vpci.interface.state === 'active' && vm.vpci.interface.madeBy === vm.workerProcess.number,
  effect: (c) => {
    c.run('VPCI.AssignDevice', (o) => {
      const { vm } = o;
      if (vm.vpci.interface.state === 'bound') return;
      if (isRunning(o)) {
        const vf = vfOf(o.pf, vm.vmId);
        if (vf === undefined) throw refused('No VF is allocated that could be assigned.');
        o.host.nextLuid += 1;
        assignNewDevice(
          vm.vpci,
          vm.vmId,
          vf.vfId,
          `00000000:${o.host.nextLuid.toString(16).padStart(8, '0')}`,
        );
        return;
      }
      const info = recordOf(o).blocks.vfInfo;
      if (info === undefined) throw refused('The record has no VF info to adopt the device by.');
      const owner = findVf(o.pf, info.vfId)?.ownerVmId;
      if (owner !== vm.vmId) {
        throw new HoldfastError(
          owner === undefined ? 'VirtualFunctionLost' : 'IdentityMismatch',
          `VF ${String(info.vfId)} of ${vm.vmId} is ${owner === undefined ? 'not allocated any more' : `allocated to ${owner}`}.`,
        );
      }
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
        throw new HoldfastError(
          'ConfigEpochChanged',
          `The saved state of the VF of ${vm.vmId} is of another epoch.`,
        );
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
    if (!c.run('VPCI.ReadInterface', (o) => createVpciBus.inPlace(o, c.generation)))
      await createVpciBus.effect(c);
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
      if (recordOf(o).state !== 'claimed')
        throw refused(`The record of ${vm.vmId} was not claimed by a restore.`);
      if (recordOf(o).blocks.vmState === undefined || vm.partition.state === 'gone') {
        throw new HoldfastError(
          'VmStateLost',
          `The state of ${vm.vmId} is not in its record, or its partition is gone.`,
        );
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
      if (vm.vpci.device === null) {
        throw new HoldfastError(
          'VirtualFunctionLost',
          `The VF device of ${vm.vmId} is not assigned any more.`,
        );
      }
      adapter.markAssigned(vm.adapter, vm.configuredIovWeight);
      return { iovWeight: vm.configuredIovWeight };
    }),
};
