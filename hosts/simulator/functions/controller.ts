import { addressOf, type FunctionInput, type FunctionOperation } from '../../../contract/functions';
import { refused } from '../../engine/refused';
import type { SimulatorStore } from '../store';
import { entryOf } from './entries';
import type { FunctionEntry } from './function-database';
import { inputOf, type CommandInput } from './values';

type Change = Extract<
  FunctionOperation,
  | 'createRemoteFunction'
  | 'changeRemoteFunction'
  | 'removeRemoteFunction'
  | 'createCompositeFunction'
  | 'removeCompositeFunction'
>;

/** Makes, changes and removes the functions of a host that are not made of one device of its own (¶62). */
export function changeFunctions(
  store: SimulatorStore,
  hostId: string,
  operation: Change,
  raw: CommandInput,
): FunctionEntry | { readonly removed: string } {
  switch (operation) {
    case 'createRemoteFunction':
      return createRemote(store, hostId, inputOf(operation, raw));
    case 'changeRemoteFunction':
      return changeRemote(store, hostId, inputOf(operation, raw));
    case 'createCompositeFunction':
      return createComposite(store, hostId, inputOf(operation, raw));
    case 'removeRemoteFunction':
      return remove(store, hostId, `remote:${hostId}/${inputOf(operation, raw).name}`);
    case 'removeCompositeFunction':
      return remove(store, hostId, `local:${hostId}/${inputOf(operation, raw).name}`);
  }
}

function createRemote(
  store: SimulatorStore,
  hostId: string,
  input: FunctionInput<'createRemoteFunction'>,
): FunctionEntry {
  const { ownerVmId, allowedOperations, policy } = input;
  const functionId = `remote:${hostId}/${input.name}`;
  if (store.functions.entry(hostId, functionId) !== undefined)
    throw refused(`${functionId} exists: change it, or remove it first.`);
  return put(store, hostId, {
    functionId,
    kind: 'remote',
    deviceId: null,
    functionNumber: null,
    ownerVmId: ownerVmId === undefined ? null : store.vm(hostId, ownerVmId).vmId,
    location: locationOf(hostId, input.deviceFunctionId),
    parts: [],
    allowedOperations: allowedOperations ?? ['describeFunction', 'reallocateVirtualFunction'],
    policy: knownPolicy(store, policy ?? 'default'),
  });
}

function changeRemote(
  store: SimulatorStore,
  hostId: string,
  input: FunctionInput<'changeRemoteFunction'>,
): FunctionEntry {
  const { ownerVmId, deviceFunctionId, allowedOperations, policy } = input;
  const before = entryOf(store, hostId, `remote:${hostId}/${input.name}`);
  return put(store, hostId, {
    ...before,
    ...(ownerVmId === undefined
      ? {}
      : { ownerVmId: ownerVmId === null ? null : store.vm(hostId, ownerVmId).vmId }),
    ...(deviceFunctionId === undefined ? {} : { location: locationOf(hostId, deviceFunctionId) }),
    ...(allowedOperations === undefined ? {} : { allowedOperations }),
    ...(policy === undefined ? {} : { policy: knownPolicy(store, policy) }),
  });
}

function createComposite(
  store: SimulatorStore,
  hostId: string,
  { name, ownerVmId, parts, policy }: FunctionInput<'createCompositeFunction'>,
): FunctionEntry {
  const functionId = `local:${hostId}/${name}`;
  if (name === 'controller' || /^e[pv]f-/.test(name))
    throw refused(`${functionId} would look like a function of a device: choose another name.`);
  if (store.functions.entry(hostId, functionId) !== undefined)
    throw refused(`${functionId} exists: remove it first.`);
  store.vm(hostId, ownerVmId);
  if (new Set(parts.map(({ part }) => part)).size < parts.length)
    throw refused(`${functionId} cannot have two parts of one name.`);
  for (const { functionId: id } of parts) {
    if (addressOf(id).hostId !== hostId)
      throw refused(`${id} is no function of ${hostId}: make a remote function of it first.`);
    const { kind, ownerVmId: owner } = entryOf(store, hostId, id);
    if (kind !== 'physical' && kind !== 'remote')
      throw refused(`${id} is a ${kind} function; parts are physical or remote ones.`);
    if (owner !== ownerVmId)
      throw refused(`${id} is the function of ${owner ?? 'no VM'}, not of ${ownerVmId}.`);
  }
  return put(store, hostId, {
    functionId,
    kind: 'composite',
    deviceId: null,
    functionNumber: null,
    ownerVmId,
    location: { hostId, functionId },
    parts,
    allowedOperations: null,
    policy: knownPolicy(store, policy ?? 'default'),
  });
}

function remove(store: SimulatorStore, hostId: string, functionId: string) {
  const { kind } = entryOf(store, hostId, functionId);
  if (kind !== 'remote' && kind !== 'composite')
    throw refused(`${functionId} is a ${kind} function, which stays as long as its device.`);
  const user = store.functions
    .entries(hostId)
    .find(({ parts }) => parts.some((part) => part.functionId === functionId));
  if (user !== undefined) throw refused(`${functionId} is a part of ${user.functionId}.`);
  store.functions.removeEntry(hostId, functionId);
  return { removed: functionId };
}

function put(store: SimulatorStore, hostId: string, entry: FunctionEntry): FunctionEntry {
  store.functions.putEntry(hostId, entry);
  return entry;
}

function locationOf(hostId: string, functionId: string): FunctionEntry['location'] {
  const { hostId: deviceHost } = addressOf(functionId);
  if (deviceHost === hostId)
    throw refused(`${functionId} is local to ${hostId}: a remote function's device is elsewhere.`);
  return { hostId: deviceHost, functionId };
}

/** A name that the policy in force does not have would deny every command to the function. */
function knownPolicy(store: SimulatorStore, name: string): string {
  const { policy } = store.functions.inForce();
  if (policy !== null && !policy.has(name))
    throw refused(`The function policy in force has none named "${name}".`);
  return name;
}
