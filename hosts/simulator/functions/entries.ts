import { HoldfastError } from '../../../contract/failures';
import { addressOf, controllerOf, emulatedFunctionOf } from '../../../contract/functions';
import type { HostStore } from '../store';
import type { FunctionEntry } from './function-database';

/**
 * The entry of a VM's emulated physical function. Each VM has one from its first command on, also in hosts of before there
 * were entries, so what is not stored yet is derived.
 */
export function entryOfVm(store: HostStore, hostId: string, vmId: string): FunctionEntry {
  const functionId = emulatedFunctionOf(hostId, vmId);
  const stored = store.functions.entry(hostId, functionId);
  if (stored !== undefined) return stored;
  const derived: FunctionEntry = {
    functionId,
    kind: 'physical',
    deviceId: store.pf(hostId).pfId,
    functionNumber: store.host(hostId).vmIds.indexOf(vmId) + 1,
    ownerVmId: vmId,
    location: { hostId, functionId },
    parts: [],
    allowedOperations: null,
    policy: 'default',
  };
  store.functions.putEntry(hostId, derived);
  return derived;
}

const controllerEntry = (hostId: string): FunctionEntry => ({
  functionId: controllerOf(hostId),
  kind: 'controller',
  deviceId: null,
  functionNumber: null,
  ownerVmId: null,
  location: { hostId, functionId: controllerOf(hostId) },
  parts: [],
  allowedOperations: [
    'describeFunction',
    'listFunctions',
    'setAllVirtualFunctions',
    'powerCycleDevice',
    'createRemoteFunction',
    'changeRemoteFunction',
    'removeRemoteFunction',
    'createCompositeFunction',
    'removeCompositeFunction',
  ],
  policy: 'default',
});

/** The entry of an id, or a failure that names the functions that there are. */
export function entryOf(store: HostStore, hostId: string, functionId: string): FunctionEntry {
  const found = findEntry(store, hostId, functionId);
  if (found !== undefined) return found;
  const known = entriesOf(store, hostId).map((entry) => entry.functionId);
  const shown = known.slice(0, 20).join(', ') + (known.length > 20 ? ', …' : '');
  throw new HoldfastError(
    'UnknownFunction',
    `Host ${hostId} has no function "${functionId}" (it has ${shown}).`,
    { functionId },
  );
}

function findEntry(store: HostStore, hostId: string, functionId: string) {
  const { name } = addressOf(functionId);
  const vmId = store.host(hostId).vmIds.find((id) => `epf-${id}` === name);
  if (vmId !== undefined && functionId === emulatedFunctionOf(hostId, vmId))
    return entryOfVm(store, hostId, vmId);
  if (functionId === controllerOf(hostId)) return controllerEntry(hostId);
  const virtual = virtualEntries(store, hostId).find((entry) => entry.functionId === functionId);
  return virtual ?? store.functions.entry(hostId, functionId);
}

/** All functions of the host: of the controller, of its VMs with their VFs, remote and composite ones. */
export function entriesOf(store: HostStore, hostId: string): FunctionEntry[] {
  const physical = store.host(hostId).vmIds.map((vmId) => entryOfVm(store, hostId, vmId));
  const others = store.functions.entries(hostId).filter(({ kind }) => kind !== 'physical');
  return [controllerEntry(hostId), ...physical, ...virtualEntries(store, hostId), ...others];
}

/** The emulated virtual functions are what is allocated just now: a command names the physical one, and them by number. */
function virtualEntries(store: HostStore, hostId: string): FunctionEntry[] {
  const pf = store.pf(hostId);
  return pf.vfs.map(({ vfId, ownerVmId }) => {
    const functionId = `local:${hostId}/evf-${pf.pfId}-${String(vfId)}`;
    return {
      functionId,
      kind: 'virtual',
      deviceId: pf.pfId,
      functionNumber: vfId,
      ownerVmId,
      location: { hostId, functionId },
      parts: [],
      allowedOperations: ['describeFunction'],
      policy: 'default',
    };
  });
}
