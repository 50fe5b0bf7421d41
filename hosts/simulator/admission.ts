import { HoldfastError } from '../../contract/failures';
import type { StepCall } from '../../contract/steps';
import { darkForMs } from './leases';
import type { StepOperation } from './operations/operation';
import type { Objects } from './state';

/** Refuses a call of a generation that does not hold the VM (any more). */
export function admit(operation: StepOperation, step: string, o: Objects, call: StepCall): void {
  const { lease, nextLease, vmId } = o.vm;
  if (operation.anyGeneration === true || lease?.generation === call.generation) return;
  if (operation.preparation === true && nextLease?.generation === call.generation) return;
  if (operation.releasesLease === true) {
    if (lease === null && call.generation === o.vm.generation) return;
    if (operation.notApplicable?.(o, call.generation) !== undefined) return;
  }
  if (
    operation.handsLeaseOn === true &&
    lease?.handedOnBy === call.generation &&
    operation.inPlace(o, call.generation)
  )
    return;
  throw new HoldfastError(
    'Fenced',
    `${step} of ${vmId} has generation ${String(call.generation)}, but ${lease === null ? 'nobody holds it' : `generation ${String(lease.generation)} of ${lease.holder.workflowId} holds it`}.`,
    { generation: call.generation, current: lease?.generation ?? null },
  );
}

/** The step's share of the blackout is used up: the run must choose another way now. */
export function refuseIfTooDark(step: string, o: Objects, call: StepCall): void {
  const dark = darkForMs(o.vm, o.nowMs);
  if (call.latestDarkMs === undefined || dark <= call.latestDarkMs) return;
  const { attempts, lastFailure } = o.vm.mailbox ?? { attempts: 0, lastFailure: null };
  const tried =
    attempts === 0
      ? ''
      : ` after ${String(attempts)} attempts${lastFailure === null ? '' : ` (${lastFailure})`}`;
  throw new HoldfastError(
    'BlackoutBudgetSpent',
    `${step} of ${call.vmId} was given up${tried}: the VM has been dark for ${dark.toFixed(0)} ms.`,
  );
}
