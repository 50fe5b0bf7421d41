import type { PolicedOperation } from '../../../contract/functions';
import { vfOf } from '../devices/network-adapter';
import type { Objects } from '../state';
import type { HostStore } from '../store';
import { decide, type Decision } from './decision';
import { entryOfVm } from './entries';

/** What brings a held VF back to its VM, forward or by an undo. */
const READOPTION = [
  'readVirtualFunction',
  'saveVirtualFunctionState',
  'resetVpciBus',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'markVirtualFunctionAssigned',
  'releaseVirtualFunction',
] as const satisfies readonly PolicedOperation[];

/** What gives a held VF up that cannot be had back, so that its VM can resume without it. */
const GIVING_UP: readonly PolicedOperation[] = [
  'moveReceiveFilter',
  'deleteVPort',
  'resetVirtualFunction',
  'unassignVirtualFunction',
  'freeVirtualFunction',
];

/** What may be done to the VF of a VM whatever the policy says later. Of one VM, from the begin of its save on. */
export interface Readoption {
  readonly operations: readonly PolicedOperation[];
  readonly vfId: number | null;
  readonly policyVersion: string;
}

/** The rule in the journal when this is why a command was let through. */
export const AUTHORISED_AT_BEGIN_SAVE = 'authorised-at-begin-save';

/**
 * Asks, while the VM still runs, for all that may have to be done to its VF while it does not, and keeps the answer with the
 * VM until its next save begins: a policy that is changed or unavailable later strands no paused VM. Answers the denial
 * where there is one; then nothing has begun. A VF that is held already keeps what was said when it was taken.
 */
export function authoriseReadoption(store: HostStore, o: Objects): Decision | undefined {
  const { vm, host } = o;
  if (vm.partition.state !== 'running' || vm.heldFunction != null) return undefined;
  const { functionId, policy, allowedOperations } = entryOfVm(store, host.hostId, vm.vmId);
  const facts = { held: false, allocated: true, ownFunction: true, ownVirtualFunction: true };
  const ask = (operation: PolicedOperation) =>
    decide(
      store,
      { operation, caller: 'host', functionId, policy, allowedOperations, ...facts },
      'beginSave',
    );
  const answers = READOPTION.map(ask);
  const decision = answers.find(({ effect }) => effect === 'deny') ?? answers[0];
  if (decision?.effect !== 'allow') return decision;
  vm.readoption = {
    // A policy may want a VM to be stranded rather than its VF to be given up.
    operations: [...READOPTION, ...GIVING_UP.filter((one) => ask(one).effect === 'allow')],
    vfId: vfOf(o.pf, vm.vmId)?.vfId ?? null,
    policyVersion: decision.policyVersion,
  };
  return decision;
}

/** The rule by which a step of the host may do this to the VF although the policy, as it is now, does not allow it. */
export function readoptionRule(o: Objects, operation: PolicedOperation): string | undefined {
  const { readoption, lease, partition, heldFunction } = o.vm;
  // Only within the operation that it was given for, and for that very VF.
  if (readoption == null || lease === null || !readoption.operations.includes(operation))
    return undefined;
  const vf = vfOf(o.pf, o.vm.vmId);
  if (vf !== undefined && vf.vfId !== readoption.vfId) return undefined;
  // A VF is given up only once its hold was released by authority, and while its VM is dark.
  const givesUp = GIVING_UP.includes(operation);
  if (givesUp && (heldFunction != null || partition.state === 'running')) return undefined;
  return AUTHORISED_AT_BEGIN_SAVE;
}
