import { HoldfastError } from '../../../contract/failures';
import { forceOffVf, guestKnowsVf, guestLosesVf } from '../devices/guest';
import { handPartitionTo, startCold } from '../devices/hypervisor-partition';
import {
  DEFAULT_VPORT,
  FUNCTION_COMMANDS,
  deleteVPort,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
} from '../devices/physical-function';
import { discardRecord } from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import { releaseHold, unassignDevice } from '../devices/vpci-vsp';
import { createAndConnectNic } from '../devices/vm-switch';
import { custodianName, prepareWorkerProcess } from '../devices/vm-worker-process';
import { refused } from '../../engine/refused';
import type { AdapterObjects, Objects } from '../state';
import { eachAdapter, ofEachAdapter } from './each-adapter';
import type { AdapterCommandRunner, CommandRunner, StepOperation } from './operation';
import { checkIdentity } from './restore';
import { noVfToRestore } from './saved-vm';

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
      if (vm.workerProcess.state !== 'running') {
        host.nextWorkerProcess += 1;
        vm.workerProcess = {
          ...prepareWorkerProcess(host.nextWorkerProcess, host.versions.vmWorkerProcess),
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
