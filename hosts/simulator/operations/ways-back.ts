import { forceSynthetic, guestKnowsVf, guestLosesVf } from '../devices/guest';
import { handPartitionTo, startCold } from '../devices/hypervisor-partition';
import {
  DEFAULT_VPORT,
  deleteVPort,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
} from '../devices/network-adapter';
import { discardRecord } from '../devices/runtime-repository';
import * as adapter from '../devices/synthetic-network-adapter';
import { releaseHold, unassignDevice } from '../devices/vpci-vsp';
import { createAndConnectNic } from '../devices/vm-switch';
import { custodianName, prepareWorkerProcess } from '../devices/vm-worker-process';
import { refused } from '../legal-moves';
import { markResumed } from '../servicing';
import type { Objects } from '../state';
import type { CommandRunner, Evidence, StepOperation } from './operation';

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
function detach(c: CommandRunner): Evidence {
  c.run('Custody.AuthorisedRelease', ({ vm }) => {
    vm.custody = null;
    releaseHold(vm.vpci);
    vm.vfAbandoned ??=
      'the held VF could not be restored, so it was detached while the VM was paused';
  });
  const vf = c.run(
    'SyntheticNic.DetermineVfAllocatedAndAssigned',
    (o) => vfOf(o.pf, o.vm.vmId) ?? null,
  );
  if (vf !== null) {
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', ({ pf }) => {
      moveFilter(pf, vf.macAddress, DEFAULT_VPORT);
    });
    c.run('OID_NIC_SWITCH_DELETE_VPORT', ({ pf }) => {
      if (pf.vports.some((p) => p.vfId === vf.vfId)) deleteVPort(pf, vf.vfId);
    });
    c.run('OID_SRIOV_RESET_VF', ({ pf, nowMs }) => {
      resetVf(pf, vf.vfId, nowMs);
    });
  }
  c.run('VPCI.UnassignDevice', ({ vm }) => {
    unassignDevice(vm.vpci);
    adapter.markUnassigned(vm.adapter);
  });
  if (vf !== null) {
    c.run('OID_NIC_SWITCH_FREE_VF', ({ pf }) => {
      freeVf(pf, vf.vfId);
    });
  }
  c.run('Guest.ForceSyntheticDataPath', ({ vm, nowMs }) => {
    if (guestKnowsVf(vm.guest)) guestLosesVf(vm.guest, 'surpriseRemoval', nowMs);
    else forceSynthetic(vm.guest, nowMs);
  });
  return { vfId: vf?.vfId };
}

export const detachHeldFunction: StepOperation = {
  usesPf: true,
  inPlace: (o) =>
    o.vm.vfAbandoned !== null &&
    o.vm.vpci.device === null &&
    vfOf(o.pf, o.vm.vmId) === undefined &&
    o.vm.guest.dataPath === 'synthetic',
  effect: (c) => {
    c.run('Hypervisor.ReadPartition', ({ vm }) => {
      if (vm.partition.state === 'running')
        throw refused('A running guest gives its VF up by an eject.');
    });
    c.run('PointOfNoReturn.Read', refuseBeforeCrossing);
    return detach(c);
  },
};

/** A switch extension could not take its data back: the adapter runs without it, and the loss is reported. */
export const recreateSyntheticAdapter: StepOperation = {
  inPlace: ({ vm }) => vm.adapter.state === 'Running',
  effect: (c) =>
    c.run('VDEV.Recreate', ({ vm }) => {
      const lost = vm.nic.blobs.map((b) => b.extensionId);
      vm.nic.saving = 'none';
      vm.nic.blobs = [];
      if (vm.nic.state === 'deleted') createAndConnectNic(vm.nic);
      adapter.resume(vm.adapter);
      vm.pathReason = `the data of switch extensions ${lost.join(', ')} was lost`;
      return { lost };
    }),
};

/** Guest memory is lost: the VM starts from nothing, on the synthetic path. */
export const coldStartVm: StepOperation = {
  usesPf: true,
  inPlace: ({ vm }) => vm.path === 'restarted' && vm.restored.vmState,
  effect: (c) => {
    c.run('PointOfNoReturn.Read', refuseBeforeCrossing);
    detach(c);
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
      vm.adapter = { ...adapter.createAdapter(), state: 'Paused' };
      vm.nic.saving = 'none';
      if (vm.nic.state === 'deleted') createAndConnectNic(vm.nic);
      vm.restored.vmState = true;
      vm.path = 'restarted';
      vm.pathReason = 'the saved state of the VM could not be used; guest memory is lost';
    });
    return {};
  },
};

/** No way forward is known to be safe: the VM stays held and paused, and the host takes no more work. */
export const strandVm: StepOperation = {
  inPlace: ({ vm }) => vm.stranded !== null,
  effect: (c) => {
    c.run('Host.Quarantine', ({ host, vm }) => {
      vm.stranded = `no safe way forward after generation ${String(c.generation)}`;
      vm.path = 'stranded';
      vm.pathReason = vm.stranded;
      vm.deadlineMs = null;
      vm.lease = null;
      vm.nextLease = null;
      // Nobody waits for it any more: its place at the gate of the restores is free.
      markResumed(host, vm.vmId);
      // The restore of this very VM lifts the quarantine again.
      if (!host.stranded.includes(vm.vmId)) host.stranded.push(vm.vmId);
    });
    return {};
  },
};
