import type { FunctionOperation, PolicedOperation } from '../../../contract/functions';
import type { Question } from '../../function-policy/decide';
import type { Caller } from '../../function-policy/policy-file';
import { vfOf } from '../devices/network-adapter';
import type { Objects, VmState } from '../state';
import type { HostStore } from '../store';
import { decide, denied, type Decision } from './decision';
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
  /** The VF that the command names; undefined: that of the function's owner. */
  readonly vfId?: number;
}

/**
 * Stands before every function command of a host, whoever sends it. Answers undefined for commands that act on no
 * function. Call it in the transaction of the command, so that nothing changes between decision and effect.
 */
export function intermediary(
  store: HostStore,
  o: Objects,
  command: string,
  by: 'host' | 'operator',
): Decision | undefined {
  const operation = operationOfCommand(command);
  if (operation === undefined) return undefined;
  const entry = entryOfVm(store, o.host.hostId, o.vm.vmId);
  if (operation === 'unknown') {
    const asked = { functionId: entry.functionId, operation, held: isHeld(o) };
    return denied(asked, command, {
      rule: 'unknown-command',
      because: 'host-commands.ts does not say which operation on a function it is',
      policyVersion: 'none',
      allowed: [],
    });
  }
  const decision = decide(store, questionOf(o, entry, by, operation), command);
  if (decision.effect === 'deny' && by === 'host') {
    const rule = readoptionRule(o, operation);
    if (rule !== undefined) return { effect: 'allow', rule, policyVersion: decision.policyVersion };
  }
  return decision;
}

/** The same for a command from outside. `o`: the VM that owns the function, if its device is on this host. */
export function intermediaryOfSent(
  store: HostStore,
  o: Objects | null,
  sent: SentCommand,
  command: string,
): Decision {
  const { entry, operation, caller, callerHost, callerVmId, vfId } = sent;
  const base =
    o === null
      ? { ...idsOf(entry), operation, caller, held: false, allocated: false }
      : questionOf(o, entry, caller, operation);
  const vf = o === null ? undefined : vfOf(o.pf, o.vm.vmId);
  const asked: Question = {
    ...base,
    ...(callerHost === undefined ? {} : { callerHost }),
    ownFunction: callerVmId !== null && callerVmId === entry.ownerVmId,
    // Where the device is elsewhere, its own intermediary knows whose VF it is.
    ownVirtualFunction: o === null || vfId === undefined || vfId === vf?.vfId,
  };
  return decide(store, asked, command);
}

const idsOf = ({ functionId, policy, allowedOperations }: FunctionEntry) => ({
  functionId,
  policy,
  allowedOperations,
});

const questionOf = (
  o: Objects,
  entry: FunctionEntry,
  caller: Caller,
  operation: PolicedOperation,
): Question => ({
  ...idsOf(entry),
  operation,
  caller,
  held: isHeld(o),
  allocated: vfOf(o.pf, o.vm.vmId) !== undefined,
  ownFunction: true,
  ownVirtualFunction: true,
});

/**
 * Whether the VM's VF is held, by what the intermediary has let through itself: a layer apart from the custody of the host,
 * so that each of the two guards would do alone. A VF that went by itself is held no more.
 */
export function isHeld({ pf, vm }: Pick<Objects, 'pf' | 'vm'>): boolean {
  const { heldFunction } = vm;
  return heldFunction != null && vfOf(pf, vm.vmId)?.vfId === heldFunction.vfId;
}

/** Notes a hold that was let through, or its end, after the effect. */
export function noteHold(vm: VmState, command: string): void {
  const operation = operationOfCommand(command);
  if (operation === 'holdVirtualFunction')
    vm.heldFunction = vm.vpci.device === null ? null : { vfId: vm.vpci.device.vfId };
  if (operation === 'releaseVirtualFunction') vm.heldFunction = null;
}
