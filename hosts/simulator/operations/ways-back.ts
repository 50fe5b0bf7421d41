import { HoldfastError } from '../../../contract/failures';
import { forceOffVf, guestKnowsVf, guestLosesVf } from '../devices/guest';
import { handPartitionTo, preservePartition, startCold } from '../devices/hypervisor-partition';
import {
  DEFAULT_VPORT,
  FUNCTION_COMMANDS,
  deleteVPort,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
} from '../devices/physical-function';
import { discardRecord, releaseClaim } from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import { releaseHold, resetBusInterface, unassignDevice } from '../devices/vpci-vsp';
import { abandonNicRestore, createAndConnectNic } from '../devices/vm-switch';
import { custodianName, prepareWorkerProcess } from '../devices/vm-worker-process';
import { markRetreated } from '../../engine/gates';
import { refused } from '../../engine/refused';
import type { AdapterObjects, Objects } from '../state';
import { endWorkerProcess, prepareReadySuccessor } from '../successor';
import { eachAdapter, ofEachAdapter, runOnEach } from './each-adapter';
import type { AdapterCommandRunner, CommandRunner, StepOperation } from './operation';
import { checkIdentity } from './restore';
import { noVfToRestore, recordOf } from './saved-vm';

/** Before the point of no return a save is undone instead: nothing need be lost. */
const refuseBeforeCrossing = ({ vm }: Objects) => {
  if (vm.pointOfNoReturn === null) {
    throw refused(`${vm.vmId} has not crossed the point of no return: its save can be undone.`);
  }
};

/**
 * Gives a held VF up while the VM is still paused: the hold is released by authority, then the VF is taken off the
 * switch in the legal order and the data path is forced to synthetic. A conventional eject would need a running guest.
 */
function detach(c: AdapterCommandRunner) {
  c.run('Custody.AuthorisedRelease', ({ adapter }) => {
    adapter.custody = null;
    releaseHold(adapter.vpci);
  });
  const vf = c.run('SyntheticNic.DetermineVfAllocatedAndAssigned', (o) => vfOf(o) ?? null);
  if (vf !== null) {
    if (c.kind === 'network') {
      c.run('OID_RECEIVE_FILTER_MOVE_FILTER', ({ pf }) => {
        moveFilter(pf, vf.macAddress, DEFAULT_VPORT);
      });
      c.run('OID_NIC_SWITCH_DELETE_VPORT', ({ pf }) => {
        if (pf.vports.some((p) => p.vfId === vf.vfId)) deleteVPort(pf, vf.vfId);
      });
    }
    c.run(FUNCTION_COMMANDS[c.kind].reset, ({ pf, nowMs }) => {
      resetVf(pf, vf.vfId, nowMs);
    });
  }
  c.run('VPCI.UnassignDevice', ({ adapter }) => {
    unassignDevice(adapter.vpci);
    vdev.markUnassigned(adapter.vdev);
  });
  if (vf !== null) {
    c.run(FUNCTION_COMMANDS[c.kind].free, ({ pf }) => {
      freeVf(pf, vf.vfId);
    });
  }
  c.run('Guest.ForceSyntheticDataPath', ({ adapter: { guest }, nowMs }) => {
    if (guestKnowsVf(guest)) guestLosesVf(guest, 'surpriseRemoval', nowMs);
    else forceOffVf(guest, nowMs);
  });
  return { vfId: vf?.vfId };
}

const isDetached = (o: AdapterObjects) =>
  o.adapter.vpci.device === null && vfOf(o) === undefined && o.adapter.guest.dataPath !== 'vf';

/** Whether what the host has for the adapter is not, or not any more, what was saved. */
function isSpoilt(o: AdapterObjects): boolean {
  try {
    checkIdentity(o);
    return false;
  } catch (error) {
    if (error instanceof HoldfastError) return true;
    throw error;
  }
}

/**
 * Of several VFs only those are given up that were lost or are not what was saved; where none of them is known to be
 * the one that fails, all that are not restored yet. Decided once, before anything is detached.
 */
function giveUpFunctions(o: Objects): void {
  const all = eachAdapter(o);
  if (all.some((of) => of.adapter.vfAbandoned !== null && !isDetached(of))) return;
  const toRestore = all.filter((of) => noVfToRestore(of) === undefined);
  const spoilt = toRestore.filter(isSpoilt);
  const failing =
    spoilt.length > 0 ? spoilt : toRestore.filter((of) => !of.adapter.vfStateRestored);
  for (const { adapter } of failing.length > 0 ? failing : toRestore)
    adapter.vfAbandoned =
      'the held VF could not be restored, so it was detached while the VM was paused';
}

export const detachHeldFunction: StepOperation<'detachHeldFunction'> = {
  usesDevices: true,
  inPlace: ({ vm }, generation) => vm.functionsGivenUpBy === generation,
  effect: (c) => {
    c.run('Hypervisor.ReadPartition', ({ vm }) => {
      if (vm.partition.state === 'running')
        throw refused('A running guest gives its VF up by an eject.');
    });
    c.run('PointOfNoReturn.Read', refuseBeforeCrossing);
    c.run('Recovery.GiveUpFunctions', giveUpFunctions);
    const evidence = detachAll(c);
    const kept = c.run('Recovery.EndDetach', (o) => {
      o.vm.functionsGivenUpBy = c.generation;
      return eachAdapter(o).some((of) => noVfToRestore(of) === undefined);
    });
    return { ...evidence, kept };
  },
};

/** Detaches what was given up; answers the first VF that went. */
function detachAll(c: CommandRunner) {
  const givenUp = c.look((o) =>
    eachAdapter(o).filter((of) => of.adapter.vfAbandoned !== null && !isDetached(of)),
  );
  const [first] = givenUp.map(({ adapter }) => detach(c.ofAdapter(adapter)));
  return first ?? {};
}

/**
 * Ends the process of the new version and makes all as it was when the VM was down, so that the version which wrote the
 * record restores it: what the new process has restored counts as not restored. The VF stays held, and is not reset.
 */
export const retreatToOldStack: StepOperation<'retreatToOldStack'> = {
  inPlace: ({ vm }, generation) => vm.retreatedBy === generation,
  observed: ({ vm }) => ({ version: vm.successor?.workerProcess.version }),
  effect: (c) => {
    c.run('PointOfNoReturn.Read', (o) => {
      refuseBeforeCrossing(o);
      const { vm } = o;
      const { record, workerProcess } = vm;
      if (
        record?.state === 'claimed' ||
        (record?.state === 'committed' && workerProcess.state === 'exited')
      )
        return;
      throw refused(
        `${vm.vmId} cannot go back: its record is ${record?.state ?? 'missing'}, its worker process ${workerProcess.state}.`,
      );
    });
    c.run('VMWP.Terminate', ({ vm }) => {
      if (vm.record?.state === 'claimed' && vm.workerProcess.state === 'running')
        endWorkerProcess(vm);
      vm.successor = null;
    });
    // Proven on the process itself: two would both own the partition.
    c.run('VMWP.ProveEnded', ({ vm }) => {
      if (vm.workerProcess.state !== 'exited')
        throw refused(`Worker process ${vm.workerProcess.number} of ${vm.vmId} still runs.`);
    });
    runOnEach(c, 'VPCI.ResetBusInterface', ({ adapter }) => {
      if (adapter.vpci.interface.state !== 'none') resetBusInterface(adapter.vpci);
      adapter.vfStateRestored = false;
      abandonNicRestore(adapter.nic);
    });
    c.run('Hypervisor.PreservePartition', ({ vm }) => {
      if (vm.partition.state === 'suspended') preservePartition(vm.partition);
      vm.vmStateRestored = false;
    });
    c.run('Repository.ReleaseClaim', (o) => {
      releaseClaim(recordOf(o));
    });
    return c.run('VMWP.Prepare', (o) => {
      const { vm, host } = o;
      markRetreated(host, vm, vm.workerProcess.version);
      prepareReadySuccessor(o);
      vm.retreatedBy = c.generation;
      const version = vm.successor?.workerProcess.version;
      vm.pathReason = `back on ${version}: the restore by ${vm.versions?.target} did not succeed`;
      return { version };
    });
  },
};

/** A switch extension could not take its data back: the adapter runs without it, and the loss is reported. */
export const recreateSyntheticAdapter = ofEachAdapter({
  inPlace: ({ adapter }) => adapter.vdev.state === 'Running',
  effect: (c) =>
    c.run('VDEV.Recreate', ({ adapter }) => {
      const { nic } = adapter;
      const lost = nic.blobs.map((b) => b.extensionId);
      nic.saving = 'none';
      nic.blobs = [];
      if (nic.state === 'deleted') createAndConnectNic(nic);
      vdev.resume(adapter.vdev);
      if (lost.length > 0)
        adapter.pathReason = `the data of switch extensions ${lost.join(', ')} was lost`;
      return { lost };
    }),
});

/** Guest memory is lost: the VM starts from nothing, on the synthetic path. */
export const coldStartVm: StepOperation<'coldStartVm'> = {
  usesDevices: true,
  inPlace: ({ vm }) => vm.path === 'restarted' && vm.vmStateRestored,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', refuseBeforeCrossing);
    c.run('Recovery.GiveUpFunctions', ({ vm }) => {
      for (const adapter of vm.adapters)
        if (adapter.wantsVf)
          adapter.vfAbandoned ??= 'the VM was started cold, so its held VF was detached';
    });
    detachAll(c);
    c.run('Repository.Discard', ({ vm }) => {
      if (vm.record?.state === 'committed' || vm.record?.state === 'claimed')
        discardRecord(vm.record);
    });
    c.run('VMWP.Start', (o) => {
      const { vm, host } = o;
      startCold(vm.partition);
      const byDefault = host.versions.vmWorkerProcess;
      // What starts anew gets no version that was not verified on this VM.
      if (vm.workerProcess.version !== byDefault) endWorkerProcess(vm);
      if (vm.workerProcess.state !== 'running') {
        host.nextWorkerProcess += 1;
        vm.workerProcess = {
          ...prepareWorkerProcess(host.nextWorkerProcess, byDefault),
          state: 'running',
        };
        vm.successor = null;
      }
      handPartitionTo(vm.partition, custodianName(vm.workerProcess));
      for (const adapter of vm.adapters) {
        adapter.vdev = { ...vdev.createAdapter(), state: 'Paused' };
        adapter.nic.saving = 'none';
        if (adapter.nic.state === 'deleted') createAndConnectNic(adapter.nic);
      }
      vm.vmStateRestored = true;
      vm.path = 'restarted';
      vm.pathReason = 'the saved state of the VM could not be used; guest memory is lost';
    });
    return {};
  },
};
