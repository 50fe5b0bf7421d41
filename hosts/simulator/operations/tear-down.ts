import { wallTime } from '../clock';
import { handPartitionTo } from '../devices/hypervisor-partition';
import * as vdev from '../devices/synthetic-network-adapter';
import { deleteNic, disconnectNic } from '../devices/vm-switch';
import { resetBusInterface } from '../devices/vpci-vsp';
import { exitWorkerProcess } from '../devices/vm-worker-process';
import { refused } from '../legal-moves';
import { markDown, memberOf } from '../servicing';
import type { VmState } from '../state';
import { ofEachAdapter, runOnEach } from './each-adapter';
import type { StepOperation } from './operation';
import { hasNoNic } from './saved-vm';

/** From the claim of the record, or a cold start, on, worker process and interface are the successor's. */
const restoreHasBegun = (vm: VmState): string | undefined =>
  vm.record?.state === 'claimed' || vm.record?.state === 'discarded'
    ? 'the restore has begun'
    : undefined;

/** Claims 6 and 7. A left-over interface would make the successor's D0 entry fail; no FLR, no unassign. */
export const resetVpciBusInterface = ofEachAdapter({
  notApplicable: ({ vm, adapter }) =>
    restoreHasBegun(vm) ??
    (adapter.vpci.interface.state === 'none' ? 'the bus interface is inactive already' : undefined),
  inPlace: ({ adapter }) => adapter.vpci.interface.state === 'none',
  effect: (c) =>
    c.run('VPCI.ResetBusInterface', ({ vm, adapter }) => {
      if (vm.pointOfNoReturn === null) {
        throw refused(
          'The bus interface cannot be reset before the point of no return is crossed.',
        );
      }
      // A VF that was taken away meanwhile has taken its interface with it.
      if (adapter.vpci.interface.state !== 'none') resetBusInterface(adapter.vpci);
      return {};
    }),
});

export const disconnectSyntheticAdapter = ofEachAdapter({
  notApplicable: hasNoNic,
  inPlace: ({ adapter }) => adapter.nic.state === 'deleted',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_DISCONNECT', ({ vm, adapter }) => {
      if (vm.pointOfNoReturn === null) {
        throw refused(
          'The switch NIC cannot be disconnected before the point of no return is crossed.',
        );
      }
      const { nic, vpci } = adapter;
      if (nic.state === 'connected') disconnectNic(nic, vpci.device !== null);
    });
    c.run('OID_SWITCH_NIC_DELETE', ({ adapter }) => {
      deleteNic(adapter.nic);
    });
    return {};
  },
});

/** The VDEV goes and the worker process ends; partition, memory map and IOMMU domain go into the hypervisor's custody. */
export const tearDownSyntheticAdapter: StepOperation = {
  handsLeaseOn: true,
  notApplicable: ({ vm }) => restoreHasBegun(vm),
  inPlace: ({ vm }) => vm.workerProcess.state === 'exited',
  effect: (c) => {
    runOnEach(c, 'VDEV.Teardown', ({ vm, adapter }) => {
      if (vm.record?.commit == null || vm.pointOfNoReturn === null) {
        throw refused(
          'The adapter cannot be torn down without a committed record and a crossed point of no return.',
        );
      }
      if (adapter.vdev.state !== 'TornDown') vdev.tearDown(adapter.vdev);
    });
    return c.run('VMWP.Exit', ({ host, vm }) => {
      const detail =
        vm.record?.mode === 'conventional'
          ? 'Save'
          : 'FastSavePreservePartitionHandleTransferNetworking';
      exitWorkerProcess(vm.workerProcess, detail);
      handPartitionTo(vm.partition, 'hypervisor');
      markDown(host, vm);
      return { exitDetail: detail };
    });
  },
};

/** A save on its own leaves the VM dark: the lease is given back, and the dead-man restores it when the time is up. */
export const concludeSave: StepOperation = {
  releasesLease: true,
  notApplicable: (o) =>
    memberOf(o) === undefined ? undefined : 'the restore of the servicing run holds the VM',
  inPlace: ({ vm }, generation) => vm.lease?.generation !== generation,
  observed: ({ vm, nowMs }) => ({
    restoredByHostAt: wallTime(Math.max(0, (vm.deadlineMs ?? nowMs) - nowMs)),
  }),
  effect: (c) =>
    c.run('Lease.Release', ({ vm, nowMs }) => {
      if (vm.workerProcess.state !== 'exited' || vm.record?.state !== 'committed') {
        throw refused(`${vm.vmId} is not saved and torn down; its lease cannot be given back.`);
      }
      const maxSavedForMs = vm.lease?.settings.maxSavedForMs ?? 0;
      vm.deadlineMs = nowMs + maxSavedForMs;
      vm.lease = null;
      vm.faults = [];
      return { restoredByHostAt: wallTime(maxSavedForMs) };
    }),
};
