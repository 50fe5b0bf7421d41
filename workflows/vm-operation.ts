import { CancellationScope } from '@temporalio/workflow';
import type { AdoptedStep, BeginRequest, Operation, VmDescription } from '../contract/host';
import type { Handed, MigrationOperation } from '../contract/migration';
import { toMs } from '../contract/durations';
import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import {
  VM_STEPS,
  type Direction,
  type InList,
  type StepCall,
  type StepLimits,
  type StepOutcome,
  type StepReport,
  type VmStep,
} from '../contract/steps';
import { stepLimits } from '../planning/step-limits';
import type { Retreat } from '../planning/ways-back';
import { cancelled, failureMessage, failureType } from './failures';
import { hostCalls, issuedStep, lightStep } from './host-steps';
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
  #retreats = 0;
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
  get retreat(): Retreat {
    if (this.#retreats > 0) return this.#retreats < RETREATS ? 'taken' : 'spent';
    return this.lease.canRetreat ? 'open' : 'none';
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
    const isDark = !this.running || BEGINS_BLACKOUT.has(step);
    if (isDark && VM_STEPS[step].kind !== 'light') {
      const withinMs = DARK_MS + (this.#limits(step, true).latestDarkMs ?? DARK_MS);
      const issued = this.#issued(step, { after: null, length: 1 }, withinMs, handed);
      return this.#answered(step, await issued);
    }
    const limits = this.#limits(step, isDark);
    const call = { ...this.#call(limits), ...(handed === undefined ? {} : { handed }) };
    const activity = lightStep(call, step, limits);
    return this.#answered(step, await settled(() => activity(call)));
  }

  async performAll(steps: readonly VmStep[]): Promise<void> {
    for (const step of steps) await this.perform(step);
  }

  /**
   * Issues the steps of a dark stretch together, while the VM may still run: the host performs them in this order, and
   * nothing lies between them. Ends when each is answered; fails with the first that failed. A cancel withdraws them,
   * unless the VM has crossed.
   */
  async issue<const Step extends VmStep>(steps: readonly Step[]): Promise<Answers<Step>> {
    const answers: Partial<Record<VmStep, unknown>> = {};
    const adopted = Math.min(steps.length, this.#adopted.length);
    for (const step of steps.slice(0, adopted)) answers[step] = await this.perform(step);
    const list = steps.slice(adopted);
    const settledSoFar: Settled<Step>[] = [];
    const all = list.map(async (step, i) => {
      const place = { after: list[i - 1] ?? null, length: list.length };
      settledSoFar[i] = await this.#issued(step, place, ISSUED_MS);
    });
    const withdrawal = this.#withdrawIfCancelled();
    // After its own fence a run has nothing to learn from what that fence ends.
    await Promise.race([Promise.all(all), withdrawal.done]);
    await withdrawal.over();
    for (const [i, step] of list.entries()) {
      const answer = settledSoFar[i];
      if (answer !== undefined && !(withdrawal.isDone && 'error' in answer))
        answers[step] = this.#answered(step, answer);
    }
    if (!withdrawal.isDone) return answers as Answers<Step>;
    this.darkForMs = this.lease.darkForMs;
    throw cancelled(`The save of ${this.vmId} was cancelled.`);
  }

  #issued<Step extends VmStep>(
    step: Step,
    list: InList,
    withinMs: number,
    handed?: Handed,
  ): Promise<Settled<Step>> {
    const call = {
      ...this.#call(this.#limits(step, true)),
      ...{ list, ...(handed === undefined ? {} : { handed }) },
    };
    const activity = issuedStep(call, step, { withinMs, isAlone: list.length === 1 });
    return settled(() => activity(call));
  }

  #call(limits: StepLimits) {
    return {
      hostId: this.hostId,
      vmId: this.vmId,
      generation: this.lease.generation,
      direction: this.#direction,
      ...limits,
    } satisfies StepCall;
  }

  #limits(step: VmStep, isDark: boolean): StepLimits {
    const { latestDarkMs, ...limits } = stepLimits(step, {
      isDark,
      budgetMs: this.settings.blackoutBudgetMs,
      isUndoable: !this.#onlyForward && this.#direction === 'forward',
      canRetreat: this.retreat === 'open' && this.#direction === 'forward',
    });
    // Of a VM that has left its source there is nothing else to be done: it is tried for as long as it takes.
    if (this.isOneOfTwo && this.#onlyForward)
      return limits.attemptMs === undefined ? {} : { attemptMs: limits.attemptMs };
    return latestDarkMs === undefined ? limits : { latestDarkMs, ...limits };
  }

  #answered<Step extends VmStep>(step: Step, answer: Settled<Step>): StepOutcome<Step> {
    if ('error' in answer) {
      this.#report(step, 'failed', 0, failedAttempt(answer.error).attempt ?? 1);
      throw new StepFailed(step, answer.error);
    }
    const { outcome } = answer;
    this.darkForMs = outcome.darkForMs;
    if (outcome.status === 'notReached') return outcome;
    if (step === 'crossPointOfNoReturn' || step === 'relinquishVm') this.#onlyForward = true;
    this.#report(step, outcome.status, outcome.ms, outcome.attempts);
    return outcome;
  }

  /** Until it is over, a cancel withdraws what was issued, by the host's word. */
  #withdrawIfCancelled() {
    const scope = CancellationScope.current();
    let isOver = this.#onlyForward;
    let withdrawing: Promise<void> | undefined;
    let tellDone: () => void = () => undefined;
    const withdrawal = {
      isDone: false,
      done: new Promise<undefined>((resolve) => {
        tellDone = () => {
          resolve(undefined);
        };
      }),
      over: async () => {
        isOver = true;
        await withdrawing;
      },
    };
    const withdraw = async () => {
      const { hostId, vmId } = this;
      try {
        this.#take(await hostCalls(hostId, vmId).withdrawUnlessCrossed(hostId, vmId, thisRun()));
        withdrawal.isDone = !this.crossed;
        if (withdrawal.isDone) tellDone();
      } catch {
        // The host could not be asked: then what it answers to the steps decides, as without a cancel.
      }
    };
    scope.cancelRequested.catch(() => {
      // A scope that cannot be cancelled hears of the cancel too.
      if (!isOver && scope.consideredCancelled)
        withdrawing = CancellationScope.nonCancellable(withdraw);
    });
    return withdrawal;
  }

  /** Back to the version that the VM ran before, which restores it from the same record. */
  async retreatToOldStack(): Promise<void> {
    this.#retreats += 1;
    await this.perform('retreatToOldStack');
    // All is done again under this generation; a VF that is attached anew later needs keys besides.
    this.#direction = 'forward';
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
    this.#take(
      await hostCalls(this.hostId, this.vmId).fenceOperation(this.hostId, this.vmId, thisRun()),
    );
    this.#direction = this.crossed ? 'recover' : 'undo';
  }

  #take(lease: Operation): void {
    this.lease = lease;
    this.#adopted = [];
    this.#onlyForward = lease.crossed;
    this.darkForMs = lease.darkForMs;
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

/** What the steps of a list came to; none of those that were not reached. */
export type Answers<Step extends VmStep> = { readonly [Each in Step]?: StepAnswer<Each> };
type Settled<Step extends VmStep> =
  { readonly outcome: StepOutcome<Step> } | { readonly error: unknown };

/** Whatever comes of it is looked at in its turn: a rejection that nobody awaits would fail the workflow task for ever. */
const settled = async <Step extends VmStep>(
  performed: () => Promise<StepOutcome<Step>>,
): Promise<Settled<Step>> => {
  try {
    return { outcome: await CancellationScope.nonCancellable(performed) };
  } catch (error) {
    return { error };
  }
};

/** How many processes of the old version a restore may try. */
const RETREATS = 3;
const BEGINS_BLACKOUT: ReadonlySet<VmStep> = new Set<VmStep>(['pauseVm', 'suspendVm']);
/** For the host to answer what a dark step has come to: it counts the step's own limits itself, ms. */
const DARK_MS = toMs(HARD_BLACKOUT_LIMIT);
/** The VMs of a host may take so long to be prepared, and then as long as the longest blackout, ms. */
const ISSUED_MS = 600_000 + 2 * DARK_MS;

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
