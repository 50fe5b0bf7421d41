import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import type { Handed } from '../../contract/migration';
import type { StepCall, StepOutcome, VmStep } from '../../contract/steps';
import { admit, refuseIfTooDark } from './admission';
import { issueCommand, type CommandTarget } from './commands';
import { takeFault, applyVfGone } from './faults';
import { checkInvariants } from './invariants';
import { sampleMs, type LatencyProfile } from './latency';
import { darkForMs } from './leases';
import { isBlocked, leaveMailboxes, leavePfs, ownsMailbox, takeMailboxes } from './mailbox';
import { keepCommands } from './migration/functions';
import { OPERATIONS } from './operations';
import { objectsOf } from './operations/each-adapter';
import type { CommandRunner, Evidence, StepOperation } from './operations/operation';
import type { Intent, RecordedOutcome } from './state';
import type { HostStore } from './store';

/** A step that has its mailbox and goes ahead, or the answer that needs no more work. */
type Claim =
  | { readonly answer: RecordedOutcome }
  | {
      readonly intent: Intent;
      readonly fault: ReturnType<typeof takeFault>;
      readonly inPlace: boolean;
    };

/**
 * Performs steps on a VM: durable intent → idempotent effect, command by command → observe → durable result. The
 * process may die between any two of these; the next attempt of the same key observes before it does anything.
 */
export class StepEngine {
  constructor(
    private readonly store: HostStore,
    private readonly profile: LatencyProfile,
  ) {}

  async perform(step: VmStep, call: StepCall, signal: AbortSignal): Promise<StepOutcome> {
    const operation: StepOperation = OPERATIONS[step];
    const key = `${call.vmId}/${String(call.generation)}/${call.direction}/${step}`;
    const waitedFrom = performance.now();
    const claim = await this.#claim(operation, step, call, key, signal);
    const recorded =
      'answer' in claim
        ? claim.answer
        : await this.#effect(operation, step, call, key, claim, signal);
    const o = this.store.objects(call.hostId, call.vmId);
    const waitedMs = 'answer' in claim ? 0 : performance.now() - waitedFrom;
    return {
      ...recorded,
      ms: operation.ready === undefined ? recorded.ms : Math.max(recorded.ms, waitedMs),
      darkForMs: darkForMs(o.vm, o.nowMs),
    };
  }

  /** Waits until the step may begin, then writes its intent; answers at once what is known already. */
  async #claim(
    operation: StepOperation,
    step: VmStep,
    call: StepCall,
    key: string,
    signal: AbortSignal,
  ): Promise<Claim> {
    if (operation.arrive !== undefined) {
      this.store.update(call.hostId, call.vmId, (o) => operation.arrive?.(o));
    }
    for (;;) {
      const known = this.store.result(call.hostId, key);
      if (known !== undefined)
        return {
          answer: { ...known, status: known.status === 'done' ? 'alreadyDone' : known.status },
        };
      const before = this.store.objects(call.hostId, call.vmId);
      admit(operation, step, before, call);
      refuseIfTooDark(step, before, call);
      const applicable = operation.notApplicable?.(before, call.generation) === undefined;
      const due =
        operation.ready?.(before, call.generation) !== false &&
        operation.mayBegin?.(before) !== false &&
        !isBlocked(before, key, operation.usesPf === true);
      // Only then write: every write wakes all who wait for this host.
      if (!applicable || due) {
        const claim = this.#tryClaim(operation, step, call, key);
        if (claim !== undefined) return claim;
      }
      if (signal.aborted) {
        throw new HoldfastError(
          'NotReachedInTime',
          `${step} of ${call.vmId} still waits for its turn.`,
        );
      }
      await this.store.changed(call.hostId, signal);
    }
  }

  #tryClaim(
    operation: StepOperation,
    step: VmStep,
    call: StepCall,
    key: string,
  ): Claim | undefined {
    return this.store.update(call.hostId, call.vmId, (o) => {
      admit(operation, step, o, call);
      const inPlace = operation.inPlace(o, call.generation);
      // An attempt whose reply was lost may be why there is nothing left to do: it is observed, not skipped.
      const own = o.vm.mailbox?.key === key ? o.vm.mailbox : null;
      const reason =
        own !== null && inPlace ? undefined : operation.notApplicable?.(o, call.generation);
      if (reason !== undefined) {
        if (own !== null) leaveMailboxes(o, own);
        return { answer: outcome('notApplicable', o.nowMs, 0, 1, {}, reason) };
      }
      const taken = takeMailboxes(o, key, step, operation.usesPf === true);
      if (taken === undefined) return undefined;
      const fault = takeFault(o.vm, step);
      this.store.append(o.host, {
        vmId: call.vmId,
        step,
        generation: call.generation,
        kind: 'intent',
        command: null,
        status: taken.unknownOutcome ? 'observing' : 'begun',
        detail: fault === undefined ? null : `fault ${fault.kind}`,
      });
      return { intent: taken.intent, fault, inPlace };
    });
  }

  async #effect(
    operation: StepOperation,
    step: VmStep,
    call: StepCall,
    key: string,
    claim: Exclude<Claim, { answer: RecordedOutcome }>,
    signal: AbortSignal,
  ): Promise<RecordedOutcome> {
    const { intent, fault } = claim;
    const { hostId, vmId, generation } = call;
    const target = { hostId, vmId, step, generation };
    const latencyMs = this.#latencyMs(call, step, intent);
    const commands = this.#commands(target, intent, latencyMs, call.handed ?? {});
    let evidence: Evidence = {};
    try {
      if (fault?.kind === 'fail-before') {
        throw new HoldfastError('HostStepFailed', `${step} of ${vmId} failed before its effect.`);
      }
      if (fault?.kind === 'stuck') await this.#untilOvertaken(call, intent, signal);
      if (fault?.kind === 'slow') await delay(fault.delayMs);
      if (fault?.kind === 'vf-gone') this.#takeVfAway(commands);
      if (fault?.kind === 'stuck-command') commands.run('Device.KeepsCommand', keepCommands);
      if (!claim.inPlace) {
        if (operation.ownLatency !== true && latencyMs > 0) await delay(latencyMs);
        evidence = await operation.effect(commands);
      }
    } catch (error) {
      this.#fail(target, intent, error);
      throw error;
    }
    if (fault?.kind === 'guest-hangs') {
      issueCommand(this.store, target, intent, 'Guest.Hang', ({ vm }) => {
        vm.guestHangs = true;
      });
    }
    if (fault?.kind === 'fail-after') {
      // The intent stays: the next attempt finds it and observes what became of it. The PF has long answered.
      this.store.update(hostId, vmId, (o) => {
        leavePfs(o, intent);
      });
      throw new HoldfastError(
        'HostStepFailed',
        `${step} of ${vmId}: the reply was lost, its outcome is unknown.`,
      );
    }
    return this.#conclude(operation, target, key, claim, evidence);
  }

  #commands(
    target: CommandTarget,
    intent: Intent,
    latencyMs: number,
    handed: Handed,
  ): CommandRunner {
    const { hostId, vmId, generation } = target;
    const common = {
      latencyMs,
      timeScale: this.profile.timeScale,
      generation,
      handed,
      sleep: async (ms: number) => {
        await delay(ms);
      },
    };
    const objects = () => this.store.objects(hostId, vmId);
    const ofAdapter: CommandRunner['ofAdapter'] = ({ adapterId, kind }) => ({
      ...common,
      kind,
      run: (command, apply) =>
        issueCommand(this.store, { ...target, adapterId }, intent, command, (o) =>
          apply(objectsOf(o, adapterId)),
        ),
      look: (at) => at(objectsOf(objects(), adapterId)),
      ofAdapter,
    });
    return {
      ...common,
      run: (command, apply) => issueCommand(this.store, target, intent, command, apply),
      look: (at) => at(objects()),
      ofAdapter,
    };
  }

  /** The first VF that the VM still has goes. */
  #takeVfAway(c: CommandRunner): void {
    const first = c.look(({ vm: { adapters } }) => {
      const wanting = adapters.filter(({ wantsVf }) => wantsVf);
      return wanting.find(({ vpci }) => vpci.device !== null) ?? wanting[0];
    });
    if (first === undefined) return;
    c.ofAdapter(first).run('NDIS_STATUS_SWITCH_PORT_REMOVE_VF', applyVfGone);
  }

  /** Observes that the effect is there, and writes the result. */
  #conclude(
    operation: StepOperation,
    target: { hostId: string; vmId: string; step: VmStep; generation: number },
    key: string,
    claim: { readonly intent: Intent; readonly inPlace: boolean },
    evidence: Evidence,
  ): RecordedOutcome {
    const { intent } = claim;
    const { hostId, vmId, step, generation } = target;
    const { recorded, breaches } = this.store.update(hostId, vmId, (o) => {
      if (!ownsMailbox(o, intent)) {
        throw new HoldfastError(
          'Fenced',
          `${step} of ${vmId} ended after a newer attempt or generation took over.`,
        );
      }
      if (operation.ready === undefined && !operation.inPlace(o, generation)) {
        throw new HoldfastError('HostStepFailed', `${step} of ${vmId} ended without its effect.`);
      }
      leaveMailboxes(o, intent);
      const found = checkInvariants(o, 'result');
      const ms = intent.spentMs + (o.nowMs - intent.startedAtMs);
      const status = claim.inPlace && intent.attempts === 1 ? 'alreadyDone' : 'done';
      const seen = claim.inPlace ? (operation.observed?.(o) ?? {}) : evidence;
      const done = outcome(status, o.nowMs, ms, intent.attempts, seen);
      this.store.putResult(hostId, key, done);
      this.store.append(o.host, {
        vmId,
        step,
        generation,
        kind: 'result',
        command: null,
        status: found.length === 0 ? done.status : 'breach',
        detail: found.join('; ') || null,
      });
      return { recorded: done, breaches: found };
    });
    if (breaches.length > 0) {
      throw new HoldfastError('InvariantBreach', `After ${step}: ${breaches.join('; ')}.`);
    }
    return recorded;
  }

  /** A failed attempt: nothing of it is under way any more. */
  #fail(
    target: { hostId: string; vmId: string; step: VmStep; generation: number },
    intent: Intent,
    error: unknown,
  ): void {
    this.store.update(target.hostId, target.vmId, (o) => {
      const owner = ownsMailbox(o, intent);
      if (owner && o.vm.mailbox !== null) {
        o.vm.mailbox = {
          ...o.vm.mailbox,
          ended: true,
          lastFailure: error instanceof Error ? error.message : String(error),
        };
      }
      leavePfs(o, intent);
      this.store.append(o.host, {
        vmId: target.vmId,
        step: target.step,
        generation: target.generation,
        kind: 'failed',
        command: null,
        status: error instanceof HoldfastError ? error.type : 'HostStepFailed',
        detail: error instanceof Error ? error.message : String(error),
      });
    });
  }

  /** A step that is stuck ends only when it was overtaken or nobody waits for it. */
  async #untilOvertaken(call: StepCall, intent: Intent, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && ownsMailbox(this.store.objects(call.hostId, call.vmId), intent)) {
      await this.store.changed(call.hostId, signal);
    }
    throw new HoldfastError('HostStepFailed', `${intent.step} of ${call.vmId} did not answer.`);
  }

  #latencyMs(call: StepCall, step: VmStep, intent: Intent): number {
    const { seed } = this.store.host(call.hostId);
    return sampleMs(
      this.profile,
      step,
      seed,
      `${call.vmId}/${String(call.generation)}/${String(intent.attempts)}`,
    );
  }
}

function outcome(
  status: StepOutcome['status'],
  hostTimeMs: number,
  ms: number,
  attempts: number,
  evidence: Evidence,
  reason?: string,
): RecordedOutcome {
  return {
    status,
    ...(reason === undefined ? {} : { reason }),
    hostTimeMs,
    ms,
    attempts,
    evidence,
  };
}
