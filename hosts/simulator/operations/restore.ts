import { HoldfastError } from '../../../contract/failures';
import type { VirtualFunctionIdentity } from '../../../contract/ids';
import { handPartitionTo, reattachPartition } from '../devices/hypervisor-partition';
import { findVf, isVfOf, vfOf } from '../devices/physical-function';
import { blockCount, claimRecord } from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import {
  adoptDevice,
  assignNewDevice,
  connectDevice,
  createBusInterface,
} from '../devices/vpci-vsp';
import { custodianName, startWorkerProcess } from '../devices/vm-worker-process';
import { identityOf } from '../identity';
import { refused } from '../../engine/refused';
import type { AdapterObjects, Objects } from '../state';
import {
  isOfRightVersion,
  prepareSuccessor,
  refuseEndedSuccessor,
  versionToBe,
} from '../successor';
import { ofEachAdapter, runOnEach, type AdapterOperation } from './each-adapter';
import type { AdapterCommandRunner, StepOperation } from './operation';
import { isRunning, noVfToRestore, recordOf } from './saved-vm';

const successorRuns = ({ vm }: Objects): string | undefined =>
  vm.record?.state === 'claimed' && vm.workerProcess.state === 'running'
    ? 'the successor runs already'
    : undefined;

const successorVdevs = ({ vm }: Objects) => Object.values(vm.successor?.vdevs ?? {});

export const initializeSyntheticAdapter: StepOperation<'initializeSyntheticAdapter'> = {
  preparation: true,
  notApplicable: successorRuns,
  inPlace: (o) =>
    isOfRightVersion(o) && successorVdevs(o).every(({ state }) => state !== 'Created'),
  effect: (c) =>
    c.run('VDEV.Initialize', (o) => {
      refuseEndedSuccessor(o);
      if (!isOfRightVersion(o)) prepareSuccessor(o);
      for (const next of successorVdevs(o)) if (next.state === 'Created') vdev.initialize(next);
      const process = o.vm.successor?.workerProcess;
      return { workerProcess: process?.number, version: process?.version };
    }),
};

export const reserveResources: StepOperation<'reserveResources'> = {
  preparation: true,
  notApplicable: successorRuns,
  inPlace: (o) =>
    o.vm.successor !== null &&
    successorVdevs(o).every(({ state }) => state === 'ResourcesReserved'),
  effect: (c) => {
    c.run('VDEV.StartReservingResources', ({ vm }) => {
      if (vm.successor === null)
        throw refused('Resources cannot be reserved before the adapter is initialized.');
    });
    c.run('VDEV.FinishReservingResources', (o) => {
      refuseEndedSuccessor(o);
      for (const next of successorVdevs(o)) vdev.finishReservingResources(next);
    });
    return {};
  },
};

/** Refuses before any hardware is touched: lost, another identity, or another configuration epoch (claim 10). */
export function checkIdentity(o: AdapterObjects): VirtualFunctionIdentity | null {
  const { vm, adapter } = o;
  if (noVfToRestore(o) !== undefined) return null;
  const info = vm.record?.blocks.adapters[adapter.adapterId]?.vfInfo;
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
  const epoch = vfOf(o)?.configEpoch;
  if (epoch !== info.configEpoch) {
    throw new HoldfastError(
      'ConfigEpochChanged',
      `VF ${String(info.vfId)} of ${vm.vmId} was reset while held (epoch ${String(info.configEpoch)} saved, ${String(epoch)} found).`,
    );
  }
  return now;
}

/** An update whose reader does not understand what the version before it wrote. */
function refuseUnreadable({ vm, host }: Objects, reader: string): void {
  const { updateDefect, servicing } = host;
  const isBad =
    updateDefect?.kind === 'cannot-read-record' &&
    updateDefect.generation === servicing?.generation &&
    reader === servicing.order.update.version;
  if (isBad)
    throw new HoldfastError(
      'RecordUnreadable',
      `Worker process version ${reader} cannot read the record of ${vm.vmId}.`,
    );
}

const readVfInfo = (c: AdapterCommandRunner) =>
  c.run('Repository.ReadVirtualFunctionInfo', checkIdentity);

/** Two worker processes would both own the partition, and an adapter without resources cannot power on. */
function refuseUnlessSuccessorReady(o: Objects): void {
  const { vm } = o;
  refuseEndedSuccessor(o);
  if (vm.workerProcess.state === 'running') {
    throw refused(
      `Worker process ${String(vm.workerProcess.number)} still runs ${vm.vmId}; its successor cannot start.`,
    );
  }
  const prepared =
    vm.successor === null
      ? 'not prepared'
      : successorVdevs(o).find(({ state }) => state !== 'ResourcesReserved')?.state;
  if (prepared !== undefined) {
    throw refused(`The successor's adapter of ${vm.vmId} is ${prepared}, not ResourcesReserved.`);
  }
}

export const powerOnRestore: StepOperation<'powerOnRestore'> = {
  inPlace: ({ vm }, generation) =>
    vm.workerProcess.state === 'running' &&
    vm.record?.state === 'claimed' &&
    vm.record.claimedBy === generation &&
    vm.adapters.every(({ vdev: { state } }) => state === 'PoweredOn' || state === 'Running'),
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
      const reader = workerProcess.state === 'running' ? workerProcess.version : versionToBe(o);
      refuseUnreadable(o, reader);
      claimRecord(record, c.generation, reader);
    });
    c.run('VMWP.Start', (o) => {
      const { vm } = o;
      if (vm.workerProcess.state === 'running') return;
      if (vm.successor === null) throw refused('There is no prepared worker process.');
      vm.workerProcess = startWorkerProcess(vm.successor.workerProcess, vm.workerProcess);
      for (const adapter of vm.adapters)
        adapter.vdev = vm.successor.vdevs[adapter.adapterId] ?? vdev.createAdapter();
      vm.successor = null;
    });
    c.run('VDEV.PowerOnRestore (begin)', () => undefined);
    const vdevVersion = c.run('Repository.ReadVdevVersion', (o) => recordOf(o).vdevVersion);
    const blocks = c.run('Repository.ReadBlockCount', (o) => blockCount(recordOf(o)));
    const oneStep = c.run(
      'Repository.ReadSettings',
      ({ vm }) => vm.lease?.settings.virtualFunctionRestore === 'one-step',
    );
    // Claim 10: each adapter retrieves its ids here; with claim 17 the combined step retrieves them.
    const adapters = oneStep ? [] : c.look(({ vm }) => vm.adapters);
    const identities = adapters.map((adapter) => readVfInfo(c.ofAdapter(adapter)));
    runOnEach(c, 'VDEV.PowerOnRestore (end)', ({ adapter }) => {
      if (adapter.vdev.state === 'ResourcesReserved') vdev.powerOn(adapter.vdev);
    });
    const identity = identities.find((found) => found !== null);
    return { vdevVersion, blocks, vfId: identity?.vfId, luid: identity?.luid };
  },
};

/** The guest uses a VF on this adapter: it is another one that gets a VF anew. */
export const usesVf = (o: AdapterObjects): string | undefined =>
  isRunning(o) && o.adapter.guest.dataPath === 'vf' ? 'the guest uses its VF' : undefined;
const noVfToBring = (o: AdapterObjects) => noVfToRestore(o) ?? usesVf(o);

const createBus: AdapterOperation = {
  notApplicable: noVfToBring,
  inPlace: ({ vm, adapter: { vpci } }) =>
    vpci.interface.state !== 'none' && vpci.interface.madeBy === vm.workerProcess.number,
  effect: (c) => {
    c.run('VPCI.CreateBus', ({ vm, adapter }) => {
      createBusInterface(adapter.vpci, vm.workerProcess.number);
    });
    return {};
  },
};
export const createVpciBus = ofEachAdapter(createBus);

/** Adopts the held device by its stored ids, or, for a running VM, assigns a new one; then the tail of bus creation. */
const assign: AdapterOperation = {
  notApplicable: noVfToBring,
  inPlace: ({ vm, adapter: { vpci } }) =>
    vpci.interface.state === 'active' && vpci.interface.madeBy === vm.workerProcess.number,
  effect: (c) => {
    c.run('VPCI.AssignDevice', (o) => {
      const { vm, adapter, host } = o;
      if (adapter.vpci.interface.state === 'bound') return;
      if (isRunning(o)) {
        const vf = vfOf(o);
        if (vf === undefined) throw refused('No VF is allocated that could be assigned.');
        host.nextLuid += 1;
        const luid = `00000000:${host.nextLuid.toString(16).padStart(8, '0')}`;
        assignNewDevice(adapter.vpci, vm.vmId, vf.vfId, luid);
        return;
      }
      const info = recordOf(o).blocks.adapters[adapter.adapterId]?.vfInfo;
      if (info === undefined) throw refused('The record has no VF info to adopt the device by.');
      const vf = findVf(o.pf, info.vfId);
      if (vf === undefined || !isVfOf(vf, o)) {
        throw new HoldfastError(
          vf === undefined ? 'VirtualFunctionLost' : 'IdentityMismatch',
          `VF ${String(info.vfId)} of ${vm.vmId} is ${vf === undefined ? 'not allocated any more' : `allocated to ${vf.ownerVmId}`}.`,
        );
      }
      adoptDevice(adapter.vpci, vm.vmId, info.vfId, info.luid);
    });
    c.run('VPCI.CreateBus (connect)', (o) => {
      const { adapter } = o;
      connectDevice(adapter.vpci);
      if (isRunning(o)) vdev.markAssigned(adapter.vdev, adapter.configuredIovWeight);
    });
    return c.run('VPCI.ReadAssignment', ({ adapter: { vpci } }) => ({
      vfId: vpci.device?.vfId,
      luid: vpci.device?.luid,
      iommuAttachCount: vpci.device?.iommuAttachCount,
    }));
  },
};
export const assignVirtualFunction = ofEachAdapter(assign);

/** Re-adopts the shadow state; indices, BARs and the command register are never written back to the live device. */
const restoreState: AdapterOperation = {
  notApplicable: noVfToRestore,
  inPlace: ({ adapter }) => adapter.vfStateRestored,
  effect: (c) =>
    c.run('VPCI.RestoreDeviceState', (o) => {
      const { vm, adapter } = o;
      const state = recordOf(o).blocks.adapters[adapter.adapterId]?.vfState;
      if (adapter.vpci.interface.state !== 'active')
        throw refused('The VF device is not connected.');
      const epoch = vfOf(o)?.configEpoch;
      if (state?.configEpoch !== epoch) {
        throw new HoldfastError(
          'ConfigEpochChanged',
          `The saved state of the VF of ${vm.vmId} is of another epoch.`,
        );
      }
      adapter.vfStateRestored = true;
      return { configEpoch: epoch };
    }),
};
export const restoreVirtualFunctionState = ofEachAdapter(restoreState);

/** Claim 17: one function retrieves the ids and restores the VF. */
export const retrieveAndRestoreVirtualFunction = ofEachAdapter({
  notApplicable: noVfToRestore,
  inPlace: ({ adapter }) => adapter.vfStateRestored && adapter.vpci.interface.state === 'active',
  effect: async (c) => {
    const identity = readVfInfo(c);
    for (const part of [createBus, assign]) {
      const done = c.run('VPCI.ReadInterface', (o) => part.inPlace(o, c.generation));
      if (!done) await part.effect(c);
    }
    await restoreState.effect(c);
    return { vfId: identity?.vfId, luid: identity?.luid };
  },
});

export const restoreVm: StepOperation<'restoreVm'> = {
  inPlace: ({ vm }) => vm.vmStateRestored,
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
      vm.vmStateRestored = true;
      return {};
    }),
};

export const markVirtualFunctionAssigned = ofEachAdapter({
  notApplicable: noVfToRestore,
  inPlace: ({ adapter }) => adapter.vdev.vfAssigned && adapter.vdev.iovWeight > 0,
  effect: (c) =>
    c.run('VDEV.MarkVirtualFunctionAssigned', ({ vm, adapter }) => {
      if (adapter.vpci.device === null) {
        throw new HoldfastError(
          'VirtualFunctionLost',
          `The VF device of ${vm.vmId} is not assigned any more.`,
        );
      }
      vdev.markAssigned(adapter.vdev, adapter.configuredIovWeight);
      return { iovWeight: adapter.configuredIovWeight };
    }),
});
