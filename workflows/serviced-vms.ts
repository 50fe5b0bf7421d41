import { CancellationScope, ParentClosePolicy, startChild } from '@temporalio/workflow';
import { fastRestoreId, fastSaveId } from '../contract/queues';
import type { FastRestoreResult } from '../contract/results';
import type { StepReport } from '../contract/steps';
import { failureFacts, failureMessage } from './failures';
import type { fastRestore } from './fast-restore';
import type { fastSave } from './fast-save';
import { lastFailure } from './last-failure';
import type { VmRuns } from './servicing-visibility';

/** The runs of a host's VMs while it is serviced, a save and a restore each, and what has come of them. */
export class ServicedVms {
  readonly steps = new Map<string, readonly StepReport[]>();
  readonly runs = new Map<string, VmRuns>();
  /** VMs that run again after their save. */
  readonly restored = new Map<string, FastRestoreResult>();
  /** What went wrong first, if anything did. */
  firstFailure: unknown;
  #isStopped = false;

  constructor(
    private readonly hostId: string,
    /** Stops the run on the host, which says what becomes of its VMs. */
    private readonly stopHost: (reason: string) => Promise<unknown>,
  ) {}

  /** Starts the restore before the save: it must be prepared when the VM goes down. Ends when both runs have ended. */
  async service(vmId: string): Promise<void> {
    const restore = this.#follow(vmId, 'restore', startRestore(this.hostId, vmId));
    await Promise.all([restore, this.#follow(vmId, 'save', startSave(this.hostId, vmId))]);
  }

  /** Whether more may be begun. */
  goesOn(): boolean {
    return !this.#isStopped;
  }

  /** The failure that counts is the first, unless that is of a run that only heard of another one's. */
  failed(error: unknown): void {
    const isFirst = this.firstFailure === undefined;
    if (isFirst || (isOfOther(this.firstFailure) && !isOfOther(error))) this.firstFailure = error;
  }

  async stopFor(reason: string, error: unknown): Promise<void> {
    this.failed(error);
    if (this.#isStopped) return;
    this.#isStopped = true;
    await CancellationScope.nonCancellable(() => this.stopHost(reason));
  }

  /** What one VM's failure means for the others. */
  onFailure = (vmId: string, error: unknown): Promise<void> =>
    this.stopFor(`${vmId}: ${failureMessage(error)}`, error);
  /** Called when a VM runs again. */
  onRestored: (vmId: string) => void = () => undefined;

  async #follow(vmId: string, kind: keyof VmRuns, started: ReturnType<Start>): Promise<void> {
    try {
      const child = await started;
      const { workflowId, firstExecutionRunId: runId } = child;
      this.runs.set(vmId, { ...this.runs.get(vmId), [kind]: { workflowId, runId } });
      const result = await child.result();
      this.#took(vmId, result.steps);
      if (!('vm' in result) || !result.vm.running) return;
      this.restored.set(vmId, result);
      this.onRestored(vmId);
    } catch (error) {
      this.#took(vmId, failureFacts(error)['steps'] as readonly StepReport[] | undefined);
      await this.onFailure(vmId, error);
    }
  }

  #took(vmId: string, steps: readonly StepReport[] = []): void {
    this.steps.set(vmId, [...(this.steps.get(vmId) ?? []), ...steps]);
  }
}

/** It only says that another VM, or the other run of this one, has failed. */
const isOfOther = (error: unknown) => ['BarrierBroken', 'Fenced'].includes(lastFailure(error).type);

/** A terminated parent must not take its VMs' runs with it: they are asked to end, and bring their VM back first. */
const CHILD = {
  parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
} as const;
type Start = typeof startSave | typeof startRestore;

const startSave = (hostId: string, vmId: string) =>
  startChild<typeof fastSave>('fastSave', {
    ...CHILD,
    workflowId: fastSaveId(hostId, vmId),
    args: [{ hostId, vmId }],
    staticSummary: `fast save of ${vmId} on ${hostId}`,
  });

const startRestore = (hostId: string, vmId: string) =>
  startChild<typeof fastRestore>('fastRestore', {
    ...CHILD,
    workflowId: fastRestoreId(hostId, vmId),
    args: [{ hostId, vmId }],
    staticSummary: `fast restore of ${vmId} on ${hostId}`,
  });
