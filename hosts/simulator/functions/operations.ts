import { HoldfastError } from '../../../contract/failures';
import { controllerOf, type FunctionOperation } from '../../../contract/functions';
import { ledgerOf, reallocateBandwidth, shareGbps } from '../devices/bandwidth';
import { guestLosesVf, guestKnowsVf } from '../devices/guest';
import { allocateVf, freeVf, resetVf, startRing, vfOf } from '../devices/network-adapter';
import { markUnassigned } from '../devices/synthetic-network-adapter';
import { unassignDevice } from '../devices/vpci-vsp';
import { describeHolder } from '../leases';
import { refused } from '../legal-moves';
import type { Objects } from '../state';
import type { HostStore } from '../store';
import { changeFunctions } from './controller';
import { entriesOf } from './entries';
import type { FunctionEntry } from './function-database';
import { isHeld, type SentCommand } from './intermediary';
import { inputOf, type CommandInput, type Output } from './values';

/** Performs a command on PF or VF of a function of this host, inside its transaction. The policy has allowed it. */
export function onFunction(
  store: HostStore,
  o: Objects,
  { entry, operation, callerVmId }: SentCommand,
  raw: CommandInput,
): Output {
  if (operation === 'describeFunction') return describe(o, entry);
  if (operation === 'listFunctions') return list(store, o.host.hostId, callerVmId);
  refuseIfBusy(o);
  const { pf, vm, nowMs } = o;
  switch (operation) {
    case 'reallocateVirtualFunction': {
      const { bandwidthGbps } = inputOf(operation, raw);
      const { vfId } = neededVf(o);
      const before = reallocateBandwidth(pf, vfId, bandwidthGbps);
      return { vfId, bandwidthGbps, beforeGbps: before, ledger: ledgerOf(pf) };
    }
    case 'allocateVirtualFunction': {
      const { bandwidthGbps } = inputOf(operation, raw);
      const { vfId, rid } = allocateVf(pf, vm.vmId, vm.macAddress, nowMs);
      if (bandwidthGbps !== undefined) reallocateBandwidth(pf, vfId, bandwidthGbps);
      return { vfId, rid, bandwidthGbps: shareGbps(neededVf(o)), ledger: ledgerOf(pf) };
    }
    case 'freeVirtualFunction': {
      const { vfId } = neededVf(o);
      freeVf(pf, vfId);
      return { vfId, ledger: ledgerOf(pf) };
    }
    case 'resetVirtualFunction': {
      const vf = neededVf(o);
      resetVf(pf, vf.vfId, nowMs);
      if (vm.guest.dataPath === 'vf') {
        // The guest's driver sees the reset and starts its rings anew.
        startRing(vf.ring, nowMs);
        vm.guest.ring = { consumed: 0, configEpoch: vf.configEpoch };
      }
      return { vfId: vf.vfId, configEpoch: vf.configEpoch };
    }
    case 'unassignVirtualFunction': {
      const { vfId } = neededVf(o);
      if (vm.vpci.device === null) throw refused(`No VF device is assigned to ${vm.vmId}.`);
      if (guestKnowsVf(vm.guest)) guestLosesVf(vm.guest, 'surpriseRemoval', nowMs);
      unassignDevice(vm.vpci);
      markUnassigned(vm.adapter);
      return { vfId };
    }
    default:
      throw refused(`${entry.functionId} cannot perform ${operation}.`);
  }
}

/** The same for the controller of a host, which has no device. */
export function onController(
  store: HostStore,
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

function neededVf({ pf, vm }: Objects) {
  const vf = vfOf(pf, vm.vmId);
  if (vf === undefined) throw refused(`${vm.vmId} has no VF.`);
  return vf;
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
  const vf = vfOf(o.pf, o.vm.vmId);
  const virtualFunctions =
    vf === undefined
      ? []
      : [{ vfId: vf.vfId, rid: vf.rid, bandwidthGbps: shareGbps(vf), held: isHeld(o) }];
  return {
    functionId,
    kind,
    deviceId,
    functionNumber,
    ownerVmId,
    policy,
    virtualFunctions,
    ledger: ledgerOf(o.pf),
  };
}

/** A VM sees its own only. */
function list(store: HostStore, hostId: string, vmId: string | null): Output {
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
