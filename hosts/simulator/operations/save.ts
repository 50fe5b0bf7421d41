import { guestPaused } from '../devices/guest';
import { preservePartition, suspendVirtualProcessors } from '../devices/hypervisor-partition';
import { vfOf } from '../devices/network-adapter';
import { commitRecord, startRecord, type SavedRecord } from '../devices/runtime-repository';
import * as adapter from '../devices/synthetic-network-adapter';
import { completeNicSave, issueNicSave, startNicSave } from '../devices/vm-switch';
import { setHold } from '../devices/vpci-vsp';
import { refused } from '../legal-moves';
import { isNextToPrepare, isNotedQuiet, markPaused, markQuiet, markSaved } from '../servicing';
import type { Objects } from '../state';
import type { StepOperation } from './operation';

/** The record being written by this generation; starts one on the first block. */
function openRecord(o: Objects, generation: number): SavedRecord {
  const { vm } = o;
  if (vm.record?.state === 'committed' || vm.record?.state === 'claimed') {
    throw refused(`${vm.vmId} has a ${vm.record.state} record, which nothing may write over.`);
  }
  if (vm.record?.state !== 'writing' || vm.record.generation !== generation) {
    const mode = vm.lease?.settings.mode ?? 'modified';
    vm.record = startRecord(mode, generation, vm.workerProcess.version);
  }
  return vm.record;
}
/** Its blocks are still there when it is committed: a fork may look at them then. */
const recordOf = (o: Objects, generation: number) =>
  (o.vm.record?.state === 'writing' || o.vm.record?.state === 'committed') &&
  o.vm.record.generation === generation
    ? o.vm.record
    : undefined;

const isPaused = (o: Objects) => o.vm.partition.state !== 'running';

/** Saving needs every virtual processor suspended (HCS_E_INVALID_STATE otherwise) and the switch-side offloads off. */
function refuseUnlessSavable({ vm }: Objects): void {
  if (vm.partition.state === 'running') {
    throw refused(
      `${vm.vmId} cannot be saved while it runs (HCS_E_INVALID_STATE): pause it first.`,
    );
  }
  if (vm.adapter.optimizations !== 'disabled') {
    throw refused(`${vm.vmId} cannot be saved while network optimizations are on.`);
  }
}

/** Goes on without a VF record when the VF is gone, so that a restore will not look for it. Answers why. */
function withoutVfIfGone(o: Objects, generation: number): string | null {
  const gone = determine(o);
  if (gone !== null) {
    const record = openRecord(o, generation);
    delete record.blocks.vfState;
    record.withoutVf = gone;
    if (o.vm.custody !== null) o.vm.custody.lost = true;
  }
  return gone;
}

/** Claim 3: whether the VF device is still allocated and assigned, and if not, which half is gone. */
function determine(o: Objects): string | null {
  const allocated = vfOf(o.pf, o.vm.vmId) !== undefined;
  const assigned = o.vm.vpci.device !== null;
  if (allocated && assigned) return null;
  if (!allocated && !assigned) return 'the VF is neither allocated nor assigned any more';
  return allocated
    ? 'the VF is allocated but not assigned any more'
    : 'the VF is not allocated any more';
}

/** Claim 1 and ¶31, without the revocation: offloads off, the hold set, nothing for the guest to see. */
export const disableOptimizations: StepOperation = {
  mayBegin: isNextToPrepare,
  inPlace: (o) =>
    o.vm.adapter.optimizations === 'disabled' &&
    (o.vm.vpci.device === null || o.vm.custody !== null) &&
    isNotedQuiet(o),
  effect: (c) => {
    c.run('VDEV.StartDisableOptimizations', ({ vm }) => {
      if (vm.adapter.optimizations === 'enabled') adapter.startDisableOptimizations(vm.adapter);
    });
    const hold = c.run('VPCI.SetHold', ({ vm }) => {
      const mode = vm.lease?.settings.holdMode ?? 'instruct-skip';
      if (vm.vpci.device === null) return null;
      setHold(vm.vpci, mode);
      vm.custody = { vfId: vm.vpci.device.vfId, lost: false };
      return mode;
    });
    c.run('VDEV.FinishDisableOptimizations', ({ vm }) => {
      if (vm.adapter.optimizations === 'disabling') adapter.finishDisableOptimizations(vm.adapter);
    });
    c.run('Servicing.MarkQuiet', ({ host, vm }) => {
      markQuiet(host, vm.vmId);
    });
    return { hold };
  },
};

export const pauseVm: StepOperation = {
  inPlace: isPaused,
  effect: (c) => {
    c.run('VPCI.DrainTransactions', ({ vm }) => {
      if (vm.guest.dataPathSwitchPending)
        throw refused('A data-path switch is pending; the VM cannot pause.');
    });
    return c.run('Hypervisor.SuspendVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      guestPaused(vm.guest, vfOf(o.pf, vm.vmId), nowMs);
      suspendVirtualProcessors(vm.partition, nowMs);
      adapter.pause(vm.adapter);
      markPaused(o.host, vm.vmId);
      const budgetMs = vm.lease?.settings.blackoutBudgetMs ?? 0;
      vm.deadlineMs = nowMs + budgetMs;
      return { pausedAtMs: nowMs, deadlineMs: vm.deadlineMs, bootId: o.host.bootId };
    });
  },
};

export const saveVirtualFunctionState: StepOperation = {
  inPlace: (o, generation) => {
    const record = recordOf(o, generation);
    return (
      record !== undefined && (record.blocks.vfState !== undefined || record.withoutVf !== null)
    );
  },
  effect: (c) => {
    // The check is an event of its own and is repeated after the blob is written: a port may be removed in between.
    const before = c.run('SyntheticNic.DetermineVfAllocatedAndAssigned', (o) => {
      refuseUnlessSavable(o);
      return determine(o);
    });
    if (before === null) {
      c.run('VPCI.SaveDeviceState', (o) => {
        const vf = vfOf(o.pf, o.vm.vmId);
        const device = o.vm.vpci.device;
        if (vf === undefined || device === null) return;
        openRecord(o, c.generation).blocks.vfState = {
          configEpoch: vf.configEpoch,
          barPlacement: ['0xfe0000000', '0xfe0100000'],
          interruptMappings: 8,
          powerState: 'D0',
          negotiatedVersion: device.negotiatedVersion,
          instanceGuid: o.vm.vpci.instanceGuid,
        };
      });
    }
    const gone = c.run('SyntheticNic.DetermineVfAllocatedAndAssigned', (o) =>
      withoutVfIfGone(o, c.generation),
    );
    return { withoutVfRecord: gone };
  },
  observed: ({ vm }) => ({ withoutVfRecord: vm.record?.withoutVf ?? null }),
};

const withoutVf = (o: Objects) => o.vm.record?.withoutVf ?? undefined;

/** Claim 5: VF ID, LUID and the rest of the identity in one write. */
export const writeVirtualFunctionInfo: StepOperation = {
  notApplicable: withoutVf,
  inPlace: (o, generation) => {
    const record = recordOf(o, generation);
    return (
      record !== undefined && (record.blocks.vfInfo !== undefined || record.withoutVf !== null)
    );
  },
  effect: (c) =>
    c.run('Repository.WriteVirtualFunctionInfo', (o) => {
      refuseUnlessSavable(o);
      const gone = withoutVfIfGone(o, c.generation);
      if (gone !== null) return { withoutVfRecord: gone };
      const identity = o.vm.identityBefore;
      const vf = vfOf(o.pf, o.vm.vmId);
      if (identity === null || vf === undefined)
        throw refused('There is no VF whose identity could be written.');
      openRecord(o, c.generation).blocks.vfInfo = { ...identity, configEpoch: vf.configEpoch };
      return { vfId: identity.vfId, luid: identity.luid };
    }),
  observed: ({ vm: { record } }) => {
    const { vfId, luid } = record?.blocks.vfInfo ?? {};
    return { withoutVfRecord: record?.withoutVf ?? null, vfId, luid };
  },
};

export const saveSyntheticAdapter: StepOperation = {
  inPlace: (o, generation) =>
    o.vm.nic.saving === 'saved' && recordOf(o, generation)?.blocks.switchBlobs !== undefined,
  effect: (c) => {
    let issues = 0;
    c.run('OID_SWITCH_NIC_SAVE (start)', (o) => {
      const { vm } = o;
      refuseUnlessSavable(o);
      if (vm.nic.saving === 'none') startNicSave(vm.nic);
    });
    let bufferBytes: number | undefined;
    for (;;) {
      const issue = c.run('OID_SWITCH_NIC_SAVE', ({ host, vm }) =>
        vm.nic.saving === 'saved'
          ? ({ status: 'FORWARDED', bytesNeeded: 0 } as const)
          : issueNicSave(vm.nic, host.switchExtensions, bufferBytes),
      );
      issues += 1;
      if (issue.status === 'FORWARDED') break;
      bufferBytes = issue.status === 'BUFFER_TOO_SHORT' ? issue.bytesNeeded : undefined;
    }
    c.run('OID_SWITCH_NIC_SAVE_COMPLETE', (o) => {
      const { vm } = o;
      if (vm.nic.saving === 'saving') completeNicSave(vm.nic);
      const record = openRecord(o, c.generation);
      if (record.mode === 'conventional')
        record.withoutVf = 'conventional save: the VF was given back';
      record.blocks.switchBlobs = vm.nic.blobs;
      if (vm.adapter.state === 'Paused') adapter.save(vm.adapter);
    });
    return { issues };
  },
};

/** What the restore will look for; a VF that is gone, or was given back, needs no blocks. */
function missingBlocks({ blocks, withoutVf }: SavedRecord): string[] {
  const needed = ['switchBlobs', 'vmState', ...(withoutVf === null ? ['vfState', 'vfInfo'] : [])];
  return needed.filter((block) => !Object.hasOwn(blocks, block));
}

export const saveVm: StepOperation = {
  inPlace: ({ vm }, generation) =>
    vm.record?.state === 'committed' && vm.record.generation === generation,
  effect: (c) => {
    c.run('Hypervisor.SavePartition', (o) => {
      const { vm } = o;
      if (vm.partition.state !== 'preserved') preservePartition(vm.partition);
      openRecord(o, c.generation).blocks.vmState = {
        guestClockMs: Math.round(o.nowMs),
        virtualProcessors: 4,
      };
    });
    return c.run('Repository.Commit', (o) => {
      const record = openRecord(o, c.generation);
      const missing = missingBlocks(record);
      if (missing.length > 0) {
        throw refused(
          `The record of ${o.vm.vmId} cannot be committed without ${missing.join(', ')}.`,
        );
      }
      commitRecord(record);
      markSaved(o.host, o.vm.vmId);
      return { checksum: record.commit?.checksum, blockCount: record.commit?.blockCount };
    });
  },
};
