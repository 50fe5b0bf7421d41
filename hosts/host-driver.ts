import type {
  BeginRequest,
  Beginning,
  HostDescription,
  HostRegistration,
  JournalEntry,
  JournalQuery,
  Operation,
  ServicingOrder,
  VmDescription,
} from '../contract/host';
import type { FunctionAnswer, FunctionCommandRequest, RemoteAnswer } from '../contract/functions';
import type { Holder } from '../contract/ids';
import type { MigrationOperation, MigrationRequest, ReceptionRequest } from '../contract/migration';
import type { HostStep, HostStepCall, StepCall, StepOutcome, VmStep } from '../contract/steps';

/**
 * All that a host must be able to do, in terms of VMs, functions, interfaces, connections and records.
 *
 * Every effect is durable and happens at most once: a step that is repeated with its key {vmId, generation, direction,
 * step} is answered from its result, an unknown outcome is observed before anything else, an older generation is
 * refused (`Fenced`). All failures are `HoldfastError`s; `refused` kinds have changed nothing.
 */
export interface HostDriver {
  /** Answers at once, whatever the host is doing: the first call of every run. */
  ping(hostId: string): Promise<HostRegistration>;
  describe(hostId: string): Promise<HostDescription>;
  describeVm(hostId: string, vmId: string): Promise<VmDescription>;
  readJournal(hostId: string, query?: JournalQuery): Promise<readonly JournalEntry[]>;
  /** What the host still has of the beginnings of these runs, oldest first. */
  readBeginnings(hostId: string, holders: readonly Holder[]): Promise<readonly Beginning[]>;

  /** Takes the VM's lease for a save, notes the VF's identity and authorises its re-adoption. */
  beginSave(request: BeginRequest): Promise<Operation>;
  /** Takes the lease for a restore; in a servicing run it is the successor's, good for preparation until the VM is down. */
  beginRestore(request: BeginRequest): Promise<Operation>;
  /**
   * Takes the lease of a VM that is to leave this host, and says what its destination must have. Of a move that an earlier
   * run has left undone it says how far that got. A VM that has left is `UnknownVm`, unless it went where this one is to go.
   */
  beginMigration(request: MigrationRequest): Promise<MigrationOperation>;
  /**
   * Checks all that the VM needs here, and keeps a place for it under a lease; `DestinationUnfit` lists all that does not
   * fit, and nothing is changed. What is kept is no VM of this host until it is resumed here.
   */
  beginReception(request: ReceptionRequest): Promise<MigrationOperation>;
  /** A new generation for the same holder: whatever still runs under the old one has no effect any more. */
  fenceOperation(hostId: string, vmId: string, holder: Holder): Promise<Operation>;
  /** The same for a cancel, but a VM that has crossed goes on under its generation: it is too late. */
  withdrawUnlessCrossed(hostId: string, vmId: string, holder: Holder): Promise<Operation>;
  /**
   * Asks for one step of a VM and waits for its answer. A step of a list is performed when its turn comes, and tried again
   * within its limits; a repeat joins what is under way, or is answered. `signal` ends the waiting, not what is asked for.
   */
  ask<Step extends VmStep>(
    step: Step,
    call: StepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>>;
  /** One attempt of a step of a VM, now. `signal` ends waiting (worker shutdown, time-out), never an effect that has begun. */
  perform<Step extends VmStep>(
    step: Step,
    call: StepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>>;

  /** Takes the lease of the whole host; the answer is its generation. */
  acquireHost(hostId: string, holder: Holder, takeOverFrom?: Holder): Promise<number>;
  armServicing(call: HostStepCall, order: ServicingOrder): Promise<void>;
  /** Asks for one attempt of a step of the host; a repeat joins it. While VMs are dark it goes on, whoever still waits. */
  askHost<Step extends HostStep>(
    step: Step,
    call: HostStepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>>;
  performHost<Step extends HostStep>(
    step: Step,
    call: HostStepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>>;
  /** Stops a servicing run: before the host-wide barrier no VM crosses; after it all come back on the old stack. */
  abortServicing(call: HostStepCall, reason: string): Promise<{ readonly crossed: boolean }>;
  releaseHost(call: HostStepCall): Promise<void>;

  /**
   * Sends a command to a function through the host's intermediary: its policy decides, then PF or VF performs it, or the
   * answer says at which other host the device is. Repeating it with the same run answers the same.
   */
  commandFunction(request: FunctionCommandRequest): Promise<FunctionAnswer>;
  /** What another host answered, or why it did not: journaled, and put where the caller wants it. */
  returnRemoteAnswer(answer: RemoteAnswer): Promise<FunctionAnswer>;
}
