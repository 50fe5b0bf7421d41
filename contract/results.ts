import type { VirtualFunctionIdentity } from './ids';
import type { Component, MigrationMethod, Mode } from './inputs';
import type { IoLedger, MovedFunction } from './migration';
import type { StepReport } from './steps';

/**
 * How a VM came back. `kept`: same VF all along. `reattached`: it got a VF anew. `synthetic-only`: it runs without a
 * VF. `restarted`: guest memory was lost. `stranded`: it is held and paused, a person must act.
 */
export const PATHS = ['kept', 'reattached', 'synthetic-only', 'restarted', 'stranded'] as const;
export type Path = (typeof PATHS)[number];

/** `there`: it runs the version already, so it is not touched. */
export type Verdict = 'keep' | 'conventional' | 'migrate' | 'there' | 'blocked';

/** What would become of a VM, and why. */
export interface VmVerdict {
  readonly vmId: string;
  readonly verdict: Verdict;
  readonly reason: string;
  /** Absent: it will not be dark, or its host cannot say for how long. */
  readonly blackout?: PredictedBlackout;
}

/** Whether all VMs of the host will be dark together, and for how long this one, ms: the median and the 99th percentile. */
export interface PredictedBlackout {
  readonly together: boolean;
  readonly likelyMs: number;
  readonly rarelyOverMs: number;
}

export interface FastSaveResult {
  readonly hostId: string;
  readonly vmId: string;
  readonly mode: Mode;
  readonly outcome: 'saved';
  readonly identity: VirtualFunctionIdentity | null;
  /** Why the save went on without a VF record, when it did. */
  readonly withoutVfRecord: string | null;
  /** When the host restores the VM by itself, as ISO 8601; null inside a servicing run. */
  readonly restoredByHostAt: string | null;
  readonly steps: readonly StepReport[];
}

export interface FastRestoreResult {
  readonly hostId: string;
  readonly vmId: string;
  readonly mode: Mode;
  /** `notNeeded`: the save was undone, so the VM never left. */
  readonly outcome: 'restored' | 'notNeeded';
  readonly vm: VmFacts;
  readonly steps: readonly StepReport[];
}

/** Whether I/O of a migrated VM goes by its passthrough functions again; `degraded`: it runs, on the emulated path. */
export type MigrationOutcome = 'migrated' | 'degraded';

export interface MigrateVmResult {
  readonly vmId: string;
  readonly fromHostId: string;
  readonly toHostId: string;
  readonly method: MigrationMethod;
  readonly outcome: MigrationOutcome;
  /** Why the outcome is `degraded`; null if it is not. */
  readonly reason: string | null;
  /**
   * How long the VM was dark, ms: from its suspension to the relinquish by the source's clock, and from there to the
   * resumption by the run's own, since the clocks of two hosts cannot be compared. Null for a run that took over after the
   * suspension.
   */
  readonly blackoutMs: number | null;
  /** Time without a passthrough path; each host counts its own part, the hop between them is not in it. */
  readonly vfOutageMs: number;
  /** Devices that the guest saw come and go. */
  readonly guestVisibleEvents: number;
  readonly droppedPackets: number;
  readonly withinBudget: boolean;
  /** Null where nothing was drained. `commands`: how many were still open on the passthrough path when it began. */
  readonly drain: { readonly commands: number; readonly ms: number } | null;
  readonly ledger: IoLedger;
  readonly functions: readonly MovedFunction[];
  readonly steps: readonly StepReport[];
}

/** What the host measured and knows of a VM after an operation. Times in ms by the host's clock. */
export interface VmFacts {
  readonly running: boolean;
  readonly path: Path;
  /** Why the path is not `kept`, or who else than the run brought the VM back. */
  readonly pathReason: string | null;
  readonly identityBefore: VirtualFunctionIdentity | null;
  readonly identityAfter: VirtualFunctionIdentity | null;
  readonly blackoutMs: number;
  /** Time without an active VF data path, as the guest has it. */
  readonly vfOutageMs: number;
  /** Ejects, rescinds, offers and association changes that the guest saw. */
  readonly guestVisibleEvents: number;
  readonly droppedPackets: number;
  readonly withinBudget: boolean;
  readonly stackVersion: string;
  /**
   * In the order of their ids; then the identities above are those of the first VF, outage is the longest, events and
   * drops are sums, and `path` is the worst. Absent of a VM that has one adapter, with a VF, and nothing else to say.
   */
  readonly adapters?: readonly AdapterFacts[];
}

/** Of a NIC without its VF the guest has the synthetic path, of an NVMe controller none; while it is migrated, an emulated one. */
export type DataPath = 'vf' | 'synthetic' | 'emulated' | 'none';

/** One adapter of a VM, and what was measured of it in the VM's last operation. Times in ms by the host's clock. */
export interface AdapterFacts {
  readonly adapterId: string;
  readonly kind: 'network' | 'nvme';
  /** The physical function that its VF is of. */
  readonly pfId: string;
  /** Whether it is to have a VF at all. */
  readonly wantsVf: boolean;
  readonly dataPath: DataPath;
  readonly path: Path;
  readonly pathReason: string | null;
  readonly identityBefore: VirtualFunctionIdentity | null;
  readonly identityAfter: VirtualFunctionIdentity | null;
  readonly vfOutageMs: number;
  readonly guestVisibleEvents: number;
  readonly droppedPackets: number;
}

/** Each VF that a VM is to have, as it was and as it is; null where there is none. */
export const functionsOf = (
  facts: VmFacts,
): readonly Pick<AdapterFacts, 'identityBefore' | 'identityAfter' | 'path'>[] =>
  facts.adapters?.filter(({ wantsVf }) => wantsVf) ?? [facts];

/**
 * Whether the VM is to have a VF that it does not have, or that its guest has given back: an eject that was cut short leaves
 * the VF assigned and the guest without it.
 */
export const lacksVf = (facts: VmFacts): boolean =>
  functionsOf(facts).some(
    ({ identityAfter, path }) => identityAfter === null || path === 'synthetic-only',
  );

export interface ServicedVm {
  readonly vmId: string;
  readonly mode: Mode;
  readonly facts: VmFacts;
  readonly steps: readonly StepReport[];
}

/** `degraded`: updated, but not every VM kept its VF. `mixed`: some VMs run the new version, others the old one. */
export type HostOutcome =
  'updated' | 'degraded' | 'mixed' | 'notUpdated' | 'restarted' | 'stranded';

export interface ServiceHostResult {
  readonly hostId: string;
  readonly outcome: HostOutcome;
  readonly reason: string | null;
  readonly component: Component;
  readonly versionBefore: string;
  readonly versionAfter: string;
  readonly vms: readonly ServicedVm[];
  /** VMs that went to another host first; absent where none had to. */
  readonly migrated?: readonly MigratedVm[];
  /** Who was told before the VMs paused; null if nobody was to be. */
  readonly notice: NoticeResult | null;
  readonly forbiddenCommands: number;
  readonly invariants: { readonly checked: number; readonly violated: number };
}

/** A VM that left its host before the host was updated. */
export type MigratedVm = Pick<
  MigrateVmResult,
  | 'vmId'
  | 'toHostId'
  | 'outcome'
  | 'reason'
  | 'blackoutMs'
  | 'vfOutageMs'
  | 'guestVisibleEvents'
  | 'steps'
>;

/** What came of the notice to tenants: the run goes on without an acknowledgement when its time is up. */
export interface NoticeResult {
  /** VMs whose guest acknowledged, and those whose guest did not in time; both empty if guests were not told. */
  readonly acknowledged: readonly string[];
  readonly unacknowledged: readonly string[];
  /** Null if there is no webhook. `undelivered`: it never answered; `timedOut`: it answered, but did not acknowledge. */
  readonly webhook: 'acknowledged' | 'timedOut' | 'undelivered' | null;
}
