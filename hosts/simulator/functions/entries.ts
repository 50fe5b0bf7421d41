import { HoldfastError } from '../../../contract/failures';
import {
  CONTROLLER_OPERATIONS,
  DEVICE_OPERATIONS,
  addressOf,
  controllerOf,
  emulatedFunctionOf,
} from '../../../contract/functions';
import type { VmState } from '../state';
import type { SimulatorStore } from '../store';
import type { FunctionEntry } from './function-database';

/** The PFs that a VM has a function of, the first one first. */
const pfsOf = ({ adapters }: VmState): string[] => [...new Set(adapters.map(({ pfId }) => pfId))];

/**
 * The entry of a VM's emulated physical function on one of its PFs. It is made at its first command, also in hosts of
 * before there were entries, so what is not stored yet is derived. Without `pfId`: on the first PF; undefined: it has none.
 */
export function entryOfVm(
  store: SimulatorStore,
  hostId: string,
  vm: VmState,
  pfId = vm.adapters[0]?.pfId,
): FunctionEntry | undefined {
  if (pfId === undefined) return undefined;
  const number = pfsOf(vm).indexOf(pfId);
  const functionId = emulatedFunctionOf(hostId, vm.vmId, number === 0 ? undefined : pfId);
  const stored = store.functions.entry(hostId, functionId);
  if (stored !== undefined) return stored;
  const derived: FunctionEntry = {
    functionId,
    kind: 'physical',
    deviceId: pfId,
    functionNumber: number,
    ownerVmId: vm.vmId,
    location: { hostId, functionId },
    parts: [],
    allowedOperations: DEVICE_OPERATIONS,
    policy: 'default',
  };
  store.functions.putEntry(hostId, derived);
  return derived;
}

/** All emulated physical functions of a VM. */
export const entriesOfVm = (store: SimulatorStore, hostId: string, vm: VmState): FunctionEntry[] =>
  pfsOf(vm).flatMap((pfId) => entryOfVm(store, hostId, vm, pfId) ?? []);

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
    ...CONTROLLER_OPERATIONS,
  ],
  policy: 'default',
});

/** The entry of an id, or a failure that names the functions that there are: of this VM, or (null) all of them. */
export function entryOf(
  store: SimulatorStore,
  hostId: string,
  functionId: string,
  ownerVmId: string | null = null,
): FunctionEntry {
  const found = findEntry(store, hostId, functionId);
  if (found !== undefined) return found;
  const known = entriesOf(store, hostId)
    .filter((entry) => ownerVmId === null || entry.ownerVmId === ownerVmId)
    .map((entry) => entry.functionId);
  const shown =
    known.length === 0
      ? 'none for this caller'
      : known.slice(0, 20).join(', ') + (known.length > 20 ? ', …' : '');
  throw new HoldfastError(
    'UnknownFunction',
    `Host ${hostId} has no function "${functionId}" (it has ${shown}).`,
    { functionId },
  );
}

function findEntry(store: SimulatorStore, hostId: string, functionId: string) {
  if (functionId === controllerOf(hostId)) return controllerEntry(hostId);
  const { name } = addressOf(functionId);
  const derived = name.startsWith('evf-')
    ? virtualEntries(store, hostId)
    : store
        .host(hostId)
        .vmIds.filter((vmId) => name === `epf-${vmId}` || name.startsWith(`epf-${vmId}.`))
        .flatMap((vmId) => entriesOfVm(store, hostId, store.vm(hostId, vmId)));
  return (
    derived.find((entry) => entry.functionId === functionId) ??
    store.functions.entry(hostId, functionId)
  );
}

/** All functions of the host: the controller, those of its VMs with their VFs, remote and composite ones. */
export function entriesOf(store: SimulatorStore, hostId: string): FunctionEntry[] {
  const physical = store
    .host(hostId)
    .vmIds.flatMap((vmId) => entriesOfVm(store, hostId, store.vm(hostId, vmId)));
  const others = store.functions.entries(hostId).filter(({ kind }) => kind !== 'physical');
  return [controllerEntry(hostId), ...physical, ...virtualEntries(store, hostId), ...others];
}

/** The emulated virtual functions are what is allocated just now: a command names the physical one, and them by number. */
function virtualEntries(store: SimulatorStore, hostId: string): FunctionEntry[] {
  return store.pfs(hostId).flatMap(({ pfId, vfs }) =>
    vfs.map(({ vfId, ownerVmId }) => {
      const functionId = `local:${hostId}/evf-${pfId}-${String(vfId)}`;
      return {
        functionId,
        kind: 'virtual' as const,
        deviceId: pfId,
        functionNumber: vfId,
        ownerVmId,
        location: { hostId, functionId },
        parts: [],
        allowedOperations: ['describeFunction'] as const,
        policy: 'default',
      };
    }),
  );
}
