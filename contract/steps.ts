import type { UpdateState, VmDescription, VmPhase } from './host';
import type { VirtualFunctionIdentity } from './ids';
import type { Component, HoldMode } from './inputs';
import type {
  Handed,
  IoLedger,
  Namespace,
  Receipt,
  RelinquishProof,
  VerifiedMigration,
  VmPackage,
} from './migration';

/** All that the contract says of a step. */
interface StepRow<Kind, Evidence> {
  readonly kind: Kind;
  /** The label in the timeline of the Temporal UI; a replay does not compare it. `{vm}` and `{host}` are filled in. */
  readonly label: string;
  /** What the VM is after it, where it is something else than before. */
  readonly changes: VmChange;
  /** Never a value: it carries the type of what the step answers. */
  readonly evidence?: Evidence;
}
/** What reports and replays show of a VM: its phase, its VF, and the path of its packets while it runs. */
export interface VmChange {
  readonly phase?: VmPhase;
  readonly vf?: 'assigned' | 'held' | 'allocated' | 'none';
  readonly guestPath?: 'vf' | 'synthetic';
}
const WITHOUT_VF: VmChange = { vf: 'none', guestPath: 'synthetic' };
/** The step answers no more than that it is done. */
type Nothing = { readonly nothing?: never };
const row =
  <const Kind>(kind: Kind) =>
  <Evidence = Nothing>(label: string, changes: VmChange = {}): StepRow<Kind, Evidence> => ({
    kind,
    label,
    changes,
  });
const [light, dark, waits, ofHost] = [row('light'), row('dark'), row('waits'), row('host')];

/** Of a VF. */
type Ids = { vfId: number; luid: string };
type FunctionIds = { passthroughVfId: number; emulatedVfId: number };
type PathAccess = { passthrough?: string | undefined; emulated?: string | undefined };

/**
 * Every step of a save, restore or migration that a host performs on a VM, in the field's words: where it runs, what its
 * answer tells as evidence, its label, and what it changes. Types, activities and timeline follow from these rows.
 *
 * `dark` steps run while the VM is paused: they are issued ahead as one list, whose order the host keeps. `light` steps
 * are issued one by one. `waits` steps wait for other VMs or for the update.
 */
export const VM_STEPS = {
  // modified fast save (US 2024/0427619 A1, claims 1-8)
  disableOptimizations: light<{ hold: HoldMode | null }>(
    'hold the VF of {vm}, disable its optimizations',
  ),
  awaitPause: waits('wait until all VMs may pause, {vm}'),
  pauseVm: dark<{ pausedAtMs: number; deadlineMs: number; bootId: string }>(
    'pause {vm}: the blackout begins',
    { phase: 'paused' },
  ),
  saveVirtualFunctionState: dark<{ withoutVfRecord: string | null }>('save VF state of {vm}', {
    vf: 'held',
  }),
  writeVirtualFunctionInfo: dark<Ids & { withoutVfRecord: string | null }>(
    'write VF ID and LUID of {vm}',
  ),
  saveSyntheticAdapter: dark<{ issues: number }>('save synthetic adapter of {vm}'),
  saveVm: dark<{ checksum: string; blockCount: number }>('save VM state of {vm}'),
  crossPointOfNoReturn: waits('cross the point of no return, {vm}', { phase: 'crossed' }),
  resetVpciBusInterface: dark('reset VPCI bus interface of {vm}'),
  tearDownSyntheticAdapter: dark<{ exitDetail: string }>('tear down synthetic adapter of {vm}', {
    phase: 'saved',
  }),
  awaitResume: waits('wait until {vm} runs again'),
  concludeSave: light<{ restoredByHostAt: string }>('conclude the save of {vm}'),
  // modified fast restore (claims 9-18)
  initializeSyntheticAdapter: light<{ workerProcess: number; version: string }>(
    'initialize synthetic adapter of {vm}',
  ),
  reserveResources: light('reserve resources for {vm}'),
  awaitUpdate: waits<{ update: UpdateState }>('wait until {vm} is saved and the host updated'),
  powerOnRestore: dark<Ids & { vdevVersion: number; blocks: number }>(
    'power on {vm}, read its record',
    { phase: 'restoring' },
  ),
  createVpciBus: dark('create VPCI bus of {vm}'),
  assignVirtualFunction: dark<Ids & { iommuAttachCount: number }>('assign the VF to {vm}'),
  restoreVirtualFunctionState: dark<{ configEpoch: number }>('restore VF state of {vm}'),
  retrieveAndRestoreVirtualFunction: dark<Ids>('retrieve and restore the VF of {vm}'),
  restoreVm: dark('restore VM state of {vm}'),
  markVirtualFunctionAssigned: dark<{ iovWeight: number }>('mark the VF of {vm} as assigned', {
    vf: 'assigned',
  }),
  resumeSyntheticAdapter: dark<{ blobs: number; unowned: number }>(
    'resume synthetic adapter of {vm}',
  ),
  resumeVm: dark<{ blackoutMs: number; interruptsReplayed: number }>(
    'resume {vm}: the blackout ends',
    { phase: 'preparing' },
  ),
  enableOptimizations: light<{ skipped: readonly string[] }>('enable optimizations of {vm}'),
  verifyRestore: light<{ vm: VmDescription }>('verify {vm} and its VF', { phase: 'running' }),
  // undo, before the point of no return
  unsaveVm: dark('discard saved VM state of {vm}'),
  restoreSwitchState: dark('restore VM switch state of {vm}'),
  discardSavedState: dark('discard the record of {vm}'),
  endOperation: light('give the lease of {vm} back', { phase: 'running' }),
  // ways back, after it
  detachHeldFunction: dark<{ vfId: number; kept: boolean }>(
    'detach the held VF of {vm}',
    WITHOUT_VF,
  ),
  retreatToOldStack: dark<{ version: string }>('take {vm} back to its old version', {
    phase: 'saved',
  }),
  recreateSyntheticAdapter: dark<{ lost: readonly string[] }>('recreate synthetic adapter of {vm}'),
  coldStartVm: dark('start {vm} cold', WITHOUT_VF),
  strandVm: light('strand {vm}: held and paused for a person', { phase: 'stranded' }),
  // conventional save: the guest gives its VF back
  ejectVirtualFunction: light<{ kind: 'eject' | 'surpriseRemoval' }>(
    'ask the guest of {vm} to eject its VF',
    { guestPath: 'synthetic' },
  ),
  moveFiltersToDefaultVPort: light('move filters of {vm} to the default VPort'),
  deleteVPort: light('delete VPort of {vm}'),
  resetVirtualFunction: light('reset the VF of {vm}'),
  freeVirtualFunction: light('free the VF of {vm}', { vf: 'none' }),
  disconnectSyntheticAdapter: dark('disconnect synthetic adapter of {vm}'),
  // conventional restore: the guest gets a VF again
  connectSyntheticAdapter: dark('connect synthetic adapter of {vm}'),
  allocateVirtualFunction: light<{ vfId: number; rid: string }>('allocate a VF for {vm}', {
    vf: 'allocated',
  }),
  createVPort: light<{ vportId: number }>('create VPort for {vm}'),
  moveFiltersToVirtualFunction: light('move filters of {vm} to its VF'),
  offerVirtualFunction: light('offer the VF to the guest of {vm}'),
  probeVirtualFunction: light('wait for the VF driver in {vm}'),
  switchDataPath: light<{ vfOutageMs: number }>('switch {vm} to the VF data path', {
    guestPath: 'vf',
  }),
  // migration by the emulated path (US 2023/0153140): on the source
  plugEmulatedPath: light<{ emulatedVfId: number; access: PathAccess }>(
    'plug the emulated path of {vm} in',
  ),
  switchToEmulatedPath: light<{ access: PathAccess }>('move new I/O of {vm} to the emulated path'),
  drainPassthrough: light<{ commands: number; ms: number }>('drain the passthrough path of {vm}'),
  // The guest's I/O goes by the emulated device, which is as little a VF of its own as the synthetic path is.
  unplugPassthrough: light('unplug the passthrough path of {vm}', {
    vf: 'allocated',
    guestPath: 'synthetic',
  }),
  saveEmulatedDevice: light('save the emulated device of {vm}'),
  suspendVm: dark<{ package: VmPackage }>('suspend {vm}: the blackout begins', { phase: 'paused' }),
  relinquishVm: dark<{ proof: RelinquishProof; darkForMs: number }>(
    'relinquish {vm}: only forward from here',
    { phase: 'relinquished' },
  ),
  releaseMigratedVm: light('release what {vm} had on its source'),
  // on the destination
  reserveFunctions: light<FunctionIds>('reserve functions for {vm}'),
  exposeFunctions: light<FunctionIds & { namespace: Namespace | null }>(
    'expose corresponding functions for {vm}',
  ),
  receiveVm: dark<{ receipt: Receipt }>('receive {vm}'),
  resumeMigratedVm: dark<{ blackoutMs: number }>(
    'resume {vm} at its destination: the blackout ends',
    { phase: 'preparing' },
  ),
  plugPassthrough: light<{ identity: VirtualFunctionIdentity | null }>(
    'plug the passthrough path of {vm} in',
    { vf: 'assigned' },
  ),
  switchToPassthrough: light<{ access: PathAccess }>('move I/O of {vm} to the passthrough path', {
    guestPath: 'vf',
  }),
  unplugEmulatedPath: light('unplug the emulated path of {vm}'),
  verifyMigration: light<VerifiedMigration>('verify {vm} and its I/O', { phase: 'running' }),
  // undo, before the source has relinquished the VM
  resumeAtSource: dark<{ blackoutMs: number }>('resume {vm} on its source', { phase: 'preparing' }),
  takeBackMigration: light<{ ledger: IoLedger }>('take the migration of {vm} back', {
    vf: 'assigned',
    guestPath: 'vf',
  }),
  cancelReservation: light('give back what was reserved for {vm}'),
};
export type VmStep = keyof typeof VM_STEPS;
export const VM_STEP_NAMES = Object.keys(VM_STEPS) as VmStep[];

/** Steps on a whole host. */
export const HOST_STEPS = {
  noticeGuests: ofHost<{ acknowledged: readonly string[]; unacknowledged: readonly string[] }>(
    'tell the guests of {host}',
  ),
  stageUpdate: ofHost<{ staged: string }>('stage the update on {host}'),
  openGate: ofHost('let the VMs of {host} pause when all is prepared'),
  commitUpdate: ofHost<{ flipped: boolean; component: Component; version: string }>(
    'commit the update of {host} when all VMs are saved',
  ),
  rollBackUpdate: ofHost('take the update of {host} back'),
  verifyHost: ofHost<{ notRunning: readonly string[]; update: UpdateState }>('verify {host}'),
};
export type HostStep = keyof typeof HOST_STEPS;
export const HOST_STEP_NAMES = Object.keys(HOST_STEPS) as HostStep[];
export type AnyStep = VmStep | HostStep;

/** What each step answers once it is performed. */
export type StepEvidence = EvidenceIn<typeof VM_STEPS & typeof HOST_STEPS>;
type EvidenceIn<Table extends Record<string, StepRow<string, unknown>>> = {
  readonly [Step in keyof Table]: Exclude<Table[Step]['evidence'], undefined>;
};

/** Evidence as it arrives: none of a step that did not apply, and of a repeat only what can still be seen. */
export type EvidenceOf<Step extends AnyStep> = Answered<StepEvidence[Step]>;
export type Answered<Evidence> = Seen<Evidence> & {
  /** Of a VM with several adapters, each one's; the fields beside it have the first value that any of them has. */
  readonly adapters?: Readonly<Record<string, Seen<Evidence>>>;
};
type Seen<Evidence> = { readonly [Field in keyof Evidence]?: Evidence[Field] | undefined };

/** The orders in which a host can perform them: the workflows follow these, and so does the host's dead-man. */
export const UNDO_SAVE = [
  'unsaveVm',
  'restoreSwitchState',
  'discardSavedState',
  'resumeVm',
] as const satisfies readonly VmStep[];

export const ATTACH_VIRTUAL_FUNCTION = [
  'allocateVirtualFunction',
  'createVPort',
  'moveFiltersToVirtualFunction',
  'createVpciBus',
  'assignVirtualFunction',
  'offerVirtualFunction',
  'probeVirtualFunction',
  'switchDataPath',
] as const satisfies readonly VmStep[];

export const DETACH_VIRTUAL_FUNCTION = [
  'ejectVirtualFunction',
  'moveFiltersToDefaultVPort',
  'deleteVPort',
  'resetVirtualFunction',
  'freeVirtualFunction',
] as const satisfies readonly VmStep[];

/** Both ends take back what a migration has done before the relinquish; the dead-man of the source follows the first. */
export const UNDO_MIGRATION = [
  'resumeAtSource',
  'takeBackMigration',
] as const satisfies readonly VmStep[];

/** `forward` moves the operation on; `undo` takes it back; `recover` is a way back after the point of no return. */
export type Direction = 'forward' | 'undo' | 'recover';

/** Where a call stands in a list of steps that were issued together. */
export interface InList {
  /** The step of the list that must have its result before; null: it is the first. */
  readonly after: VmStep | null;
  /** How many steps the list has: with the VM running none of them begins before all of them have arrived. */
  readonly length: number;
}

/** How long the host tries a step of a list before it fails for good, by its own clock. None: for as long as it takes. */
export interface StepLimits {
  /** No attempt begins once the VM has been dark this long, ms. */
  readonly latestDarkMs?: number;
  /** But so long after the step has begun there is another attempt all the same, ms: past the mark there is no undo. */
  readonly atLeastMs?: number;
  /** After this time an attempt is given up, and the next one observes what it did, ms. */
  readonly attemptMs?: number;
  /** So long after the first attempt of the list that failed the step is given up, ms; before the mark only. */
  readonly failingMs?: number;
}

/** One call of a step on a VM. With the step it is the key under which the host has the effect at most once. */
export interface StepCall extends StepLimits {
  readonly hostId: string;
  readonly vmId: string;
  readonly generation: number;
  readonly direction: Direction;
  /** Absent: it was issued by itself, and whoever asks tries again. */
  readonly list?: InList;
  /** What the other end of a migration has handed over for this step. */
  readonly handed?: Handed;
}

/** One call of a step on a whole host. */
export interface HostStepCall {
  readonly hostId: string;
  readonly generation: number;
}

/** What a host answers to a step that did not fail. `refused` and worse are typed failures instead. */
export interface StepOutcome<Step extends AnyStep = AnyStep> {
  /** `notReached`: its list ended before it. */
  readonly status: 'done' | 'alreadyDone' | 'notApplicable' | 'notReached';
  /** Why a step was not applicable, or not reached. */
  readonly reason?: string;
  /** The host's monotonic clock at the end of the step, ms. */
  readonly hostTimeMs: number;
  /** The step's own time on the host, over all attempts, ms. */
  readonly ms: number;
  readonly attempts: number;
  /** How long the VM has been dark, by the host's clock, ms; 0 while it runs. */
  readonly darkForMs: number;
  readonly evidence: EvidenceOf<Step>;
}

/** A step as results and reports show it. */
export interface StepReport {
  readonly name: string;
  /** `adopted`: not performed by this run, which is a fork; the host found it in place. */
  readonly status: StepOutcome['status'] | 'failed' | 'adopted';
  readonly direction: Direction;
  readonly ms: number;
  readonly attempts: number;
  /** On which of two hosts; absent where there is one only. */
  readonly hostId?: string;
}
