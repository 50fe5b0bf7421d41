import type { Gate } from './gates';
import type { HoldfastError } from '../../contract/failures';
import type { Handed } from '../../contract/migration';
import type { AnyStep, EvidenceOf } from '../../contract/steps';

/** What the journal is to say of a command beside that it was done. */
export type Says = (detail: string, status?: string) => void;

/** Issues the commands of one attempt of a step, each durable by itself: the process may die between any two. */
export interface Commands<O> {
  readonly hostId: string;
  /** Null: the step is of the whole host. */
  readonly vmId: string | null;
  readonly step: string;
  readonly generation: number;
  /** Which attempt of the step this is, from 1. */
  readonly attempts: number;
  /** What the other end of a migration has handed over for this step. */
  readonly handed: Handed;
  /** Nobody waits for the attempt any more. */
  readonly signal: AbortSignal;
  /** A command whose effect is a change of the driver's own state: one transaction. */
  run<T>(command: string, apply: (o: O, says: Says) => T): T;
  /**
   * A command whose effect lies outside: that it is issued is journaled, then the effect, then what was seen of it is
   * recorded. The effect must be idempotent, since the process may die before the record.
   */
  act<T>(
    command: string,
    effect: () => Promise<T>,
    record: (o: O, seen: T, says: Says) => void,
  ): Promise<T>;
  /** Looks without issuing a command. */
  look<T>(at: (o: O) => T): T;
  /** The same attempt, for one of the VM's adapters. */
  ofAdapter(adapterId: string): Commands<O>;
  /** Waits, before the effect, until this attempt is overtaken or nobody waits for it. */
  untilOvertaken(): Promise<void>;
}

/** A step that is no work with a driver, whose other steps have its effect. */
export const nothingToDo = (why: string): Operation<unknown> => ({
  notApplicable: () => why,
  effect: () => ({}),
});

/** The rows of a table of operations: each answers the evidence of its own step. */
export type Operations<O, Step extends AnyStep, Or = never> = {
  readonly [Each in Step]: Operation<O, EvidenceOf<Each>> | Or;
};

/** How one step is performed. Lease, intent, observation and result are the engine's; this is what differs. */
export interface Operation<O, Evidence = object, Runner = Commands<O>> {
  /** Its requests go to devices that several VMs use, each of which serves one at a time. */
  readonly usesDevices?: true;
  /** It gives the lease back, so a repeat after a crash finds none. */
  readonly releasesLease?: true;
  /** It may give the lease to the restore that waits, so a repeat after a crash finds that one's. */
  readonly handsLeaseOn?: true;
  /** It only waits, and changes nothing that a lease guards: a run that lost its lease is told so by what it waits for. */
  readonly anyGeneration?: true;
  /** It prepares a restore, so the next lease may do it while the save still holds the VM. */
  readonly preparation?: true;
  /** It only looks: no result of it is kept, a repeat looks again. */
  readonly looks?: true;
  /** What it waits for of its servicing run; nothing else wakes it. Absent: it does not wait for others. */
  readonly waitsAt?: Gate | 'own resume';
  /** Whether nothing is left to be done of the list that it was issued in. */
  endsList?(reason: string | undefined): boolean;
  /** Tells the host that the step waits; repeated by every attempt. */
  arrive?(o: O, generation: number): void;
  /** For steps that wait: whether the time has come. Throws when it never will. */
  ready?(o: O, generation: number): boolean;
  /** For steps that wait for a time too: the next moment at which `ready` may answer otherwise without a change. */
  readyAtMs?(o: O): number | null;
  /** Whether it is this VM's turn; until then the step has not begun. */
  mayBegin?(o: O): boolean;
  /** Why there is nothing to do, if so. Throws when an earlier attempt failed for good. */
  notApplicable?(o: O, generation: number): string | undefined;
  /** With the intent: what must be known of the attempt before its effect. */
  begin?(o: O): void;
  /** Whether the effect is there: asked before a step, and after it instead of believing it. Absent: it leaves none. */
  inPlace?(o: O, generation: number): boolean;
  /** What a repeat answers whose effect was there already. */
  observed?(o: O): Evidence;
  /** Idempotent; whatever it did before its process died, it goes on from there. */
  effect(c: Runner): Evidence | Promise<Evidence>;
  /** Why what the effect has come to is a failure for good. */
  failure?(o: O): HoldfastError | undefined;
  /** Whether the answer may go out; one that nobody needs in a blackout would only cost it time. */
  answerable?(o: O): boolean;
}
