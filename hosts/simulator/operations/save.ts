import { HoldfastError } from '../../../contract/failures';
import type { EvidenceOf } from '../../../contract/steps';
import { guestPaused } from '../devices/guest';
import { preservePartition, suspendVirtualProcessors } from '../devices/hypervisor-partition';
import { vfOf } from '../devices/physical-function';
import {
  blocksOf,
  commitRecord,
  startRecord,
  type AdapterBlocks,
  type SavedRecord,
} from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import { completeNicSave, issueNicSave, startNicSave } from '../devices/vm-switch';
import { setHold } from '../devices/vpci-vsp';
import { identityOf } from '../identity';
import { blackoutBegins } from '../../engine/leases';
import { refused } from '../../engine/refused';
import { isNextToPrepare, isNotedQuiet, markQuiet, markSaved } from '../../engine/gates';
import type { AdapterObjects, AdapterState, Objects } from '../state';
import { eachAdapter, ofEachAdapter } from './each-adapter';
import type { StepOperation } from './operation';
import { isRunning, noVfWanted } from './saved-vm';

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

/** The adapter's part of it, while it is there. */
const blocksIn = (o: AdapterObjects, generation: number): AdapterBlocks | undefined =>
  recordOf(o, generation)?.blocks.adapters[o.adapter.adapterId];
const openBlocks = (o: AdapterObjects, generation: number): AdapterBlocks =>
  blocksOf(openRecord(o, generation), o.adapter.adapterId);

/** Saving needs every virtual processor suspended (HCS_E_INVALID_STATE otherwise) and the switch-side offloads off. */
function refuseUnlessSavable({ vm, adapter }: AdapterObjects): void {
  if (vm.partition.state === 'running') {
    throw refused(
      `${vm.vmId} cannot be saved while it runs (HCS_E_INVALID_STATE): pause it first.`,
    );
  }
  if (adapter.vdev.optimizations !== 'disabled') {
    throw refused(`${vm.vmId} cannot be saved while network optimizations are on.`);
  }
}

/** Goes on without a VF record when the VF is gone, so that a restore will not look for it. Answers why. */
function withoutVfIfGone(o: AdapterObjects, generation: number): string | null {
  const gone = determine(o);
  if (gone !== null) {
    const blocks = openBlocks(o, generation);
    delete blocks.vfState;
    blocks.withoutVf = gone;
    if (o.adapter.custody !== null) o.adapter.custody.lost = true;
  }
  return gone;
}

/** Claim 3: whether the VF device is still allocated and assigned, and if not, which half is gone. */
function determine(o: AdapterObjects): string | null {
  const allocated = vfOf(o) !== undefined;
  const assigned = o.adapter.vpci.device !== null;
  if (allocated && assigned) return null;
  if (!allocated && !assigned) return 'the VF is neither allocated nor assigned any more';
  return allocated
    ? 'the VF is allocated but not assigned any more'
    : 'the VF is not allocated any more';
}

const holdAdapter = ofEachAdapter({
  inPlace: ({ adapter: { vdev: device, vpci, custody } }) =>
    device.optimizations === 'disabled' && (vpci.device === null || custody !== null),
  effect: (c) => {
    c.run('VDEV.StartDisableOptimizations', ({ adapter }) => {
      if (adapter.vdev.optimizations === 'enabled') vdev.startDisableOptimizations(adapter.vdev);
    });
    const hold = c.run('VPCI.SetHold', ({ vm, adapter }) => {
      const mode = vm.lease?.settings.holdMode ?? 'instruct-skip';
      if (adapter.vpci.device === null) return null;
      setHold(adapter.vpci, mode);
      adapter.custody = { vfId: adapter.vpci.device.vfId, lost: false };
      return mode;
    });
    c.run('VDEV.FinishDisableOptimizations', ({ adapter }) => {
      if (adapter.vdev.optimizations === 'disabling') vdev.finishDisableOptimizations(adapter.vdev);
    });
    return { hold };
  },
});

/** Claim 1 and ¶31, without the revocation: offloads off, the hold set, nothing for the guest to see. */
export const disableOptimizations: StepOperation<'disableOptimizations'> = {
  waitsAt: 'prepare',
  mayBegin: isNextToPrepare,
  inPlace: (o, generation) => holdAdapter.inPlace(o, generation) && isNotedQuiet(o),
  effect: async (c) => {
    const evidence = await holdAdapter.effect(c);
    c.run('Servicing.MarkQuiet', ({ host, vm }) => {
      markQuiet(host, vm.vmId);
    });
    return evidence;
  },
};

export const pauseVm: StepOperation<'pauseVm'> = {
  inPlace: (o) => !isRunning(o),
  effect: (c) => {
    c.run('VPCI.DrainTransactions', ({ vm }) => {
      if (vm.adapters.some(({ guest }) => guest.dataPathSwitchPending))
        throw refused('A data-path switch is pending; the VM cannot pause.');
    });
    return c.run('Hypervisor.SuspendVirtualProcessors', (o) => {
      const { vm, nowMs } = o;
      for (const of of eachAdapter(o)) guestPaused(of.adapter.guest, vfOf(of), nowMs);
      suspendVirtualProcessors(vm.partition, nowMs);
      for (const adapter of vm.adapters) vdev.pause(adapter.vdev);
      return { pausedAtMs: nowMs, deadlineMs: blackoutBegins(o), bootId: o.host.bootId };
    });
  },
};

export const saveVirtualFunctionState = ofEachAdapter({
  notApplicable: noVfWanted,
  inPlace: (o, generation) => {
    const blocks = blocksIn(o, generation);
    return blocks !== undefined && (blocks.vfState !== undefined || blocks.withoutVf !== null);
  },
  effect: (c) => {
    // The check is an event of its own and is repeated after the blob is written: a port may be removed in between.
    const before = c.run('SyntheticNic.DetermineVfAllocatedAndAssigned', (o) => {
      refuseUnlessSavable(o);
      return determine(o);
    });
    if (before === null) {
      c.run('VPCI.SaveDeviceState', (o) => {
        const vf = vfOf(o);
        const { device, instanceGuid } = o.adapter.vpci;
        if (vf === undefined || device === null) return;
        openBlocks(o, c.generation).vfState = {
          configEpoch: vf.configEpoch,
          barPlacement: ['0xfe0000000', '0xfe0100000'],
          interruptMappings: 8,
          powerState: 'D0',
          negotiatedVersion: device.negotiatedVersion,
          instanceGuid,
        };
      });
    }
    const gone = c.run('SyntheticNic.DetermineVfAllocatedAndAssigned', (o) =>
      withoutVfIfGone(o, c.generation),
    );
    return { withoutVfRecord: gone };
  },
  observed: (o) => ({ withoutVfRecord: withoutVf(o) ?? null }),
});

const withoutVf = ({ vm, adapter }: AdapterObjects) =>
  vm.record?.blocks.adapters[adapter.adapterId]?.withoutVf ?? undefined;

/** Claim 5: VF ID, LUID and the rest of the identity in one write. */
export const writeVirtualFunctionInfo = ofEachAdapter<EvidenceOf<'writeVirtualFunctionInfo'>>({
  notApplicable: (o) => noVfWanted(o) ?? withoutVf(o),
  inPlace: (o, generation) => {
    const blocks = blocksIn(o, generation);
    return blocks !== undefined && (blocks.vfInfo !== undefined || blocks.withoutVf !== null);
  },
  effect: (c) =>
    c.run('Repository.WriteVirtualFunctionInfo', (o) => {
      refuseUnlessSavable(o);
      const gone = withoutVfIfGone(o, c.generation);
      if (gone !== null) return { withoutVfRecord: gone };
      const identity = o.adapter.identityBefore;
      const vf = vfOf(o);
      if (identity === null || vf === undefined)
        throw refused('There is no VF whose identity could be written.');
      openBlocks(o, c.generation).vfInfo = { ...identity, configEpoch: vf.configEpoch };
      return { vfId: identity.vfId, luid: identity.luid };
    }),
  observed: (o) => {
    const { vfId, luid } = o.vm.record?.blocks.adapters[o.adapter.adapterId]?.vfInfo ?? {};
    return { withoutVfRecord: withoutVf(o) ?? null, vfId, luid };
  },
});

/** The VDEV of a NIC is saved together with its NIC at the VM switch; an NVMe controller has no such NIC. */
export const saveSyntheticAdapter = ofEachAdapter({
  inPlace: (o, generation) => blocksIn(o, generation)?.switchBlobs !== undefined,
  effect: (c) => {
    let issues = 0;
    if (c.kind === 'network') {
      c.run('OID_SWITCH_NIC_SAVE (start)', (o) => {
        refuseUnlessSavable(o);
        if (o.adapter.nic.saving === 'none') startNicSave(o.adapter.nic);
      });
      let bufferBytes: number | undefined;
      for (;;) {
        const issue = c.run('OID_SWITCH_NIC_SAVE', ({ host, adapter: { nic } }) =>
          nic.saving === 'saved'
            ? ({ status: 'FORWARDED', bytesNeeded: 0 } as const)
            : issueNicSave(nic, host.switchExtensions, bufferBytes),
        );
        issues += 1;
        if (issue.status === 'FORWARDED') break;
        bufferBytes = issue.status === 'BUFFER_TOO_SHORT' ? issue.bytesNeeded : undefined;
      }
    }
    c.run(c.kind === 'network' ? 'OID_SWITCH_NIC_SAVE_COMPLETE' : 'VDEV.Save', (o) => {
      refuseUnlessSavable(o);
      const { nic, vdev: device } = o.adapter;
      if (nic.saving === 'saving') completeNicSave(nic);
      const blocks = openBlocks(o, c.generation);
      if (o.vm.record?.mode === 'conventional' && o.adapter.wantsVf)
        blocks.withoutVf = 'conventional save: the VF was given back';
      blocks.switchBlobs = nic.blobs;
      if (device.state === 'Paused') vdev.save(device);
    });
    return { issues };
  },
});

/** What the restore will look for; a VF that is gone, or was given back, needs no blocks. */
function missingBlocks({ adapters }: Objects['vm'], { blocks }: SavedRecord): string[] {
  const ofAdapter = ({ adapterId, wantsVf }: AdapterState) => {
    const of = blocks.adapters[adapterId] ?? { withoutVf: null };
    const ofVf = wantsVf && of.withoutVf === null ? (['vfState', 'vfInfo'] as const) : [];
    return (['switchBlobs', ...ofVf] as const)
      .filter((block) => of[block] === undefined)
      .map((block) => (adapters.length === 1 ? block : `${block} of ${adapterId}`));
  };
  return [...adapters.flatMap(ofAdapter), ...(blocks.vmState === undefined ? ['vmState'] : [])];
}

/** Each adapter's ids are its own: those of two NICs that were mixed up would give each the other's VF. */
function refuseCrossWired(o: Objects, { blocks }: SavedRecord): void {
  for (const of of eachAdapter(o)) {
    const { adapterId } = of.adapter;
    const info = blocks.adapters[adapterId]?.vfInfo;
    if (info === undefined) continue;
    const own = identityOf(of);
    const isOwn = (id: 'vfId' | 'luid' | 'macAddress' | 'instanceGuid') =>
      own === null || info[id] === own[id];
    if (isOwn('vfId') && isOwn('luid') && isOwn('macAddress') && isOwn('instanceGuid')) continue;
    throw new HoldfastError(
      'IdentityMismatch',
      `The record of ${o.vm.vmId} says that ${adapterId} has VF ${String(info.vfId)}, LUID ${info.luid}, MAC ${info.macAddress}; it has VF ${String(own?.vfId)}, LUID ${String(own?.luid)}, MAC ${String(own?.macAddress)}.`,
    );
  }
}

export const saveVm: StepOperation<'saveVm'> = {
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
      const missing = missingBlocks(o.vm, record);
      if (missing.length > 0) {
        throw refused(
          `The record of ${o.vm.vmId} cannot be committed without ${missing.join(', ')}.`,
        );
      }
      refuseCrossWired(o, record);
      commitRecord(record);
      markSaved(o.host, o.vm.vmId);
      return { checksum: record.commit?.checksum, blockCount: record.commit?.blockCount };
    });
  },
};
