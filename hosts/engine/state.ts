import type { Fault } from '../../contract/faults';
import type {
  AdoptedStep,
  OperationSettings,
  PastBlackout,
  ServicingOrder,
  UpdateState,
} from '../../contract/host';
import type { Holder } from '../../contract/ids';
import type { Component, HoldMode, Mode } from '../../contract/inputs';
import type { FailureType } from '../../contract/failures';
import type { AnyStep, Direction, StepCall, StepOutcome, VmStep } from '../../contract/steps';
import type { ProcessIdentity } from './process-identity';

/**
 * What the engine itself keeps of hosts and VMs, whatever hypervisor they have. A driver's own state is beside it, in the
 * same objects: the engine reads and writes only what stands here.
 */

/** A step that has begun and has no result yet. It owns the mailboxes of what it works on. */
export interface Intent {
  readonly key: string;
  readonly step: string;
  /** One attempt; a newer attempt of the same key supersedes the older one's. */
  readonly token: string;
  /** The process that performs it, so that another can tell a slow one from a dead one. */
  readonly owner: ProcessIdentity;
  /** The attempt failed and is waited for by nobody; its time and count stay for the next one. */
  readonly ended: boolean;
  readonly startedAtMs: number;
  readonly attempts: number;
  readonly spentMs: number;
  /** Why the last attempt failed, for the message of the one that gives up. */
  readonly lastFailure: string | null;
}

/** Whatever serves one operation at a time: a VM, a host, or a device that several VMs use. */
export interface Mailbox {
  mailbox: Intent | null;
}

export interface Lease {
  readonly generation: number;
  readonly holder: Holder;
  readonly kind: 'save' | 'restore' | 'recovery' | 'migration';
  readonly settings: OperationSettings;
  /** The generation of the servicing run that it is for; absent: it is for none. */
  readonly servicing?: number;
  /** The generation of the save that gave this lease to its restore when the VM was down. */
  readonly handedOnBy?: number;
  /** The steps that its holder, a fork, does not perform again; absent for every other lease. */
  readonly adopted?: readonly AdoptedStep[];
}

export interface CoreVm extends Mailbox {
  readonly vmId: string;
  /** Highest generation ever issued; anything older than the lease's is refused. */
  generation: number;
  lease: Lease | null;
  /** The lease of a restore that prepares while the save still holds the VM. */
  nextLease: Lease | null;
  faults: Fault[];
  /** What its next worker process is to be, and which one wrote its record; absent: as the one that it has. */
  versions?: {
    readonly target: string;
    readonly fallback: string;
    /** It goes back to `fallback`. */
    readonly retreated: boolean;
  };
  /** Set before the first interface reset or teardown; from here on only forward. */
  pointOfNoReturn: { readonly generation: number; readonly atMs: number } | null;
  /** When the dead-man takes over if nobody else has brought the VM back, by the host's clock. */
  deadlineMs: number | null;
  blackoutMs: number;
  withinBudget: boolean;
  /** The latest that have ended, oldest first. Absent before the first one. */
  blackouts?: readonly PastBlackout[];
  /** How the VM as a whole came back; `kept` leaves the word to its functions. */
  path: 'kept' | 'restarted' | 'stranded';
  pathReason: string | null;
  stranded: string | null;
}

/** What the engine decides by, as the driver sees it on the resource itself. */
export interface CoreImage {
  readonly running: boolean;
  /** Since when the VM is dark, by the host's clock; null: it is not. */
  readonly pausedAtMs: number | null;
  /** `exited`: from the end of its save to the start of its successor. */
  readonly process: 'running' | 'exited';
  readonly record: {
    readonly state: 'writing' | 'committed' | 'claimed' | 'consumed' | 'discarded';
    readonly mode: Mode;
  } | null;
  /** The hold on its VF, as it is set below; null: none. */
  readonly hold: HoldMode | null;
  /** Whether all that a save changes before the pause is unchanged. */
  readonly untouched: boolean;
  /** It belongs to a migration, and does not run at this end of it. */
  readonly away: 'incoming' | 'relinquished' | null;
  /** What its worker process says that it is; once that has ended, what it said. */
  readonly version: string;
}

export interface ServicingState {
  readonly generation: number;
  readonly holder: Holder;
  readonly order: ServicingOrder;
  /** VMs that must all have finished `saveVm` before any crosses, unless they are updated one by one. */
  members: string[];
  /** Those that a rolling run leaves as they are, since their save or restore has failed. */
  left: string[];
  /** Those of a rolling run whose turn it is to be dark, and the devices that serve them one at a time. */
  turns: { readonly vmId: string; readonly devices: readonly string[] }[];
  /** The process in which the commit waits for the VMs; null: none yet. */
  commitArmedBy: ProcessIdentity | null;
  /** Until when VMs may pause, by the host's clock: a live call has opened the gate; null: none has. */
  pauseUntilMs: number | null;
  /** When each guest acknowledges the notice (null: never), and until when that is waited for, by the host's clock. */
  notice: {
    readonly untilMs: number;
    readonly dueMs: Readonly<Record<string, number | null>>;
  } | null;
  /** VMs in the order in which they reached each stage. */
  quiet: string[];
  /** All steps of its save wait on the host. */
  armed: string[];
  restoreWaiting: string[];
  paused: string[];
  saved: string[];
  down: string[];
  /** All members have crossed, or may: the host-wide barrier is open. */
  crossed: boolean;
  aborted: string | null;
  update: UpdateState;
  /** Why the host flipped the update back by itself; absent: it did not. */
  rejected?: string | undefined;
  /** VMs whose restore has been let through the gate, and those of them that run again. */
  admitted: string[];
  resumed: string[];
}

/** One version of a component, by the update that brings it or has brought it. */
export interface Slot {
  readonly component: Component;
  readonly version: string;
  readonly updateId: string;
}

export interface CoreHost extends Mailbox {
  readonly hostId: string;
  /** Of the kernel, when the state was last opened: the moments in it are of that boot's clock. */
  bootId: string;
  /** Those that live here; one that is on its way here, or that has left, is not among them. */
  vmIds: readonly string[];
  generation: number;
  lease: { readonly generation: number; readonly holder: Holder } | null;
  servicing: ServicingState | null;
  versions: Record<Component, string>;
  /** The inactive slot. */
  staged: Slot | null;
  /** What the last flip replaced, so that it can be flipped back. */
  previous: Slot | null;
  faults: Fault[];
  /** Why the host takes no more work after a breach; stranded VMs quarantine it too. */
  quarantine: string | null;
  stranded: string[];
  journalSeq: number;
  /** The host's clock at its latest change, by which a clock that begins anew is told how far it stands behind. */
  clockMs?: number;
  /** Of this state, by whichever process; absent: none since it was made. */
  writes?: number;
  /** Forbidden ones, and how many of them there were when the latest servicing run was armed. */
  commands: { forbidden: number; forbiddenBeforeServicing?: number };
  invariants: { checked: number; violations: string[] };
}

/** Steps of one VM that were issued together; the host keeps their order, whoever performs them. */
export interface IssuedList {
  readonly vmId: string;
  readonly generation: number;
  readonly direction: Direction;
  /** It is void in any other: the VM it was for is gone with its memory. */
  readonly bootId: string;
  /** As they arrived. */
  readonly calls: readonly IssuedStep[];
  /** The process that performs them; null: none has begun. */
  readonly performer: ProcessIdentity | null;
}
export interface IssuedStep {
  readonly step: VmStep;
  readonly call: StepCall;
}

/** Why a step failed for good: what a repeat of it is answered. */
export interface RecordedFailure {
  readonly type: FailureType;
  readonly what: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What a host step works on. Fresh copies; written back together. */
export interface HostObjects<Host extends CoreHost = CoreHost, Vm extends CoreVm = CoreVm> {
  readonly host: Host;
  /** The VMs that live here, read when they are asked for. */
  readonly vms: () => readonly Vm[];
  /** Writes one of them back. */
  readonly putVm: (vm: Vm) => void;
  /** The host's monotonic clock, ms. */
  readonly nowMs: number;
}

/** What a VM step works on: the VM and its host. Fresh copies; written back together. */
export interface CoreObjects {
  readonly host: CoreHost;
  readonly vm: CoreVm;
  /** The host's monotonic clock, ms. */
  readonly nowMs: number;
}

export type RecordedOutcome<Step extends AnyStep = AnyStep> = Omit<StepOutcome<Step>, 'darkForMs'>;
