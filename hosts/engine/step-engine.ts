import { HoldfastError } from '../../contract/failures';
import type { JournalEntry } from '../../contract/host';
import type {
  AnyStep,
  EvidenceOf,
  HostStep,
  HostStepCall,
  StepCall,
  StepOutcome,
  VmStep,
} from '../../contract/steps';
import type { HostDriver } from '../host-driver';
import { admit, admitHost, refuseIfTooDark } from './admission';
import { breachesOf, issueCommand, overtaken, reasonOf } from './commands';
import { isBlocked, leaveMailboxes, owns, takeMailboxes } from './mailbox';
import type { Commands, Operation, Says } from './operation';
import { darkForMs } from './phase';
import {
  hostOperationsOf,
  vmOperationsOf,
  type HostOperations,
  type VmOperations,
} from './operations';
import type { Attempt, HostObjectsOf, NotSupported, Port } from './port';
import type { CoreHost, CoreObjects, Intent, Mailbox, RecordedOutcome } from './state';
import type { HostStore, Topic } from './store';

/** One call of a step, on a VM or on a whole host: all in which the two differ. */
interface Subject<O, Step extends AnyStep = AnyStep> {
  readonly hostId: string;
  readonly vmId: string | null;
  readonly step: Step;
  readonly generation: number;
  readonly key: string;
  readonly operation: Operation<O, EvidenceOf<Step>>;
  readonly handed: Commands<O>['handed'];
  /** What a change that it waits for is told under. */
  readonly topics: readonly Topic[];
  read(): O;
  update<T>(change: (o: O) => T): T;
  hostOf(o: O): CoreHost;
  /** The mailboxes that the step takes, its own first. */
  boxes(o: O): readonly Mailbox[];
  /** Whether what is under way at them must end first. */
  readonly waitsForOthers: boolean;
  admit(o: O): void;
  issue<T>(
    intent: Intent,
    command: string,
    adapterId: string | undefined,
    apply: (o: O, says: Says) => T,
  ): T;
  breaches(o: O): readonly string[];
  darkForMs(o: O): number;
}

/** A step that has its mailbox and goes ahead, or the answer that needs no more work. */
type Claim<O, Step extends AnyStep> =
  | { readonly answer: RecordedOutcome<Step> }
  | {
      readonly intent: Intent;
      readonly attempt: Attempt<Commands<O>> | undefined;
      readonly isInPlace: boolean;
    };
type Claimed<O> = Exclude<Claim<O, AnyStep>, { answer: RecordedOutcome }>;

/**
 * Performs steps: durable intent → idempotent effect, command by command → observe → durable result. The process may die
 * between any two of these; the next attempt of the same key observes before it does anything.
 */
export class StepEngine<O extends CoreObjects> {
  readonly #ofVms: VmOperations<O>;
  readonly #ofHosts: HostOperations<O>;

  constructor(
    private readonly store: HostStore<O>,
    private readonly port: Port<O>,
  ) {
    this.#ofVms = vmOperationsOf(port);
    this.#ofHosts = hostOperationsOf(port);
  }

  readonly perform: HostDriver['perform'] = async (step, call, signal) =>
    this.#perform(this.#ofVm(step, call), signal);

  readonly performHost: HostDriver['performHost'] = async (step, call, signal) =>
    this.#perform(this.#ofHost(step, call), signal);

  #ofVm<Step extends VmStep>(step: Step, call: StepCall): Subject<O, Step> {
    const { store, port } = this;
    const { hostId, vmId, generation, handed = {} } = call;
    const operation = supported(port.driver, step, this.#ofVms[step]);
    const dark = ({ vm, nowMs }: O) => darkForMs(port.image(vm), nowMs);
    return {
      ...{ hostId, vmId, step, generation, operation, handed },
      key: `${vmId}/${generation}/${call.direction}/${step}`,
      topics: [
        { hostId, vmId },
        ...(operation.usesDevices === true ? [{ hostId, of: 'devices' } as const] : []),
        ...(operation.ready === undefined && operation.mayBegin === undefined
          ? []
          : [{ hostId, of: 'gates' } as const]),
      ],
      read: () => store.objects(hostId, vmId),
      update: (change) => store.update(hostId, vmId, change),
      hostOf: ({ host }) => host,
      boxes: (o) => [o.vm, ...(operation.usesDevices === true ? (port.devices?.(o) ?? []) : [])],
      waitsForOthers: true,
      admit: (o) => {
        admit(operation, step, o, call);
        refuseIfTooDark(step, o, call, dark(o));
      },
      issue: (intent, command, adapterId, apply) => {
        const target = { hostId, vmId, step, generation };
        const named = adapterId === undefined ? target : { ...target, adapterId };
        return issueCommand({ store, port }, named, intent, command, apply);
      },
      breaches: (o) => breachesOf(port, o, 'result'),
      darkForMs: dark,
    };
  }

  /** Its steps come one after the other, from whoever holds the host: a roll-back overtakes a commit that hangs. */
  #ofHost<Step extends HostStep>(step: Step, call: HostStepCall): Subject<HostObjectsOf<O>, Step> {
    const { store, port } = this;
    const { hostId, generation } = call;
    return {
      ...{ hostId, vmId: null, step, generation, handed: {} },
      operation: supported(port.driver, step, this.#ofHosts[step]),
      key: `host/${generation}/forward/${step}`,
      topics: [{ hostId, of: 'gates' }],
      read: () => store.hostObjects(hostId),
      update: (change) => store.updateHost(hostId, change),
      hostOf: ({ host }) => host,
      boxes: ({ host }) => [host],
      waitsForOthers: false,
      admit: ({ host }) => {
        admitHost(host, call, step);
      },
      issue: (intent, command, _adapterId, apply) =>
        store.updateHost(hostId, (o) => {
          const { host } = o;
          admitHost(host, call, step);
          if (!owns(host, intent)) throw overtaken({ step, vmId: hostId }, command);
          let said: readonly [status: string, detail: string | null] = ['done', null];
          const value = apply(o, (detail, status = 'done') => {
            said = [status, detail];
          });
          const [status, detail] = said;
          const entry = { vmId: null, step, generation, kind: 'command', command } as const;
          store.append(host, { ...entry, status, detail });
          return value;
        }),
      breaches: () => [],
      darkForMs: () => 0,
    };
  }

  async #perform<S extends O | HostObjectsOf<O>, Step extends AnyStep>(
    s: Subject<S, Step>,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>> {
    const waitedFrom = performance.now();
    if (s.operation.arrive !== undefined) {
      s.update((o) => {
        if (s.vmId === null) s.admit(o);
        s.operation.arrive?.(o);
      });
    }
    const claim = await this.#claim(s, signal);
    const recorded = 'answer' in claim ? claim.answer : await this.#effect(s, claim, signal);
    const waitedMs = 'answer' in claim ? 0 : performance.now() - waitedFrom;
    const waits = s.vmId !== null && s.operation.ready !== undefined;
    return {
      ...recorded,
      ms: waits ? Math.max(recorded.ms, waitedMs) : recorded.ms,
      darkForMs: s.darkForMs(s.read()),
    };
  }

  /** Waits until the step may begin, then writes its intent; answers at once what is known already. */
  async #claim<S extends O | HostObjectsOf<O>, Step extends AnyStep>(
    s: Subject<S, Step>,
    signal: AbortSignal,
  ): Promise<Claim<S, Step>> {
    const { operation, step, key, hostId, vmId } = s;
    for (;;) {
      const known = this.store.result<Step>(hostId, key);
      if (known !== undefined)
        return {
          answer: { ...known, status: known.status === 'done' ? 'alreadyDone' : known.status },
        };
      // What changes from here on ends the wait below, so that nothing is missed in between.
      const seen = this.store.seen(s.topics);
      if (vmId !== null && this.port.observe !== undefined) await this.port.observe(hostId, vmId);
      const before = s.read();
      s.admit(before);
      const isApplicable = operation.notApplicable?.(before, s.generation) === undefined;
      const isDue =
        operation.ready?.(before, s.generation) !== false &&
        operation.mayBegin?.(before) !== false &&
        !(s.waitsForOthers && isBlocked(s.boxes(before), key));
      if (!isApplicable || isDue) {
        const claim = this.#tryClaim(s);
        if (claim !== undefined) return claim;
      }
      if (signal.aborted) {
        const whom = vmId === null ? `${step} of ${hostId}` : `${step} of ${vmId}`;
        throw new HoldfastError(
          'NotReachedInTime',
          `${whom} still waits for its ${vmId === null ? 'VMs' : 'turn'}.`,
        );
      }
      await this.store.changed(s.topics, seen, signal, operation.readyAtMs?.(before) ?? null);
    }
  }

  #tryClaim<S extends O | HostObjectsOf<O>, Step extends AnyStep>(
    s: Subject<S, Step>,
  ): Claim<S, Step> | undefined {
    const { operation, key, step, generation } = s;
    return s.update((o) => {
      s.admit(o);
      const isInPlace = operation.inPlace?.(o, generation) === true;
      const boxes = s.boxes(o);
      // An attempt whose reply was lost may be why there is nothing left to do: it is observed, not skipped.
      const own = boxes[0]?.mailbox?.key === key ? boxes[0].mailbox : null;
      const reason =
        own !== null && isInPlace ? undefined : operation.notApplicable?.(o, generation);
      if (reason !== undefined) {
        if (own !== null) leaveMailboxes(boxes, own);
        return { answer: outcome('notApplicable', o.nowMs, 0, 1, {}, reason) };
      }
      if (s.waitsForOthers && isBlocked(boxes, key)) return undefined;
      const { intent, unknownOutcome } = takeMailboxes(boxes, key, step, o.nowMs);
      const attempt = this.port.attempt?.(step, o) as Attempt<Commands<S>> | undefined;
      operation.begin?.(o);
      this.#journal(s, o, 'intent', unknownOutcome ? 'observing' : 'begun', attempt?.note ?? null);
      return { intent, attempt, isInPlace };
    });
  }

  async #effect<S extends O | HostObjectsOf<O>, Step extends AnyStep>(
    s: Subject<S, Step>,
    claim: Claimed<S>,
    signal: AbortSignal,
  ): Promise<RecordedOutcome<Step>> {
    const { intent, attempt, isInPlace } = claim;
    const c = this.#commands(s, intent, signal);
    let evidence: EvidenceOf<Step> = {};
    try {
      await attempt?.before(c, isInPlace);
      if (!isInPlace) evidence = await s.operation.effect(c);
    } catch (error) {
      this.#fail(s, intent, error);
      throw error;
    }
    try {
      attempt?.after(c);
    } catch (lost) {
      // The intent stays: the next attempt finds it and observes what became of it. The devices have long answered.
      s.update((o) => {
        leaveMailboxes(s.boxes(o).slice(1), intent);
      });
      throw lost;
    }
    const failure = s.operation.failure?.(s.read());
    if (failure !== undefined) {
      await this.#untilAnswerable(s, signal);
      this.#fail(s, intent, failure);
      throw failure;
    }
    if (s.vmId !== null && this.port.observe !== undefined)
      await this.port.observe(s.hostId, s.vmId);
    const concluded = this.#conclude(s, claim, evidence);
    await this.#untilAnswerable(s, signal);
    return concluded;
  }

  async #untilAnswerable<S extends O | HostObjectsOf<O>>(
    s: Subject<S>,
    signal: AbortSignal,
  ): Promise<void> {
    const { operation } = s;
    while (operation.answerable !== undefined && !signal.aborted) {
      const seen = this.store.seen(s.topics);
      if (operation.answerable(s.read())) return;
      await this.store.changed(s.topics, seen, signal);
    }
  }

  #commands<S extends O | HostObjectsOf<O>>(
    s: Subject<S>,
    intent: Intent,
    signal: AbortSignal,
  ): Commands<S> {
    const { hostId, vmId, step, generation, handed } = s;
    const of = (adapterId: string | undefined): Commands<S> => {
      const run: Commands<S>['run'] = (command, apply) =>
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
        untilOvertaken: async () => {
          for (;;) {
            const seen = this.store.seen(s.topics);
            const [own] = s.boxes(s.read());
            if (signal.aborted || own === undefined || !owns(own, intent)) return;
            await this.store.changed(s.topics, seen, signal);
          }
        },
      };
    };
    return of(undefined);
  }

  /** Observes that the effect is there, and writes the result. */
  #conclude<S extends O | HostObjectsOf<O>, Step extends AnyStep>(
    s: Subject<S, Step>,
    { intent, isInPlace }: Claimed<S>,
    evidence: EvidenceOf<Step>,
  ): RecordedOutcome<Step> {
    const { operation, step, generation, hostId } = s;
    const whom = s.vmId ?? hostId;
    const { recorded, breaches } = s.update((o) => {
      const boxes = s.boxes(o);
      if (boxes[0] === undefined || !owns(boxes[0], intent)) {
        throw new HoldfastError(
          'Fenced',
          `${step} of ${whom} ended after a newer attempt or generation took over.`,
        );
      }
      if (operation.inPlace?.(o, generation) === false) {
        throw new HoldfastError('HostStepFailed', `${step} of ${whom} ended without its effect.`);
      }
      leaveMailboxes(boxes, intent);
      const found = s.breaches(o);
      const ms = intent.spentMs + (o.nowMs - intent.startedAtMs);
      const status = isInPlace && intent.attempts === 1 ? 'alreadyDone' : 'done';
      const seen = isInPlace ? (operation.observed?.(o) ?? {}) : evidence;
      const done = outcome<Step>(status, o.nowMs, ms, intent.attempts, seen);
      if (operation.looks !== true) this.store.putResult(hostId, s.key, done);
      const said = found.length === 0 ? done.status : 'breach';
      this.#journal(s, o, 'result', said, found.join('; ') || null);
      return { recorded: done, breaches: found };
    });
    if (breaches.length > 0)
      throw new HoldfastError('InvariantBreach', `After ${step}: ${breaches.join('; ')}.`);
    return recorded;
  }

  /** A failed attempt: nothing of it is under way any more. */
  #fail<S extends O | HostObjectsOf<O>>(s: Subject<S>, intent: Intent, error: unknown): void {
    s.update((o) => {
      const [own, ...devices] = s.boxes(o);
      if (own?.mailbox != null && owns(own, intent))
        own.mailbox = { ...own.mailbox, ended: true, lastFailure: reasonOf(error) };
      leaveMailboxes(devices, intent);
      const type = error instanceof HoldfastError ? error.type : 'HostStepFailed';
      this.#journal(s, o, 'failed', type, reasonOf(error));
    });
  }

  #journal<S extends O | HostObjectsOf<O>>(
    s: Subject<S>,
    o: S,
    kind: JournalEntry['kind'],
    status: string,
    detail: string | null,
  ): void {
    const { vmId, step, generation } = s;
    const entry = { vmId, step, generation, kind, command: null, status, detail };
    this.store.append(s.hostOf(o), entry);
  }
}

/** A step that the driver does not know is refused before anything is asked of the host. */
function supported<O, Step extends AnyStep>(
  driver: string,
  step: Step,
  operation: Operation<O, EvidenceOf<Step>> | NotSupported,
): Operation<O, EvidenceOf<Step>> {
  if ('notSupported' in operation) throw notSupported(driver, step, operation.notSupported);
  return operation;
}

export const notSupported = (driver: string, step: string, why: string) =>
  new HoldfastError('NotSupportedByDriver', `The ${driver} driver cannot do ${step}: ${why}.`, {
    driver,
    step,
  });

function outcome<Step extends AnyStep>(
  status: StepOutcome['status'],
  hostTimeMs: number,
  ms: number,
  attempts: number,
  evidence: EvidenceOf<Step>,
  reason?: string,
): RecordedOutcome<Step> {
  return {
    status,
    ...(reason === undefined ? {} : { reason }),
    hostTimeMs,
    ms,
    attempts,
    evidence,
  };
}
