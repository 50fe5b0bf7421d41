import { HoldfastError } from '../../../contract/failures';
import { controllerOf, type FunctionOperation } from '../../../contract/functions';
import { ledgerOf, reallocateBandwidth, shareGbps } from '../devices/bandwidth';
import { guestLosesVf, guestKnowsVf } from '../devices/guest';
import { allocateVf, freeVf, resetVf, startRing, vfOf } from '../devices/physical-function';
import { markUnassigned } from '../devices/synthetic-network-adapter';
import { unassignDevice } from '../devices/vpci-vsp';
import { describeHolder } from '../../engine/phase';
import { refused } from '../../engine/refused';
import type { AdapterObjects, Objects } from '../state';
import type { SimulatorStore } from '../store';
import { changeFunctions } from './controller';
import { entriesOf } from './entries';
import type { FunctionEntry } from './function-database';
import { adaptersOf, freeAdapterOf, isHeld, targetOf, type SentCommand } from './intermediary';
import { inputOf, type CommandInput, type Output } from './values';

/** Performs a command on PF or VF of a function of this host, inside its transaction. The policy has allowed it. */
export function onFunction(
  store: SimulatorStore,
  o: Objects,
  sent: SentCommand,
  raw: CommandInput,
): Output {
  const { entry, operation, callerVmId } = sent;
  if (operation === 'describeFunction') return describe(o, entry);
  if (operation === 'listFunctions') return list(store, o.host.hostId, callerVmId);
  refuseIfBusy(o);
  switch (operation) {
    case 'allocateVirtualFunction':
      return allocate(o, entry, inputOf(operation, raw).bandwidthGbps);
    case 'reallocateVirtualFunction': {
      const { pf, vfId } = withVf(targetOf(o, sent));
      const { bandwidthGbps } = inputOf(operation, raw);
      const beforeGbps = reallocateBandwidth(pf, vfId, bandwidthGbps);
      return { vfId, bandwidthGbps, beforeGbps, ledger: ledgerOf(pf) };
    }
    case 'freeVirtualFunction': {
      const { pf, vfId } = withVf(targetOf(o, sent));
      freeVf(pf, vfId);
      return { vfId, ledger: ledgerOf(pf) };
    }
    case 'resetVirtualFunction':
      return reset(targetOf(o, sent));
    case 'unassignVirtualFunction':
      return unassign(targetOf(o, sent));
    default:
      throw refused(`${entry.functionId} cannot perform ${operation}.`);
  }
}

function allocate(o: Objects, entry: FunctionEntry, bandwidthGbps: number | undefined): Output {
  const of = freeAdapterOf(adaptersOf(o, entry));
  if (of === undefined)
    throw refused(`${o.vm.vmId} has no adapter of ${entry.functionId} that is to have a VF.`);
  const vf = allocateVf(of.pf, of, of.adapter.macAddress, o.nowMs);
  if (bandwidthGbps !== undefined) reallocateBandwidth(of.pf, vf.vfId, bandwidthGbps);
  const { vfId, rid } = vf;
  return { vfId, rid, bandwidthGbps: shareGbps(vf), ledger: ledgerOf(of.pf) };
}

function reset(of: AdapterObjects): Output {
  const { pf, vf, vfId } = withVf(of);
  const { guest } = of.adapter;
  resetVf(pf, vfId, of.nowMs);
  if (guest.dataPath === 'vf') {
    // The guest's driver sees the reset and starts its rings anew.
    startRing(vf.ring, of.nowMs);
    guest.ring = { consumed: 0, configEpoch: vf.configEpoch };
  }
  return { vfId, configEpoch: vf.configEpoch };
}

function unassign(of: AdapterObjects): Output {
  const { vm, adapter, nowMs } = of;
  const { vfId } = withVf(of);
  if (adapter.vpci.device === null) throw refused(`No VF device is assigned to ${vm.vmId}.`);
  if (guestKnowsVf(adapter.guest)) guestLosesVf(adapter.guest, 'surpriseRemoval', nowMs);
  unassignDevice(adapter.vpci);
  markUnassigned(adapter.vdev);
  return { vfId };
}

function withVf(of: AdapterObjects) {
  const vf = vfOf(of);
  if (vf === undefined) throw refused(`${of.vm.vmId} has no VF.`);
  return { pf: of.pf, vf, vfId: vf.vfId };
}

/** The same for the controller of a host, which has no device. */
export function onController(
  store: SimulatorStore,
  hostId: string,
  operation: FunctionOperation,
  raw: CommandInput,
): Output {
  switch (operation) {
    case 'describeFunction': {
      const inForce = store.functions.inForce();
      const policy =
        inForce.policy === null
          ? { version: inForce.version, unavailable: inForce.why }
          : { version: inForce.policy.version, source: inForce.source };
      return { functionId: controllerOf(hostId), kind: 'controller', policy };
    }
    case 'listFunctions':
      return list(store, hostId, null);
    case 'createRemoteFunction':
    case 'changeRemoteFunction':
    case 'removeRemoteFunction':
    case 'createCompositeFunction':
    case 'removeCompositeFunction':
      return { ...changeFunctions(store, hostId, operation, raw) };
    default:
      throw refused(`${controllerOf(hostId)} cannot perform ${operation}.`);
  }
}

/** A save or restore that is under way counts on the VF as it found it. */
function refuseIfBusy({ vm }: Objects): void {
  if (vm.lease !== null) {
    const { holder } = vm.lease;
    throw new HoldfastError('VmBusy', `${vm.vmId} is held by ${describeHolder(holder)}.`, {
      holder,
    });
  }
  if (vm.partition.state !== 'running')
    throw new HoldfastError('NotRunning', `${vm.vmId} does not run: it is saved or stranded.`);
}

function describe(o: Objects, entry: FunctionEntry): Output {
  const { functionId, kind, deviceId, functionNumber, ownerVmId, policy } = entry;
  const virtualFunctions = adaptersOf(o, entry).flatMap((of) => {
    const vf = vfOf(of);
    if (vf === undefined) return [];
    const { vfId, rid } = vf;
    const { adapterId } = of.adapter;
    return [{ vfId, rid, adapterId, bandwidthGbps: shareGbps(vf), held: isHeld(of) }];
  });
  const pf = o.pfs.find(({ pfId }) => pfId === deviceId);
  return {
    functionId,
    kind,
    deviceId,
    functionNumber,
    ownerVmId,
    policy,
    virtualFunctions,
    ledger: pf === undefined ? null : ledgerOf(pf),
  };
}

/** A VM sees its own only. */
function list(store: SimulatorStore, hostId: string, vmId: string | null): Output {
  const seen = entriesOf(store, hostId).filter(
    ({ ownerVmId }) => vmId === null || ownerVmId === vmId,
  );
  return {
    functions: seen.map(({ functionId, kind, ownerVmId, location }) => ({
      functionId,
      kind,
      ownerVmId,
      ...(kind === 'remote' ? { location } : {}),
    })),
  };
}
