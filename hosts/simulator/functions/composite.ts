import { HoldfastError } from '../../../contract/failures';
import type { FunctionOperation } from '../../../contract/functions';
import type { SimulatorStore } from '../store';
import { shareGbps } from '../devices/bandwidth';
import { entryOf } from './entries';
import type { FunctionEntry } from './function-database';
import type { CommandInput } from './values';

/** The part that a command to a composite function is for: the one it names, or the only one that has what it wants. */
export function partOf(
  store: SimulatorStore,
  hostId: string,
  { functionId, parts }: FunctionEntry,
  operation: FunctionOperation,
  { part, vfId }: CommandInput,
): FunctionEntry {
  const entries = parts.map((one) => ({ ...one, entry: entryOf(store, hostId, one.functionId) }));
  const found = entries.filter(({ part: name, entry }) =>
    part === undefined
      ? (entry.allowedOperations?.includes(operation) ?? true) &&
        (vfId === undefined || hasVf(store, hostId, entry, vfId))
      : name === part,
  );
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only.entry;
  const all = parts.map((one) => one.part).join(', ');
  const problem =
    only === undefined
      ? `input.part: ${functionId} has no ${part === undefined ? `part for ${operation}${vfId === undefined ? '' : ` of VF ${String(vfId)}`}` : `part "${part}"`} (it has ${all})`
      : `input.part: ${functionId} has several parts for ${operation}: name one of ${found.map((one) => one.part).join(', ')}`;
  throw new HoldfastError('InvalidInput', `${problem}.`, { problems: [problem] });
}

/** Where the device is elsewhere, only its own host knows. */
const hasVf = (
  store: SimulatorStore,
  hostId: string,
  entry: FunctionEntry,
  vfId: number,
): boolean => entry.kind === 'remote' || vfsOf(store, hostId, entry).some((vf) => vf.vfId === vfId);

const vfsOf = (store: SimulatorStore, hostId: string, { deviceId, ownerVmId }: FunctionEntry) =>
  store
    .pfs(hostId)
    .filter(({ pfId }) => pfId === deviceId)
    .flatMap(({ vfs }) => vfs.filter((vf) => vf.ownerVmId === ownerVmId));

/** Functions of several devices, shown as the one that its VM sees: no device is named. */
export function compositeDescription(store: SimulatorStore, hostId: string, entry: FunctionEntry) {
  const parts = entry.parts.map(({ part, functionId }) => ({
    part,
    of: entryOf(store, hostId, functionId),
  }));
  return {
    functionId: entry.functionId,
    kind: entry.kind,
    ownerVmId: entry.ownerVmId,
    policy: entry.policy,
    parts: parts.map(({ part, of }) => ({
      part,
      where: of.kind === 'remote' ? 'remote' : 'local',
    })),
    virtualFunctions: parts.flatMap(({ part, of }) =>
      // Of a remote part there are none here.
      vfsOf(store, hostId, of).map((vf) => ({
        part,
        vfId: vf.vfId,
        bandwidthGbps: shareGbps(vf),
      })),
    ),
  };
}
