import { HOST_STEPS, VM_STEPS, type Direction } from './steps';

/** What each call does, in a few words: steps as their tables say, and the calls around them. */
const CALLS = {
  ...VM_STEPS,
  ...HOST_STEPS,
  // leases and descriptions of a VM
  beginMigration: { label: 'begin the migration of {vm}' },
  beginReception: { label: 'check the destination for {vm}' },
  beginSave: { label: 'begin the save of {vm}' },
  beginRestore: { label: 'begin the restore of {vm}' },
  fenceOperation: { label: 'fence late steps of {vm}' },
  withdrawUnlessCrossed: { label: 'withdraw the save of {vm}, unless it has crossed' },
  describeVm: { label: 'ask how {vm} is' },
  // a whole host
  pingHost: { label: 'ask whether {host} answers' },
  describeHost: { label: 'ask how {host} and its VMs are' },
  surveyHost: { label: 'ask how {host} is' },
  probeHost: { label: 'probe the health of {host}' },
  acquireHost: { label: 'take the lease of {host}' },
  armServicing: { label: 'tell {host} what is about to be done' },
  abortServicing: { label: 'stop the run on {host}' },
  releaseHost: { label: 'give the lease of {host} back' },
  commandFunction: { label: 'send the command to the intermediary of {host}' },
  returnRemoteAnswer: { label: 'give the answer of the other host back at {host}' },
  // the orchestrator
  isRunClosed: { label: 'ask whether the holder of the lease is closed' },
  noticeTenants: { label: 'tell the tenants of {host}' },
  selectHosts: { label: 'select the hosts' },
  keepSurveys: { label: 'keep what the hosts said' },
  planFleet: { label: 'plan the waves' },
  readPlan: { label: 'read the plan' },
  readWave: { label: 'read the hosts of the wave' },
  keepHosts: { label: 'keep what became of the hosts' },
  findHost: { label: 'find a host in the plan' },
  markUnhealthy: { label: 'mark unhealthy hosts' },
  readUpdated: { label: 'read which hosts were updated' },
  readHosts: { label: 'read what became of all hosts' },
  checkWindow: { label: 'look at the maintenance window' },
  notify: { label: 'tell a webhook' },
  probeHttp: { label: 'probe an address' },
  probePrometheus: { label: 'ask Prometheus' },
} satisfies Readonly<Record<string, { readonly label: string }>>;

/** A call that has a label: every activity must. */
export type LabelledCall = keyof typeof CALLS;
export const LABELLED_CALLS = Object.keys(CALLS);
export const isLabelledCall = (name: PropertyKey): name is LabelledCall =>
  Object.hasOwn(CALLS, name);

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
  return BEFORE[direction] + CALLS[call].label.replace('{vm}', vmId).replace('{host}', hostId);
}
