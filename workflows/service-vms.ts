import {
  CancellationScope,
  ParentClosePolicy,
  isCancellation,
  startChild,
} from '@temporalio/workflow';
import { fastRestoreId, fastSaveId } from '../contract/queues';
import type { FastRestoreResult } from '../contract/results';
import type { StepReport } from '../contract/steps';
import { failureFacts, failureMessage } from './failures';
import type { fastRestore } from './fast-restore';
import type { fastSave } from './fast-save';
import { hostStepCalls } from './host-steps';
import { lastFailure } from './last-failure';
import type { VmRuns } from './servicing-visibility';

export interface Serviced {
  readonly steps: ReadonlyMap<string, readonly StepReport[]>;
  readonly runs: ReadonlyMap<string, VmRuns>;
  /** What stopped the run, if anything did. */
  readonly firstFailure: unknown;
}

interface Servicing {
  readonly hostId: string;
  readonly generation: number;
  readonly vmIds: readonly string[];
  /** Stops the run on the host; before the barrier no VM crosses, after it all come back. */
  readonly stop: (reason: string) => Promise<unknown>;
  /** Called once every VM runs again, if all do. */
  readonly back: (
    restored: ReadonlyMap<string, FastRestoreResult>,
    runs: ReadonlyMap<string, VmRuns>,
  ) => void;
}

/**
 * Saves, updates and restores. The restores are started before the saves, so that they are prepared and waiting when
 * the VMs go down; the commit is armed likewise. The first failure, or a cancel, stops the run on the host; this ends
 * only when every VM's runs have ended.
 */
export async function serviceVms(servicing: Servicing): Promise<Serviced> {
  const { vmIds, stop } = servicing;
  const steps = new Map<string, readonly StepReport[]>();
  const runs = new Map<string, VmRuns>();
  const restored = new Map<string, FastRestoreResult>();
  let firstFailure: unknown;
  const stopFor = async (reason: string, error: unknown) => {
    if (firstFailure !== undefined) {
      // The VMs that waited for another one may be heard of before it is.
      if (isOfOther(firstFailure) && !isOfOther(error)) firstFailure = error;
      return;
    }
    firstFailure = error;
    await CancellationScope.nonCancellable(() => stop(reason));
  };
  const cancelHeard = CancellationScope.current().cancelRequested.catch((error: unknown) =>
    stopFor('the run was cancelled', error),
  );

  await CancellationScope.nonCancellable(async () => {
    const commitScope = new CancellationScope({ cancellable: true });
    const committing = commitScope.run(() => commit(servicing, stopFor));
    const follow = async (
      vmId: string,
      kind: keyof VmRuns,
      started: ReturnType<typeof startSave | typeof startRestore>,
    ) => {
      try {
        const child = await started;
        const { workflowId, firstExecutionRunId: runId } = child;
        runs.set(vmId, { ...runs.get(vmId), [kind]: { workflowId, runId } });
        const result = await child.result();
        steps.set(vmId, [...(steps.get(vmId) ?? []), ...result.steps]);
        if ('vm' in result && result.vm.running) restored.set(vmId, result);
        if (restored.size === vmIds.length) servicing.back(restored, runs);
      } catch (error) {
        const taken = failureFacts(error)['steps'] as readonly StepReport[] | undefined;
        steps.set(vmId, [...(steps.get(vmId) ?? []), ...(taken ?? [])]);
        await stopFor(`${vmId}: ${failureMessage(error)}`, error);
      }
    };
    const restores = vmIds.map((vmId) => follow(vmId, 'restore', startRestore(servicing, vmId)));
    const saves = vmIds.map((vmId) => follow(vmId, 'save', startSave(servicing, vmId)));
    // Where all VMs have left there is none to let pause.
    const opening = vmIds.length > 0 ? openGate(servicing, stopFor) : undefined;
    await Promise.all([...restores, ...saves]);
    await opening;
    // The VMs are back; an update that is still waiting for them, or stuck, has nothing to wait for any more.
    if (vmIds.length > 0) commitScope.cancel();
    await committing;
  });
  void cancelHeard;
  return { steps, runs, firstFailure };
}

const isOfOther = (error: unknown) => lastFailure(error).type === 'BarrierBroken';

/** All steps of all VMs are issued, and the commit; that somebody is there who wants them to pause is said while they run. */
async function openGate(
  { hostId, generation }: Servicing,
  stopFor: (reason: string, error: unknown) => Promise<void>,
): Promise<void> {
  try {
    await hostStepCalls(hostId).openGate({ hostId, generation });
  } catch (error) {
    await stopFor('the VMs could not be let pause', error);
  }
}

async function commit(
  { hostId, generation }: Servicing,
  stopFor: (reason: string, error: unknown) => Promise<void>,
): Promise<void> {
  const { commitUpdate, rollBackUpdate } = hostStepCalls(hostId);
  try {
    await commitUpdate({ hostId, generation });
  } catch (error) {
    await CancellationScope.nonCancellable(() => rollBackUpdate({ hostId, generation }));
    if (!isCancellation(error)) await stopFor('the update could not be committed', error);
  }
}

/** A terminated parent must not take its VMs' runs with it: they are asked to end, and bring their VM back first. */
const CHILD = {
  parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
} as const;

const startSave = ({ hostId }: Servicing, vmId: string) =>
  startChild<typeof fastSave>('fastSave', {
    ...CHILD,
    workflowId: fastSaveId(hostId, vmId),
    args: [{ hostId, vmId }],
    staticSummary: `fast save of ${vmId} on ${hostId}`,
  });

const startRestore = ({ hostId }: Servicing, vmId: string) =>
  startChild<typeof fastRestore>('fastRestore', {
    ...CHILD,
    workflowId: fastRestoreId(hostId, vmId),
    args: [{ hostId, vmId }],
    staticSummary: `fast restore of ${vmId} on ${hostId}`,
  });
