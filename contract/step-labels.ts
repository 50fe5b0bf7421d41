import type { Direction, HostStep, VmStep } from './steps';

/**
 * What each call does, in a few words: the labels of the timeline in the Temporal UI. `{vm}` and `{host}` stand for
 * whom it is done to. They are for people only: a replay does not compare them.
 */
const LABELS = {
  // modified fast save
  disableOptimizations: 'hold the VF of {vm}, disable its optimizations',
  awaitPause: 'wait until all VMs may pause, {vm}',
  pauseVm: 'pause {vm}: the blackout begins',
  saveVirtualFunctionState: 'save VF state of {vm}',
  writeVirtualFunctionInfo: 'write VF ID and LUID of {vm}',
  saveSyntheticAdapter: 'save synthetic adapter of {vm}',
  saveVm: 'save VM state of {vm}',
  crossPointOfNoReturn: 'cross the point of no return, {vm}',
  resetVpciBusInterface: 'reset VPCI bus interface of {vm}',
  tearDownSyntheticAdapter: 'tear down synthetic adapter of {vm}',
  awaitResume: 'wait until {vm} runs again',
  concludeSave: 'conclude the save of {vm}',
  // modified fast restore
  initializeSyntheticAdapter: 'initialize synthetic adapter of {vm}',
  reserveResources: 'reserve resources for {vm}',
  awaitUpdate: 'wait until {vm} is saved and the host updated',
  powerOnRestore: 'power on {vm}, read its record',
  createVpciBus: 'create VPCI bus of {vm}',
  assignVirtualFunction: 'assign the VF to {vm}',
  restoreVirtualFunctionState: 'restore VF state of {vm}',
  retrieveAndRestoreVirtualFunction: 'retrieve and restore the VF of {vm}',
  restoreVm: 'restore VM state of {vm}',
  markVirtualFunctionAssigned: 'mark the VF of {vm} as assigned',
  resumeSyntheticAdapter: 'resume synthetic adapter of {vm}',
  resumeVm: 'resume {vm}: the blackout ends',
  enableOptimizations: 'enable optimizations of {vm}',
  verifyRestore: 'verify {vm} and its VF',
  // undo
  unsaveVm: 'discard saved VM state of {vm}',
  restoreSwitchState: 'restore VM switch state of {vm}',
  discardSavedState: 'discard the record of {vm}',
  endOperation: 'give the lease of {vm} back',
  // ways back
  detachHeldFunction: 'detach the held VF of {vm}',
  recreateSyntheticAdapter: 'recreate synthetic adapter of {vm}',
  coldStartVm: 'start {vm} cold',
  strandVm: 'strand {vm}: held and paused for a person',
  // conventional save
  ejectVirtualFunction: 'ask the guest of {vm} to eject its VF',
  moveFiltersToDefaultVPort: 'move filters of {vm} to the default VPort',
  deleteVPort: 'delete VPort of {vm}',
  resetVirtualFunction: 'reset the VF of {vm}',
  freeVirtualFunction: 'free the VF of {vm}',
  disconnectSyntheticAdapter: 'disconnect synthetic adapter of {vm}',
  // conventional restore
  connectSyntheticAdapter: 'connect synthetic adapter of {vm}',
  allocateVirtualFunction: 'allocate a VF for {vm}',
  createVPort: 'create VPort for {vm}',
  moveFiltersToVirtualFunction: 'move filters of {vm} to its VF',
  offerVirtualFunction: 'offer the VF to the guest of {vm}',
  probeVirtualFunction: 'wait for the VF driver in {vm}',
  switchDataPath: 'switch {vm} to the VF data path',
  // migration by the emulated path
  plugEmulatedPath: 'plug the emulated path of {vm} in',
  switchToEmulatedPath: 'move new I/O of {vm} to the emulated path',
  drainPassthrough: 'drain the passthrough path of {vm}',
  unplugPassthrough: 'unplug the passthrough path of {vm}',
  saveEmulatedDevice: 'save the emulated device of {vm}',
  suspendVm: 'suspend {vm}: the blackout begins',
  relinquishVm: 'relinquish {vm}: only forward from here',
  releaseMigratedVm: 'release what {vm} had on its source',
  reserveFunctions: 'reserve functions for {vm}',
  exposeFunctions: 'expose corresponding functions for {vm}',
  receiveVm: 'receive {vm}',
  resumeMigratedVm: 'resume {vm} at its destination: the blackout ends',
  plugPassthrough: 'plug the passthrough path of {vm} in',
  switchToPassthrough: 'move I/O of {vm} to the passthrough path',
  unplugEmulatedPath: 'unplug the emulated path of {vm}',
  verifyMigration: 'verify {vm} and its I/O',
  resumeAtSource: 'resume {vm} on its source',
  takeBackMigration: 'take the migration of {vm} back',
  cancelReservation: 'give back what was reserved for {vm}',
  beginMigration: 'begin the migration of {vm}',
  beginReception: 'check the destination for {vm}',
  // leases and descriptions of a VM
  beginSave: 'begin the save of {vm}',
  beginRestore: 'begin the restore of {vm}',
  fenceOperation: 'fence late steps of {vm}',
  describeVm: 'ask how {vm} is',
  // a whole host
  pingHost: 'ask whether {host} answers',
  describeHost: 'ask how {host} and its VMs are',
  surveyHost: 'ask how {host} is',
  probeHost: 'probe the health of {host}',
  acquireHost: 'take the lease of {host}',
  armServicing: 'tell {host} what is about to be done',
  abortServicing: 'stop the run on {host}',
  releaseHost: 'give the lease of {host} back',
  noticeGuests: 'tell the guests of {host}',
  commandFunction: 'send the command to the intermediary of {host}',
  returnRemoteAnswer: 'give the answer of the other host back at {host}',
  stageUpdate: 'stage the update on {host}',
  commitUpdate: 'commit the update of {host} when all VMs are saved',
  rollBackUpdate: 'take the update of {host} back',
  verifyHost: 'verify {host}',
  // the orchestrator
  isRunClosed: 'ask whether the holder of the lease is closed',
  noticeTenants: 'tell the tenants of {host}',
  selectHosts: 'select the hosts',
  keepSurveys: 'keep what the hosts said',
  planFleet: 'plan the waves',
  readPlan: 'read the plan',
  readWave: 'read the hosts of the wave',
  keepHosts: 'keep what became of the hosts',
  findHost: 'find a host in the plan',
  markUnhealthy: 'mark unhealthy hosts',
  readUpdated: 'read which hosts were updated',
  readHosts: 'read what became of all hosts',
  checkWindow: 'look at the maintenance window',
  notify: 'tell a webhook',
  probeHttp: 'probe an address',
  probePrometheus: 'ask Prometheus',
} as const satisfies Readonly<Record<VmStep | HostStep, string>> & Readonly<Record<string, string>>;

/** A call that has a label: every activity must. */
export type LabelledCall = keyof typeof LABELS;
export const LABELLED_CALLS = Object.keys(LABELS);
export const isLabelledCall = (name: PropertyKey): name is LabelledCall =>
  Object.hasOwn(LABELS, name);

/** Whom a call is done to, and in which direction. */
export interface LabelledObject {
  readonly hostId?: string;
  readonly vmId?: string;
  readonly direction?: Direction;
}

const BEFORE: Readonly<Record<Direction, string>> = {
  forward: '',
  undo: 'undo: ',
  recover: 'way back: ',
};

/** One line for the timeline, well below the 400 bytes that a server takes. */
export function stepLabel(
  call: LabelledCall,
  { hostId = 'the host', vmId = 'the VM', direction = 'forward' }: LabelledObject = {},
): string {
  return BEFORE[direction] + LABELS[call].replace('{vm}', vmId).replace('{host}', hostId);
}
