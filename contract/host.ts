import type { Holder, VirtualFunctionIdentity } from './ids';
import type { Fault } from './faults';
import type { Component, HoldMode, Mode, Rolling, Update } from './inputs';
import type { NeededFunction } from './migration';
import type { PhysicalFunctionFacts } from './migration-fit';
import type { DataPath, VmFacts } from './results';
import type { AnyStep, EvidenceOf, VmStep } from './steps';

/** How long something takes at a host, ms: the median and the 99th percentile. */
export interface Spread {
  readonly p50Ms: number;
  readonly p99Ms: number;
}
/** What a host expects of the dark steps of a save and of a restore, by mode, and of the commit of an update. */
export type ExpectedTimes = Readonly<
  Record<Mode, { readonly save: Spread; readonly restore: Spread }>
> & { readonly commit: Spread };

/** How a host is registered: what a run needs to know before it touches anything. */
export interface HostRegistration {
  readonly hostId: string;
  readonly driver: string;
  /** Whether faults can be injected. */
  readonly faults: boolean;
  /** Steps that its driver cannot do; absent: it can do all. */
  readonly unsupported?: readonly AnyStep[];
}

/** What a host says of itself and of all its VMs. */
export interface HostDescription extends HostRegistration {
  readonly bootId: string;
  readonly versions: Readonly<Record<Component, string>>;
  readonly capabilities: {
    /** Whether connection custody lies below the VPCI VSP, so that the VSP itself can be updated under a held VF. */
    readonly custodyBelowVsp: boolean;
    /** Versions of saved records that both the present and a staged stack read. */
    readonly recordVersions: readonly number[];
  };
  /** Absent: its driver cannot say. */
  readonly expected?: ExpectedTimes;
  readonly holder: Holder | null;
  readonly quarantine: string | null;
  readonly vms: readonly VmDescription[];
  /** What VMs that come to it can get. Absent: hosts of before did not say. */
  readonly physicalFunctions?: readonly PhysicalFunctionFacts[];
  /** The number of the latest entry of its journal; 0: there is none. */
  readonly journalSeq: number;
  readonly forbiddenCommands: number;
  /** Of these, since the latest servicing run was armed. */
  readonly forbiddenSinceServicing: number;
  /** The host's wall clock, ms since 1970: what the ends of past blackouts are compared with. */
  readonly describedAtMs: number;
  readonly invariants: { readonly checked: number; readonly violated: number };
}

/** Where a VM stands, as the host knows it: what every decision after a failure is taken on. */
export const VM_PHASES = [
  'running',
  'preparing',
  'paused',
  'crossed',
  'saved',
  'restoring',
  'recovering',
  'stranded',
  // Of a migration: at its destination before the VM runs there, and at its source once the VM has left.
  'incoming',
  'relinquished',
] as const;
export type VmPhase = (typeof VM_PHASES)[number];

export interface VmDescription {
  readonly vmId: string;
  readonly phase: VmPhase;
  readonly holder: Holder | null;
  readonly generation: number;
  /** Whether the point of no return was crossed. */
  readonly crossed: boolean;
  readonly darkForMs: number;
  readonly identity: VirtualFunctionIdentity | null;
  /** Of the VM's first adapter with a VF, or its first one; `none` if it has no adapter. */
  readonly dataPath: DataPath;
  /** Whether the guest answers; `none` while its VM does not run. */
  readonly heartbeat: 'ok' | 'lost' | 'none';
  /** What its worker process says that it is. */
  readonly stackVersion: string;
  /** Its mode aside, VMs of one class meet an update in the same way: the kinds of its adapters and the PFs of its VFs. */
  readonly adapterClass: string;
  /** Absent: the driver cannot say. */
  readonly vitals?: Vitals;
  /** Blackouts that have ended, whoever caused them, oldest first: the latest 64. */
  readonly blackouts: readonly PastBlackout[];
  readonly facts: VmFacts;
  /** What another host must have for the VM to go there. Absent: hosts of before did not say. */
  readonly passthrough?: readonly NeededFunction[];
}

/** What goes on in a VM: numbers that only grow while it runs on the devices that it had. */
export interface Vitals {
  readonly packets: number;
  readonly interrupts: number;
  readonly diskOperations: number;
  /** How far the guest's clock is behind, ms. */
  readonly clockLagMs: number;
}

export interface PastBlackout {
  /** By the host's wall clock, ms since 1970. */
  readonly endedAtMs: number;
  readonly ms: number;
}

/** As much of a host's description as a plan needs. */
export type HostSurvey = Pick<
  HostDescription,
  | 'hostId'
  | 'versions'
  | 'capabilities'
  | 'quarantine'
  | 'describedAtMs'
  | 'unsupported'
  | 'expected'
> & {
  readonly vms: readonly Pick<
    VmDescription,
    'vmId' | 'phase' | 'blackouts' | 'passthrough' | 'stackVersion' | 'adapterClass'
  >[];
  /** Absent: a host of before, which no VM can be planned to go to. */
  readonly physicalFunctions?: readonly PhysicalFunctionFacts[];
};

/** The settings of one VM operation, from the person's input or from the servicing run that the VM is part of. */
export interface OperationSettings {
  readonly mode: Mode;
  readonly holdMode: HoldMode;
  readonly virtualFunctionRestore: 'step-by-step' | 'one-step';
  readonly blackoutBudgetMs: number;
  readonly maxSavedForMs: number;
}

/** A request for the lease of a VM. Repeating it with the same holder answers with the same lease. */
export interface BeginRequest {
  readonly hostId: string;
  readonly vmId: string;
  readonly holder: Holder;
  /** The run that started the holder, so that the host knows the VMs of its servicing run. */
  readonly parent: Holder | null;
  /** What the person asked for; a servicing run's own settings win over it. */
  readonly settings: OperationSettings;
  readonly faults: readonly Fault[];
  /** Take the lease from this holder, whose run is known to be closed; refused if someone else holds it by now. */
  readonly takeOverFrom?: Holder;
  /**
   * Go on where an older run stopped, open or not: checked and granted in one transaction, or refused (`AdoptRefused`) with
   * nothing changed. The new generation fences the older run; record, hold and what is prepared stay. Repeating it with
   * the same holder answers with the same lease.
   */
  readonly adopt?: Adoption;
}

/** The answer to `beginSave` and `beginRestore`: the lease. */
export interface Operation {
  readonly generation: number;
  readonly settings: OperationSettings;
  /** Whether the VM is part of a servicing run of its host, so that gates apply. */
  readonly inServicing: boolean;
  readonly identity: VirtualFunctionIdentity | null;
  readonly darkForMs: number;
  readonly crossed: boolean;
  /** Where an operation that was taken over had left the VM. */
  readonly phase: VmPhase;
  /** Whether its restore may go back to the version that the VM ran before. */
  readonly canRetreat: boolean;
  /** The lease was adopted from an older run: these steps are in place, in this order, and are not performed again. */
  readonly adopted?: readonly AdoptedStep[];
}

/** A step that an older run has performed and whose effect the host has found in place. */
export interface AdoptedStep<Step extends VmStep = VmStep> {
  readonly step: Step;
  /** What the step itself would have answered, as far as it can still be observed. */
  readonly evidence: EvidenceOf<Step>;
}

/** What a fork asks to take over: the generation of an old run, to go on at the step `at`. */
export interface Adoption extends Holder {
  readonly generation: number;
  readonly at: VmStep;
}

/** How far a host is with the update of its servicing run. */
export type UpdateState = 'armed' | 'committing' | 'committed' | 'notUpdated';

/** What a servicing run is about to do with a host. Durable before the first VM pauses. */
export interface ServicingOrder {
  readonly update: Update;
  readonly vms: readonly { readonly vmId: string; readonly mode: Mode }[];
  readonly settings: Omit<OperationSettings, 'mode'>;
  /** Each VM is updated by itself; absent: all VMs go dark together. */
  readonly rolling?: Pick<Rolling, 'parallelism' | 'onSaveFailure' | 'allowThirdVersion'>;
  /** How long the guests' acknowledgement of the notice is waited for, ms; absent: guests are not told. */
  readonly guestNoticeMs?: number;
  readonly parallelism: number;
  readonly faults: readonly Fault[];
}

/** One line of a host's journal. */
export interface JournalEntry {
  readonly seq: number;
  readonly hostTimeMs: number;
  readonly vmId: string | null;
  /** Of a VM with several adapters, the one that the command was for. */
  readonly adapterId?: string;
  readonly step: string;
  readonly generation: number;
  readonly kind: 'intent' | 'command' | 'event' | 'result' | 'failed';
  readonly command: string | null;
  readonly status: string;
  readonly detail: string | null;
  /** Of a function command: the rule of the function policy that allowed or denied it. */
  readonly rule?: string;
}

export interface JournalQuery {
  /** Entries after this sequence number; default 0. */
  readonly afterSeq?: number;
  readonly vmId?: string;
  /** At most this many; default 1000. */
  readonly limit?: number;
}

/**
 * How a host was when a run took it, or one of its VMs: with it a simulated host can be made again, and the run be acted
 * out on it. A host keeps the latest 16.
 */
export interface Beginning {
  readonly holder: Holder;
  /** Null where the run took the whole host. */
  readonly vmId: string | null;
  /** The generation that the run was given. */
  readonly generation: number;
  /** The number of the last entry of the journal before it; 0 if there was none. */
  readonly journalSeq: number;
  /** State, seed and latencies, in the simulator's own terms; null if the host is not a simulated one. */
  readonly simulation: unknown;
}
