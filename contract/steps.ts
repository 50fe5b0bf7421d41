import type { Handed } from './migration';

/**
 * Every step of a save or restore that a host performs, in the field's words, with where it runs.
 *
 * `dark` steps run while the VM is paused, so their placement decides the blackout: in place (local activities of
 * the host's own worker) or on the host's task queue. `light` steps always go over the task queue.
 * `waits` steps wait for other VMs or for the update, so an attempt may take as long as the budget allows.
 */
export const VM_STEPS = {
  // modified fast save (US 2024/0427619 A1, claims 1-8)
  disableOptimizations: 'light',
  awaitPause: 'waits',
  pauseVm: 'dark',
  saveVirtualFunctionState: 'dark',
  writeVirtualFunctionInfo: 'dark',
  saveSyntheticAdapter: 'dark',
  saveVm: 'dark',
  crossPointOfNoReturn: 'waits',
  resetVpciBusInterface: 'dark',
  tearDownSyntheticAdapter: 'dark',
  awaitResume: 'waits',
  concludeSave: 'light',
  // modified fast restore (claims 9-18)
  initializeSyntheticAdapter: 'light',
  reserveResources: 'light',
  awaitUpdate: 'waits',
  powerOnRestore: 'dark',
  createVpciBus: 'dark',
  assignVirtualFunction: 'dark',
  restoreVirtualFunctionState: 'dark',
  retrieveAndRestoreVirtualFunction: 'dark',
  restoreVm: 'dark',
  markVirtualFunctionAssigned: 'dark',
  resumeSyntheticAdapter: 'dark',
  resumeVm: 'dark',
  enableOptimizations: 'light',
  verifyRestore: 'light',
  // undo, before the point of no return
  unsaveVm: 'dark',
  restoreSwitchState: 'dark',
  discardSavedState: 'dark',
  endOperation: 'light',
  // ways back, after it
  detachHeldFunction: 'dark',
  recreateSyntheticAdapter: 'dark',
  coldStartVm: 'dark',
  strandVm: 'light',
  // conventional save: the guest gives its VF back
  ejectVirtualFunction: 'light',
  moveFiltersToDefaultVPort: 'light',
  deleteVPort: 'light',
  resetVirtualFunction: 'light',
  freeVirtualFunction: 'light',
  disconnectSyntheticAdapter: 'dark',
  // conventional restore: the guest gets a VF again
  connectSyntheticAdapter: 'dark',
  allocateVirtualFunction: 'light',
  createVPort: 'light',
  moveFiltersToVirtualFunction: 'light',
  offerVirtualFunction: 'light',
  probeVirtualFunction: 'light',
  switchDataPath: 'light',
  // migration by the emulated path (US 2023/0153140): on the source
  plugEmulatedPath: 'light',
  switchToEmulatedPath: 'light',
  drainPassthrough: 'light',
  unplugPassthrough: 'light',
  saveEmulatedDevice: 'light',
  suspendVm: 'dark',
  relinquishVm: 'dark',
  releaseMigratedVm: 'light',
  // on the destination
  reserveFunctions: 'light',
  exposeFunctions: 'light',
  receiveVm: 'dark',
  resumeMigratedVm: 'dark',
  plugPassthrough: 'light',
  switchToPassthrough: 'light',
  unplugEmulatedPath: 'light',
  verifyMigration: 'light',
  // undo, before the source has relinquished the VM
  resumeAtSource: 'dark',
  takeBackMigration: 'light',
  cancelReservation: 'light',
} as const satisfies Record<string, 'light' | 'dark' | 'waits'>;

export type VmStep = keyof typeof VM_STEPS;
export const VM_STEP_NAMES = Object.keys(VM_STEPS) as VmStep[];

/** Steps on a whole host. */
export const HOST_STEPS = [
  'noticeGuests',
  'stageUpdate',
  'commitUpdate',
  'rollBackUpdate',
  'verifyHost',
] as const;
export type HostStep = (typeof HOST_STEPS)[number];

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

/** One call of a step on a VM. With the step it is the key under which the host has the effect at most once. */
export interface StepCall {
  readonly hostId: string;
  readonly vmId: string;
  readonly generation: number;
  readonly direction: Direction;
  /**
   * No attempt begins once the VM has been dark this long, by the host's clock; absent for steps outside a blackout.
   * The engine's own time-out for retries of a local activity starts anew with every attempt.
   */
  readonly latestDarkMs?: number;
  /** What the other end of a migration has handed over for this step. */
  readonly handed?: Handed;
}

/** One call of a step on a whole host. */
export interface HostStepCall {
  readonly hostId: string;
  readonly generation: number;
}

/** What a host answers to a step that did not fail. `refused` and worse are typed failures instead. */
export interface StepOutcome {
  readonly status: 'done' | 'alreadyDone' | 'notApplicable';
  /** Why a step was not applicable. */
  readonly reason?: string;
  /** The host's monotonic clock at the end of the step, ms. */
  readonly hostTimeMs: number;
  /** The step's own time on the host, over all attempts, ms. */
  readonly ms: number;
  readonly attempts: number;
  /** How long the VM has been dark, by the host's clock, ms; 0 while it runs. */
  readonly darkForMs: number;
  readonly evidence: Readonly<Record<string, unknown>>;
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
