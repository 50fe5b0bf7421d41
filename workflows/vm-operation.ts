import { CancellationScope } from '@temporalio/workflow';
import type { AdoptedStep, BeginRequest, Operation, VmDescription } from '../contract/host';
import type { Handed, MigrationOperation } from '../contract/migration';
import {
  VM_STEPS,
  type Direction,
  type StepOutcome,
  type StepReport,
  type VmStep,
} from '../contract/steps';
import { retryWindow, stepKind } from '../planning/retry-windows';
import { cancelled, failure, failureMessage, failureType } from './failures';
import { hostCalls, stepActivity } from './host-steps';
import { failedAttempt } from './last-failure';
import { parentRun, takeLease, thisRun } from './leases';
import { showSteps } from './visibility';

/** What a flow learns from a step. */
export type StepAnswer<Step extends VmStep> = Pick<StepOutcome<Step>, 'reason' | 'evidence'>;
/** What the starter of a run asks for. */
export type Wish = Pick<BeginRequest, 'hostId' | 'vmId' | 'settings' | 'faults' | 'adopt'>;

/** One save or restore of one VM: its lease, how dark the VM is, and the steps taken so far. */
export class VmOperation {
  #direction: Direction = 'forward';
  #onlyForward = false;
  /** What an older run has done of this operation, by the host's answer; each is answered from it once. */
  #adopted: readonly AdoptedStep[];

  private constructor(
    readonly hostId: string,
    readonly vmId: string,
    private lease: Operation,
    private darkForMs = lease.darkForMs,
    readonly steps: StepReport[] = [],
    /** One of the two ends of a migration, whose steps are reported together. */
    private readonly isOneOfTwo = false,
  ) {
    this.#adopted = lease.adopted ?? [];
  }

  /** Takes the VM's lease, from the host or from a run that is closed. */
  static async begin(kind: 'beginSave' | 'beginRestore', wish: Wish): Promise<VmOperation> {
    const request = { ...wish, holder: thisRun(), parent: parentRun() };
    const begin = hostCalls(wish.hostId, wish.vmId)[kind];
    const lease = await takeLease((from) =>
      begin(from === undefined ? request : { ...request, takeOverFrom: from }),
    );
    const operation = new VmOperation(wish.hostId, wish.vmId, lease);
    operation.#onlyForward = kind === 'beginRestore' || lease.crossed;
    return operation;
  }

  /** An end of a migration, whose lease is there already; both ends report into the same steps. */
  static ofMigration(
    hostId: string,
    vmId: string,
    lease: MigrationOperation,
    steps: StepReport[],
  ): VmOperation {
    const operation = new VmOperation(hostId, vmId, lease, lease.darkForMs, steps, true);
    operation.#onlyForward = lease.crossed;
    return operation;
  }

  get settings() {
    return this.lease.settings;
  }
  get identity() {
    return this.lease.identity;
  }
  get phase() {
    return this.lease.phase;
  }
  /** Whether it goes on where an older run stopped, instead of beginning anew. */
  get isAdopted() {
    return this.lease.adopted !== undefined;
  }
  get inServicing() {
    return this.lease.inServicing;
  }
  /** By the host's latest answer. */
  get running() {
    return this.darkForMs === 0;
  }
  get crossed() {
    return this.#onlyForward;
  }

  /**
   * Performs one step. It is shielded from cancellation, since an undo would overlap the step that is under way;
   * between steps, `stopIfCancelled` looks.
   */
  async perform<Step extends VmStep>(step: Step, handed?: Handed): Promise<StepAnswer<Step>> {
    const [next, ...rest] = this.#adopted;
    if (next !== undefined && isOf(next, step)) {
      this.#adopted = rest;
      this.#report(step, 'adopted', 0, 0);
      return next;
    }
    const kind = stepKind(step, this.darkForMs);
    const window = retryWindow(step, {
      darkForMs: this.darkForMs,
      budgetMs: this.settings.blackoutBudgetMs,
      onlyForward: this.#onlyForward || this.#direction !== 'forward',
      mayBeLeftOut: this.lease.mayBeLeftOut === true,
    });
    if (window.allMs === 0) {
      throw failure(
        'BlackoutBudgetSpent',
        `${this.vmId} was dark for ${this.darkForMs.toFixed(0)} ms before ${step}.`,
      );
    }
    const call = {
      hostId: this.hostId,
      vmId: this.vmId,
      generation: this.lease.generation,
      direction: this.#direction,
      // Of a VM that has left its source there is nothing else to be done when the budget is spent.
      ...(window.latestDarkMs === undefined || (this.isOneOfTwo && this.#onlyForward)
        ? {}
        : { latestDarkMs: window.latestDarkMs }),
      ...(handed === undefined ? {} : { handed }),
    };
    const activity = stepActivity(call, step, kind, this.settings.stepPlacement, window);
    try {
      const outcome = await CancellationScope.nonCancellable(() => activity(call));
      this.darkForMs = outcome.darkForMs;
      if (step === 'crossPointOfNoReturn' || step === 'relinquishVm') this.#onlyForward = true;
      this.#report(step, outcome.status, outcome.ms, outcome.attempts);
      return outcome;
    } catch (error) {
      this.#report(step, 'failed', 0, failedAttempt(error).attempt ?? 1);
      throw new StepFailed(step, error);
    }
  }

  async performAll(steps: readonly VmStep[]): Promise<void> {
    for (const step of steps) await this.perform(step);
  }

  /** From here on keys of their own: a step that a restore has done already is to be done once more, on another VF. */
  turnToRecovery(): void {
    this.#direction = 'recover';
  }

  /** A cancel is heard between steps, as long as everything can still be undone. */
  stopIfCancelled(what: 'save' | 'migration' = 'save'): void {
    if (CancellationScope.current().consideredCancelled)
      throw cancelled(`The ${what} of ${this.vmId} was cancelled.`);
  }

  /** The VM is dark at the other end of its migration, so steps here come out of the same budget. */
  shareDarknessOf({ darkForMs }: VmOperation): void {
    this.darkForMs = Math.max(this.darkForMs, darkForMs);
  }
  /** The other end has crossed: nothing can be undone here either. */
  goOnlyForward(): void {
    this.#onlyForward = true;
  }

  /**
   * A new generation before any undo or way back, so that no late step can interfere. Only the host's own answer says
   * which of the two it is: the mark may be set although the reply was lost.
   */
  async fence(): Promise<void> {
    this.lease = await hostCalls(this.hostId, this.vmId).fenceOperation(
      this.hostId,
      this.vmId,
      thisRun(),
    );
    this.#adopted = [];
    this.#onlyForward = this.lease.crossed;
    this.#direction = this.lease.crossed ? 'recover' : 'undo';
    this.darkForMs = this.lease.darkForMs;
  }

  /** A restore by the same run that saved the VM: another lease, so that no late step of the save can do harm. */
  async turnToRestore(): Promise<void> {
    this.lease = await hostCalls(this.hostId, this.vmId).beginRestore({
      hostId: this.hostId,
      vmId: this.vmId,
      holder: thisRun(),
      parent: parentRun(),
      settings: this.settings,
      faults: [],
    });
    this.#direction = 'forward';
    this.#onlyForward = true;
    this.darkForMs = this.lease.darkForMs;
  }

  inspect(): Promise<VmDescription> {
    return hostCalls(this.hostId, this.vmId).describeVm(this.hostId, this.vmId);
  }

  #report(name: VmStep, status: StepReport['status'], ms: number, attempts: number): void {
    this.steps.push({
      name,
      status,
      direction: this.#direction,
      ms: Math.round(ms * 1000) / 1000,
      attempts,
      ...(this.isOneOfTwo ? { hostId: this.hostId } : {}),
    });
    const outsideBlackout = this.darkForMs === 0 && VM_STEPS[name].kind === 'light';
    if (outsideBlackout) showSteps(`${this.vmId} on ${this.hostId}`, this.steps);
  }
}

const isOf = <Step extends VmStep>(
  adopted: AdoptedStep,
  step: Step,
): adopted is AdoptedStep<Step> => adopted.step === step;

/** Which step failed, around why: ways back are chosen by both. Never leaves a workflow. */
export class StepFailed extends Error {
  constructor(
    readonly step: VmStep,
    override readonly cause: unknown,
  ) {
    super(`${step} failed: ${failureMessage(cause)}`);
  }
  get type() {
    return failureType(this.cause);
  }
}
