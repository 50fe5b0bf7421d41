import { HoldfastError } from '../../contract/failures';
import type { HostStepCall, StepCall } from '../../contract/steps';
import type { Operation } from './operation';
import type { CoreHost, CoreObjects } from './state';

/** Refuses a call of a generation that does not hold the VM (any more). */
export function admit<O extends CoreObjects>(
  operation: Operation<O>,
  step: string,
  o: O,
  call: StepCall,
): void {
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
    operation.inPlace?.(o, call.generation) === true
  )
    return;
  throw new HoldfastError(
    'Fenced',
    `${step} of ${vmId} has generation ${String(call.generation)}, but ${lease === null ? 'nobody holds it' : `generation ${String(lease.generation)} of ${lease.holder.workflowId} holds it`}.`,
    { generation: call.generation, current: lease?.generation ?? null },
  );
}

/** The step's share of the blackout is used up: the run must choose another way now. */
export function refuseIfTooDark(
  step: string,
  { vm }: CoreObjects,
  call: StepCall,
  dark: number,
): void {
  if (call.latestDarkMs === undefined || dark <= call.latestDarkMs) return;
  const { attempts, lastFailure } = vm.mailbox ?? { attempts: 0, lastFailure: null };
  const tried =
    attempts === 0
      ? ''
      : ` after ${String(attempts)} attempts${lastFailure === null ? '' : ` (${lastFailure.replace(/\.$/, '')})`}`;
  throw new HoldfastError(
    'BlackoutBudgetSpent',
    `${step} of ${call.vmId} was given up${tried}: the VM has been dark for ${dark.toFixed(0)} ms.`,
  );
}

/** The same for a step of the whole host. */
export function admitHost(
  host: CoreHost,
  { generation }: Pick<HostStepCall, 'generation'>,
  step: string,
): void {
  if (host.lease?.generation === generation) return;
  throw new HoldfastError(
    'Fenced',
    `${step} of ${host.hostId} has generation ${String(generation)}, but ${host.lease === null ? 'nobody holds the host' : `${host.lease.holder.workflowId} holds it`}.`,
  );
}
