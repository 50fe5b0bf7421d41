import type { PolicedOperation } from '../../../contract/functions';
import { vfOf } from '../devices/physical-function';
import type { AdapterObjects, Objects, VmState } from '../state';
import type { SimulatorStore } from '../store';
import type { Decision } from '../../engine/port';
import { decide } from './decision';
import { entriesOfVm } from './entries';

/** What brings a held VF back to its VM, forward or by an undo. */
const READOPTION: readonly PolicedOperation[] = [
  'readVirtualFunction',
  'saveVirtualFunctionState',
  'resetVpciBus',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'markVirtualFunctionAssigned',
  'releaseVirtualFunction',
];

/** What gives a held VF up that cannot be had back, so that its VM can resume without it. */
const GIVING_UP: readonly PolicedOperation[] = [
  'moveReceiveFilter',
  'deleteVPort',
  'resetVirtualFunction',
  'unassignVirtualFunction',
  'freeVirtualFunction',
];

/** What may be done to the held VFs of a VM whatever the policy says later: from the begin of its save to that of its next. */
export interface Readoption {
  readonly policyVersion: string;
  /** A policy may want a VM to be stranded rather than its VF to be given up. */
  readonly mayGiveUp: boolean;
}

/** The rule in the journal when this is why a command was let through. */
export const AUTHORISED_AT_BEGIN_SAVE = 'authorised-at-begin-save';

/**
 * Asks, while the VM still runs, for all that may have to be done to its VFs while it does not, and keeps the answer with the
 * VM: a policy that is changed or unavailable later strands no paused VM. Answers the denial where there is one; then nothing
 * has begun. VFs that are held already keep what was said when they were taken.
 */
export function authoriseReadoption(store: SimulatorStore, o: Objects): Decision | undefined {
  const { vm, host } = o;
  const isHeld = vm.adapters.some(({ heldFunction }) => heldFunction != null);
  if (vm.partition.state !== 'running' || isHeld) return undefined;
  const entries = entriesOfVm(store, host.hostId, vm);
  const facts = { held: false, allocated: true, ownFunction: true, ownVirtualFunction: true };
  const ask = (operation: PolicedOperation): Decision[] =>
    entries.map(({ functionId, policy, allowedOperations }) =>
      decide(
        store,
        { operation, caller: 'host', functionId, policy, allowedOperations, ...facts },
        'beginSave',
      ),
    );
  const answers = READOPTION.flatMap(ask);
  const decision = answers.find(({ effect }) => effect === 'deny') ?? answers[0];
  if (decision?.effect !== 'allow') return decision;
  const mayGiveUp = GIVING_UP.flatMap(ask).every(({ effect }) => effect === 'allow');
  vm.readoption = { policyVersion: decision.policyVersion, mayGiveUp };
  return decision;
}

/** The rule by which a step of the host may do this to these VFs although the policy, as it is now, does not allow it. */
export function readoptionRule(
  { readoption, lease, partition }: VmState,
  of: readonly AdapterObjects[],
  operation: PolicedOperation,
): string | undefined {
  // Only within the operation that it was given for, and for those very VFs.
  if (readoption === undefined || lease === null) return undefined;
  const areThose = of.every((one) => {
    const vfId = vfOf(one)?.vfId;
    return vfId === undefined || vfId === one.adapter.identityBefore?.vfId;
  });
  if (!areThose) return undefined;
  if (READOPTION.includes(operation)) return AUTHORISED_AT_BEGIN_SAVE;
  // A VF is given up only once its hold was released by authority, and while its VM is dark.
  const isHeld = of.some(({ adapter }) => adapter.heldFunction != null);
  const mayGo = readoption.mayGiveUp && !isHeld && partition.state !== 'running';
  return mayGo && GIVING_UP.includes(operation) ? AUTHORISED_AT_BEGIN_SAVE : undefined;
}
