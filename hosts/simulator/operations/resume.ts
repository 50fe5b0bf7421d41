import { HoldfastError } from '../../../contract/failures';
import { guestResumed } from '../devices/guest';
import { resumeVirtualProcessors } from '../devices/hypervisor-partition';
import { vfOf } from '../devices/physical-function';
import { consumeRecord } from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import {
  completeNicRestore,
  createAndConnectNic,
  restoreNicBlob,
  startNicRestore,
} from '../devices/vm-switch';
import { releaseHold } from '../devices/vpci-vsp';
import { identityOf } from '../identity';
import { blackoutEnds } from '../../engine/leases';
import { refused } from '../../engine/refused';
import type { Objects } from '../state';
import { eachAdapter, ofEachAdapter } from './each-adapter';
import type { StepOperation } from './operation';
import { hasNoNic, isRunning, noVfToRestore, recordOf } from './saved-vm';

export const connectSyntheticAdapter = ofEachAdapter({
  notApplicable: hasNoNic,
  inPlace: ({ adapter }) => adapter.nic.state === 'connected',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_CREATE, OID_SWITCH_NIC_CONNECT', ({ adapter }) => {
      createAndConnectNic(adapter.nic);
    });
    return {};
  },
});

export const resumeSyntheticAdapter = ofEachAdapter({
  inPlace: ({ adapter }) => adapter.vdev.state === 'Running',
  effect: (c) => {
    const resume = () => {
      c.run('VDEV.Resume', ({ adapter }) => {
        vdev.resume(adapter.vdev);
      });
    };
    if (c.kind === 'nvme') {
      resume();
      return {};
    }
    c.run('OID_SWITCH_NIC_RESTORE (start)', ({ adapter }) => {
      startNicRestore(adapter.nic);
    });
    const blobs = c.run('Repository.ReadSwitchBlobs', (o) => {
      const { adapters } = recordOf(o).blocks;
      return adapters[o.adapter.adapterId]?.switchBlobs ?? [];
    });
    const owners = blobs.map((blob) =>
      c.run('OID_SWITCH_NIC_RESTORE', ({ host, adapter }) =>
        restoreNicBlob(adapter.nic, blob, host.switchExtensions),
      ),
    );
    c.run('OID_SWITCH_NIC_RESTORE_COMPLETE', ({ adapter }) => {
      completeNicRestore(adapter.nic);
    });
    resume();
    return { blobs: blobs.length, unowned: owners.filter((o) => o === 'UNOWNED').length };
  },
});

/** Ends the blackout: of a restore, where the record is consumed, or of a save that is undone. */
export const resumeVm: StepOperation<'resumeVm'> = {
  inPlace: isRunning,
  effect: (c) =>
    c.run('Hypervisor.ResumeVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      if (vm.record?.state === 'committed')
        throw refused('A saved VM cannot resume without its record being claimed.');
      if (vm.record?.state === 'claimed') {
        if (!vm.vmStateRestored) throw refused('The VM state was not restored.');
        for (const of of eachAdapter(o)) {
          const { vpci, vfStateRestored } = of.adapter;
          if (vpci.device !== null && noVfToRestore(of) === undefined && !vfStateRestored)
            throw refused('The state of the VF was not restored.');
        }
        consumeRecord(vm.record);
      } else {
        for (const adapter of vm.adapters)
          if (adapter.vdev.state === 'Paused') vdev.resume(adapter.vdev);
      }
      for (const of of eachAdapter(o)) {
        const { state } = of.adapter.vdev;
        if (state !== 'Running') throw refused(`The VM cannot resume: its adapter is ${state}.`);
        guestResumed(of.adapter.guest, vfOf(of), nowMs);
      }
      blackoutEnds(o, resumeVirtualProcessors(vm.partition, nowMs));
      // Whatever hung in it, a guest whose devices came back anew gets on again.
      vm.guestHangs = false;
      for (const adapter of vm.adapters) {
        const saved = vm.record?.blocks.adapters[adapter.adapterId];
        const vfGone = adapter.vfAbandoned ?? saved?.withoutVf ?? null;
        if (vm.record?.state === 'consumed' && vfGone !== null) {
          adapter.path = 'synthetic-only';
          adapter.pathReason = vfGone;
        }
      }
      const interruptsReplayed = sum(vm.adapters.map(({ guest }) => guest.interruptsReplayed));
      return { blackoutMs: vm.blackoutMs, interruptsReplayed };
    }),
};

const sum = (numbers: readonly number[]) => numbers.reduce((all, n) => all + n, 0);

/** Claim 18: since the VF is assigned, bus creation, allocation and assignment are skipped; the hold ends. */
export const enableOptimizations = ofEachAdapter({
  inPlace: ({ adapter }) => adapter.vdev.optimizations === 'enabled' && adapter.custody === null,
  effect: (c) => {
    const skipped = c.run('VDEV.EnableOptimizations', ({ vm, adapter }) => {
      // A hold on a VM that is dark ends by an authorised release only.
      if (vm.partition.state !== 'running')
        throw refused(`${vm.vmId} is ${vm.partition.state}: its VF stays held.`);
      if (adapter.vdev.optimizations !== 'enabled') vdev.enableOptimizations(adapter.vdev);
      return adapter.vdev.vfAssigned ? ['CreateBus', 'AllocateVf', 'AssignDevice'] : [];
    });
    c.run('VPCI.ReleaseHold', ({ adapter }) => {
      releaseHold(adapter.vpci);
      adapter.custody = null;
    });
    return { skipped };
  },
});

/** Identity after equals identity before, and the guest saw nothing. */
export function verify(o: Objects): void {
  const { vm } = o;
  const kept = vm.path === 'kept' ? eachAdapter(o) : [];
  for (const of of kept.filter(({ adapter }) => adapter.path === 'kept')) {
    const [before, after] = [of.adapter.identityBefore, identityOf(of)];
    const events = of.adapter.guest.events.length - of.adapter.before.events;
    if (JSON.stringify(before) !== JSON.stringify(after) || events > 0) {
      throw new HoldfastError(
        'InvariantBreach',
        `I2/I3: the VF of ${vm.vmId} is not what it was: ${JSON.stringify(before)} before, ${JSON.stringify(after)} after; the guest saw ${String(events)} events.`,
      );
    }
  }
  o.host.invariants.checked += 2;
}
