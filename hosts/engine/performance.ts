import { HoldfastError } from '../../contract/failures';
import type { JournalEntry } from '../../contract/host';
import type { AnyStep, EvidenceOf, StepOutcome } from '../../contract/steps';
import { reasonOf, whatFailed } from './commands';
import { isBlocked, leaveMailboxes, owns, takeMailboxes } from './mailbox';
import type { Commands, Operation, Says } from './operation';
import type { Attempt } from './port';
import type { CoreHost, Intent, Mailbox, RecordedOutcome } from './state';
import type { Topic } from './changes';
import { UNCHANGED, type StepRecords } from './store';

/** How soon it is found out that whoever holds a step up has died, ms. */
const HELD_UP_MS = 50;

/** One call of a step, on a VM or on a whole host: all in which the two differ. */
export interface Subject<O, Step extends AnyStep> {
  readonly hostId: string;
  readonly vmId: string | null;
  readonly step: Step;
  readonly generation: number;
  readonly key: string;
  readonly operation: Operation<O, EvidenceOf<Step>>;
  readonly handed: Commands<O>['handed'];
  /** Changes of these wake it while it waits. */
  readonly topics: readonly Topic[];
  /** Whether what is under way at its mailboxes must end first. */
  readonly waitsForOthers: boolean;
  read(): O;
  update<T>(change: (o: O) => T): T;
  hostOf(o: O): CoreHost;
  nowMs(o: O): number;
  darkForMs(o: O): number;
  /** The mailboxes that the step takes, its own first. */
  boxes(o: O): readonly [Mailbox, ...Mailbox[]];
  admit(o: O): void;
  attempt(o: O): Attempt<Commands<O>> | undefined;
  issue<T>(
    intent: Intent,
    command: string,
    adapterId: string | undefined,
    apply: (o: O, says: Says) => T,
  ): T;
  breaches(o: O): readonly string[];
  /** When it is too late for the step; null: it never is. */
  giveUpAtMs?(o: O): number | null;
  /** Has the driver look at the resource; absent: its state is the resource. */
  observe?(): Promise<void>;
}

/** A step that has its mailbox and goes ahead, or the answer that needs no more work. */
type Claim<O, Step extends AnyStep> =
  { readonly answer: RecordedOutcome<Step> } | { readonly claimed: Claimed<O> };
interface Claimed<O> {
  readonly intent: Intent;
  readonly attempt: Attempt<Commands<O>> | undefined;
  readonly isInPlace: boolean;
}

/**
 * Performs one call of a step: durable intent → idempotent effect, command by command → observe → durable result. The
 * process may die between any two of these; the next attempt of the same key observes before it does anything.
 */
export class StepPerformance<O, Step extends AnyStep> {
  constructor(
    private readonly records: StepRecords,
    private readonly s: Subject<O, Step>,
    private readonly signal: AbortSignal,
  ) {}

  async outcome(): Promise<StepOutcome<Step>> {
    const { s } = this;
    const { operation } = s;
    const waitedFrom = performance.now();
    if (operation.arrive !== undefined) {
      s.update((o) => {
        if (s.vmId === null) s.admit(o);
        operation.arrive?.(o, s.generation);
      });
    }
    const claim = await this.#claim();
    if ('answer' in claim) return { ...claim.answer, darkForMs: s.darkForMs(s.read()) };
    const outcome = await this.#effect(claim.claimed);
    if (s.vmId === null || operation.ready === undefined) return outcome;
    return { ...outcome, ms: Math.max(outcome.ms, performance.now() - waitedFrom) };
  }

  /** Waits until the step may begin, then writes its intent; answers at once what is known already. */
  async #claim(): Promise<Claim<O, Step>> {
    const { s, records } = this;
    const { operation, step, key, hostId, vmId, topics } = s;
    // Who waits for others looks before it takes the store's lock: most looks find that its time has not come.
    const waits = operation.ready !== undefined || operation.mayBegin !== undefined;
    for (;;) {
      const known = records.result<Step>(hostId, key);
      if (known !== undefined) {
        const status = known.status === 'done' ? 'alreadyDone' : known.status;
        return { answer: { ...known, status } };
      }
      // What changes from here on ends the wait below, so that nothing is missed in between.
      const seen = records.changes.seen(topics);
      if (s.observe !== undefined) await s.observe();
      const before = waits ? s.read() : undefined;
      if (before === undefined || this.#isDue(before)) {
        const claim = this.#tryClaim();
        if (claim !== UNCHANGED) return claim;
      }
      if (this.signal.aborted) {
        const what = vmId === null ? 'VMs' : 'turn';
        const why = `${step} of ${vmId ?? hostId} still waits for its ${what}.`;
        throw new HoldfastError('NotReachedInTime', why);
      }
      // From the same look that found it not due: a moment that came after that look still wakes it.
      const nextMs = this.#lookAgainMs(before ?? s.read());
      await records.changes.after(topics, seen, this.signal, nextMs);
    }
  }

  /** When to look again although nothing has changed; null: never. */
  #lookAgainMs(o: O): number | null {
    const { s } = this;
    // Who has the mailbox may die, and then nobody writes that it is free.
    const isHeldUp = s.waitsForOthers && isBlocked(s.boxes(o), s.key);
    const nowMs = s.nowMs(o);
    const moments = [
      isHeldUp ? nowMs + HELD_UP_MS : Infinity,
      s.giveUpAtMs?.(o) ?? Infinity,
      s.operation.readyAtMs?.(o) ?? Infinity,
    ].filter((atMs) => atMs >= nowMs);
    const next = Math.min(...moments);
    return next === Infinity ? null : next;
  }

  /** Whether nothing is to be waited for any more; a step that does not apply waits for nothing. Refuses who may not ask. */
  #isDue(o: O): boolean {
    const { operation, generation, waitsForOthers, key } = this.s;
    this.s.admit(o);
    if (operation.notApplicable?.(o, generation) !== undefined) return true;
    return (
      operation.ready?.(o, generation) !== false &&
      operation.mayBegin?.(o) !== false &&
      !(waitsForOthers && isBlocked(this.s.boxes(o), key))
    );
  }

  #tryClaim(): Claim<O, Step> | typeof UNCHANGED {
    const { s } = this;
    const { operation, key, step, generation } = s;
    return s.update((o) => {
      if (!this.#isDue(o)) return UNCHANGED;
      const isInPlace = operation.inPlace?.(o, generation) === true;
      const boxes = s.boxes(o);
      // An attempt whose reply was lost may be why there is nothing left to do: it is observed, not skipped.
      const own = boxes[0].mailbox?.key === key ? boxes[0].mailbox : null;
      const reason =
        own !== null && isInPlace ? undefined : operation.notApplicable?.(o, generation);
      const nowMs = s.nowMs(o);
      if (reason !== undefined) {
        if (own !== null) leaveMailboxes(boxes, own);
        const none = { hostTimeMs: nowMs, ms: 0, attempts: 1, evidence: {} };
        return { answer: { status: 'notApplicable', reason, ...none } };
      }
      // A step that does not apply is due at once; one that is observed instead still needs its devices.
      if (s.waitsForOthers && isBlocked(boxes, key)) return UNCHANGED;
      const { intent, unknownOutcome } = takeMailboxes(boxes, key, step, nowMs);
      const attempt = s.attempt(o);
      operation.begin?.(o);
      this.#journal(o, 'intent', unknownOutcome ? 'observing' : 'begun', attempt?.note ?? null);
      return { claimed: { intent, attempt, isInPlace } };
    });
  }

  async #effect({ intent, attempt, isInPlace }: Claimed<O>): Promise<StepOutcome<Step>> {
    const { s } = this;
    const c = this.#commands(intent);
    let evidence: EvidenceOf<Step> = {};
    try {
      await attempt?.before(c, isInPlace);
      if (!isInPlace) evidence = await s.operation.effect(c);
    } catch (error) {
      this.#fail(intent, error);
      throw error;
    }
    try {
      attempt?.after(c);
    } catch (lost) {
      // The intent stays, so that the next attempt observes the outcome. The devices have answered: they are free.
      s.update((o) => {
        leaveMailboxes(s.boxes(o).slice(1), intent);
        this.#journal(o, 'failed', 'HostStepFailed', reasonOf(lost));
      });
      throw lost;
    }
    const failure = s.operation.failure?.(s.read());
    if (failure !== undefined) {
      await this.#untilAnswerable();
      this.#fail(intent, failure);
      throw failure;
    }
    if (s.observe !== undefined) await s.observe();
    const concluded = this.#conclude(intent, isInPlace, evidence);
    await this.#untilAnswerable();
    return concluded;
  }

  async #untilAnswerable(): Promise<void> {
    const { operation } = this.s;
    if (operation.answerable !== undefined)
      await this.#until((o) => operation.answerable?.(o) === true);
  }

  /** Waits until it holds, or nobody waits for the step any more. */
  async #until(holds: (o: O) => boolean): Promise<void> {
    const { s, records, signal } = this;
    while (!signal.aborted) {
      const seen = records.changes.seen(s.topics);
      if (holds(s.read())) return;
      await records.changes.after(s.topics, seen, signal);
    }
  }

  #commands(intent: Intent): Commands<O> {
    const { s, signal } = this;
    const { hostId, vmId, step, generation, handed } = s;
    const of = (adapterId: string | undefined): Commands<O> => {
      const run: Commands<O>['run'] = (command, apply) =>
        s.issue(intent, command, adapterId, apply);
      return {
        ...{ hostId, vmId, step, generation, handed, signal, run },
        attempts: intent.attempts,
        act: async (command, effect, record) => {
          run(`${command} (issued)`, () => undefined);
          const seen = await effect();
          run(command, (o, says) => {
            record(o, seen, says);
          });
          return seen;
        },
        look: (at) => at(s.read()),
        ofAdapter: of,
        untilOvertaken: () => this.#until((o) => !owns(s.boxes(o)[0], intent)),
      };
    };
    return of(undefined);
  }

  /** Observes that the effect is there, and writes the result. */
  #conclude(intent: Intent, isInPlace: boolean, evidence: EvidenceOf<Step>): StepOutcome<Step> {
    const { s } = this;
    const { operation, step, generation, hostId } = s;
    const whom = s.vmId ?? hostId;
    const { recorded, breaches } = s.update((o) => {
      const boxes = s.boxes(o);
      if (!owns(boxes[0], intent)) {
        const why = `${step} of ${whom} ended after a newer attempt or generation took over.`;
        throw new HoldfastError('Fenced', why);
      }
      if (operation.inPlace?.(o, generation) === false)
        throw new HoldfastError('HostStepFailed', `${step} of ${whom} ended without its effect.`);
      leaveMailboxes(boxes, intent);
      const found = s.breaches(o);
      const nowMs = s.nowMs(o);
      const done: RecordedOutcome<Step> = {
        status: isInPlace && intent.attempts === 1 ? 'alreadyDone' : 'done',
        hostTimeMs: nowMs,
        ms: intent.spentMs + (nowMs - intent.startedAtMs),
        attempts: intent.attempts,
        evidence: isInPlace ? (operation.observed?.(o) ?? {}) : evidence,
      };
      if (operation.looks !== true) this.records.putResult(hostId, s.key, done);
      const said = found.length === 0 ? done.status : 'breach';
      this.#journal(o, 'result', said, found.join('; ') || null);
      return { recorded: { ...done, darkForMs: s.darkForMs(o) }, breaches: found };
    });
    if (breaches.length > 0)
      throw new HoldfastError('InvariantBreach', `After ${step}: ${breaches.join('; ')}.`);
    return recorded;
  }

  /** A failed attempt: nothing of it is under way any more. */
  #fail(intent: Intent, error: unknown): void {
    this.s.update((o) => {
      const [own, ...devices] = this.s.boxes(o);
      if (own.mailbox !== null && owns(own, intent))
        own.mailbox = { ...own.mailbox, ended: true, lastFailure: whatFailed(error) };
      leaveMailboxes(devices, intent);
      const type = error instanceof HoldfastError ? error.type : 'HostStepFailed';
      this.#journal(o, 'failed', type, reasonOf(error));
    });
  }

  #journal(o: O, kind: JournalEntry['kind'], status: string, detail: string | null): void {
    const { s } = this;
    const { vmId, step, generation } = s;
    const entry = { vmId, step, generation, kind, command: null, status, detail };
    this.records.append(s.hostOf(o), entry);
  }
}
