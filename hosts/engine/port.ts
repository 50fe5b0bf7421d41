import type { HostDescription, VmDescription } from '../../contract/host';
import type { VirtualFunctionIdentity } from '../../contract/ids';
import type { Component } from '../../contract/inputs';
import type { AnyStep, HostStep, VmStep } from '../../contract/steps';
import type { HoldfastError } from '../../contract/failures';
import type { Commands, Operations } from './operation';
import type { CommandTarget } from './commands';
import type { CoreImage, CoreObjects, HostObjects, Mailbox } from './state';

export type HostObjectsOf<O extends CoreObjects> = HostObjects<O['host'], O['vm']>;

/** A step that a driver cannot do, and why. */
export interface NotSupported {
  readonly notSupported: string;
}

/** How a stack that was just made active has started. */
export interface Started {
  /** What it says of itself; null: it did not start. */
  readonly version: string | null;
  /** Whether its own checks passed. */
  readonly isSound: boolean;
}

/** What somebody beside the engine says to a command before it is carried out. */
export type Decision =
  | {
      readonly effect: 'deny';
      /** For the journal. */
      readonly rule: string;
      readonly policyVersion: string;
      readonly error: HoldfastError;
      /** The denial protects a held VF: that it was tried is counted. */
      readonly held: boolean;
    }
  | { readonly effect: 'allow'; readonly rule: string; readonly policyVersion: string };

/** What a driver adds to one attempt of a step; the simulator's faults and latencies come in here. */
export interface Attempt<Runner> {
  /** For the journal of the intent; null: nothing to say. */
  readonly note: string | null;
  before(c: Runner, isInPlace: boolean): Promise<void>;
  /** A failure here is a reply that was lost: the outcome of the attempt stays unknown. */
  after(c: Runner): void;
}

/**
 * All that the engine asks of a driver. `O` is what a VM step of it works on: the engine's own state of VM and host, with
 * the driver's beside it. Everything is answered from that state, except effects, which may lie outside.
 */
export interface Port<O extends CoreObjects> {
  /** Its name in the registration of a host. */
  readonly driver: string;
  /** Whether faults can be injected. */
  readonly faults: boolean;
  readonly operations: Operations<O, Exclude<VmStep, GateStep | LeaseStep>, NotSupported>;
  /** Steps of the whole host that are the driver's own. */
  readonly hostOperations: Operations<
    HostObjectsOf<O>,
    Exclude<HostStep, UpdateStep>,
    NotSupported
  >;
  image(vm: O['vm']): CoreImage;
  describe(o: O): VmDescription;
  /** Looks at the resource and writes what it is into the driver's state; absent: that state is the resource. */
  observe?(hostId: string, vmId: string): Promise<void>;
  /** Of the first function that the VM had when its operation began. */
  identityBefore(vm: O['vm']): VirtualFunctionIdentity | null;
  /** Acts on the resource itself: what still runs for an older generation can do nothing to it any more. */
  fence?(hostId: string, vmId: string, generation: number): Promise<void>;
  /** What takes back an operation on the VM that has not crossed. */
  undoSteps(vm: O['vm']): readonly VmStep[];
  /** Nothing of the successor that was prepared is left. */
  discardSuccessor(vm: O['vm']): void;
  /** Throws if something is pending at the VM that a save cannot begin over. */
  refuseUnready?(vm: O['vm']): void;
  /** Throws unless the VM can come back from its record, by the successor that was prepared for it. */
  refuseUncrossable(o: O): void;
  /** Where a save begins from: what is compared with it afterwards, and nothing left of an earlier one. */
  noteBefore(o: O): void;
  /** A VM that has left or is on its way here is none of this host's: throws for one. */
  refuseUnlessHere?(o: O): void;
  /** Throws for a VM that something else is being done with, which must end first. */
  refuseElsewhere?(vm: O['vm']): void;
  /** May the functions that are to be held be taken up again afterwards? Asked when a save begins; answers why not. */
  authorise?(o: O): HoldfastError | undefined;
  /** What the older generation wrote of the record becomes the new one's. */
  adoptRecord?(vm: O['vm'], from: number, to: number): void;
  /** The driver's part of how the host, or one VM of it, was when a run took it; `null`: it cannot be made again. */
  beginning?(o: O | HostObjectsOf<O>): unknown;
  /** All moments in these states are so much later by the clock of this boot; absent: the driver keeps none. */
  moveClock?(host: O['host'], vms: readonly O['vm'][], byMs: number): void;
  /** The driver's part of what a host says of itself. */
  describeHost(
    o: HostObjectsOf<O>,
  ): Pick<HostDescription, 'capabilities' | 'physicalFunctions' | 'expected'>;
  /** Throws unless the VM is what it was when its operation began. */
  verify?(o: O): void;
  /** Starts what was just made active, or what a VM's successor is made of, and looks at it. */
  startStack(
    host: O['host'],
    component: Component,
    version: { readonly before: string; readonly now: string },
  ): Started;
  attempt?(step: AnyStep, o: O | HostObjectsOf<O>): Attempt<Commands<O>> | undefined;
  /** Devices of the host that the VM's functions are of, each of which serves one at a time. */
  devices?(o: O): readonly Mailbox[];
  /** Their ids: two VMs of a rolling run that share one are not dark together. Absent: none do. */
  servesOneAtATime?(vm: O['vm']): readonly string[];
  /** What must not be done to a VF that is held; absent: no command could lose one. */
  readonly custody?: {
    /** Commands that would lose it. */
    readonly forbidden: ReadonlySet<string>;
    /** The hold that such a command would meet: of the adapter, or of any where it is for the whole VM. */
    holdOf(vm: O['vm'], adapterId: string | undefined): { readonly vfId: number } | undefined;
  };
  hasSeveralAdapters?(vm: O['vm']): boolean;
  /** What a policy says to the command, before it is carried out and after. */
  decide?(o: O, target: CommandTarget, command: string): Decision | undefined;
  carriedOut?(o: O, target: CommandTarget, command: string): void;
  /** Checks the invariants of the resource; answers the breaches, worded for people. */
  check(o: O, when: 'command' | 'result'): string[];
}

/** Steps that the engine performs by itself, for every driver. */
export type GateStep = 'awaitPause' | 'crossPointOfNoReturn' | 'awaitUpdate' | 'awaitResume';
export type LeaseStep = 'concludeSave' | 'verifyRestore' | 'endOperation' | 'strandVm';
export type UpdateStep =
  'stageUpdate' | 'openGate' | 'commitUpdate' | 'rollBackUpdate' | 'verifyHost';
