import type { Fault, FaultKind } from '../../contract/faults';
import type {
  AdoptedStep,
  OperationSettings,
  PastBlackout,
  ServicingOrder,
} from '../../contract/host';
import type { Holder, VirtualFunctionIdentity } from '../../contract/ids';
import type { Component } from '../../contract/inputs';
import type { Path } from '../../contract/results';
import type { StepOutcome } from '../../contract/steps';
import type { Medium } from './devices/guest-io';
import type { PartitionState } from './devices/hypervisor-partition';
import type { GuestState } from './devices/guest';
import type { FunctionKind, PhysicalFunctionState } from './devices/physical-function';
import type { SavedRecord } from './devices/runtime-repository';
import type { SyntheticAdapterState } from './devices/synthetic-network-adapter';
import type { SwitchNicState } from './devices/vm-switch';
import type { WorkerProcessState } from './devices/vm-worker-process';
import type { MigrationState } from './migration/migration-state';
import type { VpciState } from './devices/vpci-vsp';
import type { Readoption } from './functions/readoption';

/** A step that has begun and has no result yet. It owns the VM's (and, where it needs it, the PF's) mailbox. */
export interface Intent {
  readonly key: string;
  readonly step: string;
  /** One attempt; a newer attempt of the same key supersedes the older one's. */
  readonly token: string;
  /** The process that performs it, so that another can tell a slow one from a dead one. */
  readonly pid: number;
  readonly instance: string;
  /** The attempt failed and is waited for by nobody; its time and count stay for the next one. */
  readonly ended: boolean;
  readonly startedAtMs: number;
  readonly attempts: number;
  readonly spentMs: number;
  /** Why the last attempt failed, for the message of the one that gives up. */
  readonly lastFailure: string | null;
}

export interface Lease {
  readonly generation: number;
  readonly holder: Holder;
  readonly kind: 'save' | 'restore' | 'recovery' | 'migration';
  readonly settings: OperationSettings;
  /** The generation of the save that gave this lease to its restore when the VM was down. */
  readonly handedOnBy?: number;
  /** The steps that its holder, a fork, does not perform again; absent for every other lease. */
  readonly adopted?: readonly AdoptedStep[];
}

/** What can be made ready for the restore while the VM still runs: the next worker process and its adapter. */
export interface Successor {
  readonly workerProcess: WorkerProcessState;
  /** By adapter. */
  vdevs: Record<string, SyntheticAdapterState>;
}

/**
 * One adapter of a VM: a synthetic network adapter with its NIC at the VM switch and, where it wants one, a VF; or an NVMe
 * controller, which is a VF alone and has no NIC and no other path for its I/O.
 */
export interface AdapterState {
  /** Unique in its VM: nic-0, nic-1, nvme-0, … */
  readonly adapterId: string;
  readonly kind: FunctionKind;
  /** The physical function of the host that its VF is of. */
  readonly pfId: string;
  /** Whether it is to have a VF at all. */
  readonly wantsVf: boolean;
  /** Of an NVMe controller: what stands in its place in the identity, as unique as a MAC address. */
  readonly macAddress: string;
  vdev: SyntheticAdapterState;
  nic: SwitchNicState;
  vpci: VpciState;
  guest: GuestState;
  /**
   * The host's own custody of a held VF, a layer of its own above the VSP's hold. `lost`: the VF went without anyone's
   * command, so there is nothing left to guard.
   */
  custody: { readonly vfId: number; lost: boolean } | null;
  /** The same by the intermediary's own account. Absent in hosts of before there was a function policy. */
  heldFunction?: { readonly vfId: number } | null;
  /** The weight an administrator configured, 0–100; the VDEV has its own while it lives (claim 16). */
  readonly configuredIovWeight: number;
  identityBefore: VirtualFunctionIdentity | null;
  /** The state of its VF was restored since the record was claimed. */
  vfStateRestored: boolean;
  /** The held VF was given up on the way back, so the restore goes on without it. */
  vfAbandoned: string | null;
  /** How many guest-visible events and how much outage there were before this operation. */
  before: { events: number; vfOutageMs: number; droppedPackets: number };
  path: Extract<Path, 'kept' | 'reattached' | 'synthetic-only'>;
  pathReason: string | null;
}

export interface VmState {
  readonly vmId: string;
  /** Highest generation ever issued; anything older than the lease's is refused. */
  generation: number;
  lease: Lease | null;
  /** The lease of a restore that prepares while the save still holds the VM. */
  nextLease: Lease | null;
  mailbox: Intent | null;
  faults: Fault[];

  partition: PartitionState;
  workerProcess: WorkerProcessState;
  /** In the order of their ids; a VM may have none. */
  adapters: AdapterState[];
  successor: Successor | null;
  record: SavedRecord | null;
  /** What the function policy authorised when the save began. Absent before the first one. */
  readoption?: Readoption;
  /** The guest answers no heartbeat any more, although its virtual processors run. */
  guestHangs: boolean;

  /** Set before the first interface reset or teardown; from here on only forward. */
  pointOfNoReturn: { readonly generation: number; readonly atMs: number } | null;
  /** When the dead-man takes over if nobody else has brought the VM back, by the host's clock. */
  deadlineMs: number | null;
  /** The VM's state was restored since its record was claimed. */
  vmStateRestored: boolean;
  /** The generation that gave up VFs on its way back. */
  functionsGivenUpBy: number | null;
  blackoutMs: number;
  withinBudget: boolean;
  /** The latest that have ended, oldest first. Absent in hosts of before there was a ledger. */
  blackouts?: readonly PastBlackout[];
  /** How the VM as a whole came back; `kept` leaves the word to its adapters. */
  path: Extract<Path, 'kept' | 'restarted' | 'stranded'>;
  pathReason: string | null;
  stranded: string | null;
  /** The latest migration from or to this host; absent: there was none. */
  migration?: MigrationState;
}

export interface ServicingState {
  readonly generation: number;
  readonly holder: Holder;
  readonly order: ServicingOrder;
  /** VMs that must all have finished `saveVm` before any crosses; a VM that was left out is gone from it. */
  members: string[];
  leftOut: { vmId: string; reason: string }[];
  /** The commit waits for the VMs. */
  commitArmed: boolean;
  /** When each guest acknowledges the notice (null: never), and until when that is waited for, by the host's clock. */
  notice: {
    readonly untilMs: number;
    readonly dueMs: Readonly<Record<string, number | null>>;
  } | null;
  /** VMs in the order in which they reached each stage. */
  quiet: string[];
  restoreWaiting: string[];
  paused: string[];
  saved: string[];
  down: string[];
  /** All members have crossed, or may: the host-wide barrier is open. */
  crossed: boolean;
  aborted: string | null;
  update: 'armed' | 'committing' | 'committed' | 'notUpdated';
  /** What is wrong with the update; absent: nothing is known to be. */
  defect?: UpdateDefect;
  /** Why the host flipped the update back by itself; absent: it did not. */
  rejected?: string;
  /** VMs whose restore has been let through the gate, and those of them that run again. */
  admitted: string[];
  resumed: string[];
}

/** What a bad update does when its stack is started. */
export type UpdateDefect = Extract<
  FaultKind,
  'fails-to-start' | 'starts-old-version' | 'fails-verification'
>;

export interface HostState {
  readonly hostId: string;
  readonly bootId: string;
  readonly seed: number;
  /** Absent in hosts of before there were fault domains. */
  readonly faultDomain?: string;
  /** Which host worker process serves it; its workflow queue is named after it. */
  workerName: string;
  /** Those that live here; one that is on its way here, or that has left, is not among them. */
  vmIds: readonly string[];
  generation: number;
  lease: { readonly generation: number; readonly holder: Holder } | null;
  servicing: ServicingState | null;
  versions: Record<Component, string>;
  /** The inactive slot. */
  staged: { component: Component; version: string; updateId: string } | null;
  /** What the last flip replaced, so that it can be flipped back. */
  previous: { component: Component; version: string; updateId: string } | null;
  readonly custodyBelowVsp: boolean;
  readonly switchExtensions: readonly {
    readonly extensionId: string;
    readonly dataBytes: number;
  }[];
  mailbox: Intent | null;
  faults: Fault[];
  /** Why the host takes no more work after a breach; stranded VMs quarantine it too. */
  quarantine: string | null;
  stranded: string[];
  journalSeq: number;
  /** Forbidden ones, and how many of them there were when the latest servicing run was armed. */
  commands: { forbidden: number; forbiddenBeforeServicing?: number };
  invariants: { checked: number; violations: string[] };
  nextWorkerProcess: number;
  nextLuid: number;
}

/** What a command works on: the host, its PFs, and the VM it is for. Fresh copies; written back together. */
export interface Objects {
  readonly host: HostState;
  readonly pfs: readonly PhysicalFunctionState[];
  readonly vm: VmState;
  /** What the I/O of a VM that is migrated ends at, by adapter: the wire, or a namespace; null: nobody counts it. */
  media?: Record<string, Medium> | null;
  /** The host's monotonic clock, ms. */
  readonly nowMs: number;
}

/** The same for a command that is for one of the VM's adapters. */
export interface AdapterObjects extends Objects {
  readonly adapter: AdapterState;
  /** The physical function that the adapter's VF is of. */
  readonly pf: PhysicalFunctionState;
}

export type RecordedOutcome = Omit<StepOutcome, 'darkForMs'>;
