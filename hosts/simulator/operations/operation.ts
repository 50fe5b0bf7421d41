import type { Handed } from '../../../contract/migration';
import type { FunctionKind } from '../devices/physical-function';
import type { AdapterObjects, AdapterState, Objects } from '../state';

export type Evidence = Readonly<Record<string, unknown>>;

/** Issues commands of one operation on one VM, each a durable transaction of its own. */
export interface CommandRunner<O extends Objects = Objects> {
  run<T>(command: string, apply: (o: O) => T): T;
  /** Looks without issuing a command. */
  look<T>(at: (o: O) => T): T;
  /** The same operation, for one of the VM's adapters. */
  ofAdapter(adapter: Pick<AdapterState, 'adapterId' | 'kind'>): AdapterCommandRunner;
  /** The profile's time for this operation, ms, already scaled. */
  readonly latencyMs: number;
  /** What else in an operation takes time is scaled by this; 1 = real time. */
  readonly timeScale: number;
  readonly generation: number;
  /** What the other end of a migration has handed over for this step. */
  readonly handed: Handed;
  sleep(ms: number): Promise<void>;
}

export interface AdapterCommandRunner extends CommandRunner<AdapterObjects> {
  readonly kind: FunctionKind;
}

/** How one step is performed. Intent, observation and result are the engine's; this is what differs. */
export interface StepOperation {
  /** Its requests go to the PF, which serves one at a time. */
  readonly usesPf?: true;
  /** Sleeps the profile's time itself, in the middle of its commands. */
  readonly ownLatency?: true;
  /** It gives the lease back, so a repeat after a crash finds none. */
  readonly releasesLease?: true;
  /** It may give the lease to the restore that waits, so a repeat after a crash finds that one's. */
  readonly handsLeaseOn?: true;
  /** It only waits, and changes nothing that a lease guards: a run that lost its lease is told so by what it waits for. */
  readonly anyGeneration?: true;
  /** It prepares a restore, so the next lease may do it while the save still holds the VM. */
  readonly preparation?: true;
  /** For steps that wait: tells the host once that they do. */
  arrive?(o: Objects): void;
  /** For steps that wait: whether the time has come. Throws when it never will. */
  ready?(o: Objects, generation: number): boolean;
  /** Whether it is this VM's turn; until then the step has not begun. */
  mayBegin?(o: Objects): boolean;
  /** Why there is nothing to do, if so. */
  notApplicable?(o: Objects, generation: number): string | undefined;
  /** Whether the effect is there: asked before a step, and after it instead of believing it. */
  inPlace(o: Objects, generation: number): boolean;
  /** What a repeat answers whose effect was there already. */
  observed?(o: Objects): Evidence;
  /** Idempotent; whatever it did before its process died, it goes on from there. */
  effect(c: CommandRunner): Evidence | Promise<Evidence>;
}
