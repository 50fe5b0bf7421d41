import { HoldfastError } from '../../../contract/failures';
import type { PastBlackout } from '../../../contract/host';
import { DEAD_MAN } from '../../../contract/ids';
import { describeVm } from '../describe';
import { guestResumed } from '../devices/guest';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import { vfOf } from '../devices/network-adapter';
import { consumeRecord } from '../devices/runtime-repository';
import * as adapter from '../devices/synthetic-network-adapter';
import {
  completeNicRestore,
  createAndConnectNic,
  restoreNicBlob,
  startNicRestore,
} from '../devices/vm-switch';
import { releaseHold } from '../devices/vpci-vsp';
import { identityOf } from '../identity';
import { sameHolder } from '../leases';
import { refused } from '../legal-moves';
import { markResumed } from '../servicing';
import type { StepOperation } from './operation';
import { isRunning, noVfToRestore, recordOf } from './saved-vm';

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
      c.run('OID_SWITCH_NIC_RESTORE', ({ host, vm }) =>
        restoreNicBlob(vm.nic, blob, host.switchExtensions),
      ),
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

/** How many past blackouts a VM's ledger keeps. */
const LEDGER = 64;
export const withBlackout = (ledger: readonly PastBlackout[], ms: number): PastBlackout[] =>
  [...ledger, { endedAtMs: Date.now(), ms }].slice(-LEDGER);

/** Ends the blackout: of a restore, where the record is consumed, or of a save that is undone. */
export const resumeVm: StepOperation = {
  inPlace: isRunning,
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      if (vm.record?.state === 'committed')
        throw refused('A saved VM cannot resume without its record being claimed.');
      if (vm.record?.state === 'claimed') {
        if (!vm.restored.vmState) throw refused('The VM state was not restored.');
        if (vm.vpci.device !== null && noVfToRestore(o) === undefined && !vm.restored.vfState) {
          throw refused('The state of the VF was not restored.');
        }
        consumeRecord(vm.record);
      } else if (vm.adapter.state === 'Paused') adapter.resume(vm.adapter);
      if (vm.adapter.state !== 'Running')
        throw refused(`The VM cannot resume: its adapter is ${vm.adapter.state}.`);
      guestResumed(vm.guest, vfOf(o.pf, vm.vmId), nowMs);
      vm.blackoutMs = resumeVirtualProcessors(vm.partition, nowMs);
      vm.withinBudget = vm.blackoutMs <= (vm.lease?.settings.blackoutBudgetMs ?? Infinity);
      vm.blackouts = withBlackout(vm.blackouts ?? [], vm.blackoutMs);
      // Whatever hung in it, a guest whose devices came back anew gets on again.
      vm.guest.hangs = false;
      // The dead-man keeps its deadline until it has given the lease back: it may die before that.
      if (!sameHolder(vm.lease?.holder, DEAD_MAN)) vm.deadlineMs = null;
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
      // A hold on a VM that is dark ends by an authorised release only.
      if (vm.partition.state !== 'running')
        throw refused(`${vm.vmId} is ${vm.partition.state}: its VF stays held.`);
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
  observed: (o) => ({ vm: describeVm(o) }),
  effect: (c) =>
    c.run('Lease.Release', (o) => {
      const { vm } = o;
      if (vm.partition.state !== 'running')
        throw refused(`${vm.vmId} is ${vm.partition.state}: there is nothing to verify yet.`);
      if (vm.custody !== null)
        throw refused(`The VF of ${vm.vmId} is still held; its lease cannot be given back.`);
      if (vm.path === 'kept') {
        const [before, after] = [vm.identityBefore, identityOf(o)];
        const events = vm.guest.events.length - vm.before.events;
        if (JSON.stringify(before) !== JSON.stringify(after) || events > 0) {
          throw new HoldfastError(
            'InvariantBreach',
            `I2/I3: the VF of ${vm.vmId} is not what it was: ${JSON.stringify(before)} before, ${JSON.stringify(after)} after; the guest saw ${String(events)} events.`,
          );
        }
      }
      o.host.stranded = o.host.stranded.filter((id) => id !== vm.vmId);
      o.host.invariants.checked += 2;
      vm.lease = null;
      vm.nextLease = null;
      vm.faults = [];
      return { vm: describeVm(o) };
    }),
};
