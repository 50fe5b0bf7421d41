import { HoldfastError } from '../../../contract/failures';
import type { FunctionOperation, PolicedOperation } from '../../../contract/functions';
import type { Question } from '../../function-policy/decide';
import type { Caller } from '../../function-policy/policy-file';
import { vfOf } from '../devices/physical-function';
import { functionOf, movedOf } from '../migration/functions';
import { underWay } from '../migration/migration-state';
import { eachAdapter, objectsOf } from '../operations/each-adapter';
import type { AdapterObjects, Objects, VmState } from '../state';
import type { SimulatorStore } from '../store';
import type { Decision } from '../../engine/port';
import { decide, denied } from './decision';
import { entryOfVm } from './entries';
import type { FunctionEntry } from './function-database';
import { operationOfCommand } from './host-commands';
import { readoptionRule } from './readoption';

/** A command that came to a function from outside, not from a step of the host itself. */
export interface SentCommand {
  readonly caller: Exclude<Caller, 'host'>;
  /** Of a caller on another host. */
  readonly callerHost?: string;
  /** Whose private channel it came through. */
  readonly callerVmId: string | null;
  readonly entry: FunctionEntry;
  readonly operation: FunctionOperation;
  /** The VF that the command names; undefined: the one that the function has. */
  readonly vfId?: number;
}

/** A command of the host itself, or of somebody at its console. */
interface HostCommand {
  readonly command: string;
  readonly by: 'host' | 'operator';
  /** Undefined: for the VM as a whole. */
  readonly adapterId: string | undefined;
}

/**
 * Stands before every function command of a host, whoever sends it. Answers undefined for commands that act on no
 * function. Call it in the transaction of the command, so that nothing changes between decision and effect.
 */
export function intermediary(
  store: SimulatorStore,
  o: Objects,
  { command, by, adapterId }: HostCommand,
): Decision | undefined {
  const operation = operationOfCommand(command);
  if (operation === undefined) return undefined;
  const of = adapterId === undefined ? eachAdapter(o) : [objectsOf(o, adapterId)];
  const entry = entryOfVm(store, o.host.hostId, o.vm, of[0]?.adapter.pfId);
  // A VM without adapters has no function that a command could act on.
  if (entry === undefined) return undefined;
  if (operation === 'unknown') {
    const asked = { functionId: entry.functionId, operation, held: of.some(isHeld) };
    return denied(asked, command, {
      rule: 'unknown-command',
      because: 'host-commands.ts does not say which operation on a function it is',
      policyVersion: 'none',
      allowed: [],
    });
  }
  const asked = { ...questionOf(entry, by, operation), ...factsOf(of) };
  const decision = decide(store, asked, command);
  if (decision.effect === 'deny' && by === 'host') {
    const rule = readoptionRule(o.vm, of, operation);
    if (rule !== undefined) return { effect: 'allow', rule, policyVersion: decision.policyVersion };
  }
  return decision;
}

/** The same for a command from outside. `o`: the VM that owns the function, if its device is on this host. */
export function intermediaryOfSent(
  store: SimulatorStore,
  o: Objects | null,
  sent: SentCommand,
  command: string,
): Decision {
  const { entry, operation, caller, callerHost, callerVmId, vfId } = sent;
  const of = o === null ? [] : adaptersOf(o, entry);
  const named = of.filter((one) => vfId === undefined || vfOf(one)?.vfId === vfId);
  return decide(
    store,
    {
      ...questionOf(entry, caller, operation),
      ...(callerHost === undefined ? {} : { callerHost }),
      ...factsOf(named),
      // With a VF for each adapter that is to have one, another would be a VF that is allocated already.
      allocated: of.length > 0 && freeAdapterOf(of) === undefined && of.some(hasVf),
      ownFunction: callerVmId !== null && callerVmId === entry.ownerVmId,
      // Where the device is elsewhere, its own intermediary knows whose VF it is.
      ownVirtualFunction: o === null || vfId === undefined || named.length > 0,
    },
    command,
  );
}

/** The adapters of its owner that a function on a device of this host is for. */
export const adaptersOf = (o: Objects, { deviceId, kind, functionNumber }: FunctionEntry) =>
  eachAdapter(o).filter(
    (of) => of.pf.pfId === deviceId && (kind !== 'virtual' || vfOf(of)?.vfId === functionNumber),
  );

const hasVf = (o: AdapterObjects): boolean => vfOf(o) !== undefined;
/** While a VM migrates by an emulated path, the emulated device is to have a function of its own beside the VM's. */
const lacksEmulated = (o: AdapterObjects): boolean =>
  underWay(o.vm)?.method === 'emulated-path' &&
  movedOf(o) !== undefined &&
  functionOf(o, 'emulated') === undefined;

/** The first that is to have a VF and has none. */
export const freeAdapterOf = (of: readonly AdapterObjects[]): AdapterObjects | undefined =>
  of.find((one) => one.adapter.wantsVf && !hasVf(one));

/** The adapter whose VF a command means. */
export function targetOf(o: Objects, { entry, vfId }: SentCommand): AdapterObjects {
  const found = adaptersOf(o, entry).filter(
    (one) => hasVf(one) && (vfId === undefined || vfOf(one)?.vfId === vfId),
  );
  const [target, ...others] = found;
  if (target !== undefined && others.length === 0) return target;
  const ids = found.map((one) => String(vfOf(one)?.vfId)).join(', ');
  const problem =
    target === undefined
      ? `input.vfId: ${entry.functionId} has no ${vfId === undefined ? 'VF' : `VF ${String(vfId)}`}`
      : `input.vfId: ${entry.functionId} has several VFs: name one of ${ids}`;
  throw new HoldfastError('InvalidInput', `${problem}.`, { problems: [problem] });
}

const questionOf = (
  { functionId, policy, allowedOperations }: FunctionEntry,
  caller: Caller,
  operation: PolicedOperation,
) => ({ functionId, policy, allowedOperations, caller, operation });

const factsOf = (of: readonly AdapterObjects[]) =>
  ({
    held: of.some(isHeld),
    allocated: of.some(hasVf) && !of.some(lacksEmulated),
    ownFunction: true,
    ownVirtualFunction: true,
  }) satisfies Partial<Question>;

/**
 * Whether an adapter's VF is held, by what the intermediary has let through itself: a layer apart from the custody of the
 * host, so that each of the two guards would do alone. A VF that went by itself is held no more.
 */
export function isHeld(o: AdapterObjects): boolean {
  const { heldFunction } = o.adapter;
  return heldFunction != null && vfOf(o)?.vfId === heldFunction.vfId;
}

/** Notes a hold that was let through, or its end, after the effect. */
export function noteHold({ adapters }: VmState, adapterId: string | undefined, command: string) {
  const operation = operationOfCommand(command);
  if (operation !== 'holdVirtualFunction' && operation !== 'releaseVirtualFunction') return;
  for (const adapter of adapters) {
    if (adapterId !== undefined && adapter.adapterId !== adapterId) continue;
    const { device } = adapter.vpci;
    adapter.heldFunction =
      operation === 'releaseVirtualFunction' || device === null ? null : { vfId: device.vfId };
  }
}
