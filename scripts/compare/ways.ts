import type { Client } from '@temporalio/client';
import type { MigrateVmInput, ServiceHostInput } from '../../contract/inputs';
import { HOLDFAST_QUEUE, serviceHostId } from '../../contract/queues';
import { functionsOf, type ServicedVm } from '../../contract/results';
import type { StepReport } from '../../contract/steps';
import type { migrateVm, serviceHost } from '../../workflows';

/** What one way did to one VM. Times in ms. */
export interface VmFigures {
  readonly vmId: string;
  readonly blackoutMs: number;
  /** Time without the VF as the data path. */
  readonly vfOutageMs: number;
  /** Devices that the guest saw come and go. */
  readonly guestVisibleEvents: number;
  readonly steps: number;
  /** The same VF, with the same VF ID and LUID, as before. */
  readonly identityKept: boolean;
}

export const WAYS = {
  modified: 'modified save and restore',
  conventional: 'conventional save and restore',
  'emulated-path': 'migration by the emulated path',
  'unplug-replug': 'live migration, unplug and replug',
} as const;
export type Way = keyof typeof WAYS;
export const WAY_NAMES = Object.keys(WAYS) as readonly Way[];

/** Whether the VF is held while the VM is dark, so that its device goes on receiving into the ring. */
export const holdsTheVf = (way: Way): boolean => way === 'modified';

/**
 * Hosts full of VMs for each way, and empty ones for those that move. A VM of one name draws the same latencies on each
 * host, so that the ways differ by what they do.
 */
export const HOSTS = { hosts: WAY_NAMES.length + 2, emptyHosts: 2 } as const;
const hostOf = (way: Way) => `host-0${WAY_NAMES.indexOf(way) + 1}`;
const DESTINATIONS = { 'emulated-path': 'host-05', 'unplug-replug': 'host-06' } as const;

/** The longest that a run may ask for: here nothing is to be given up for its time. */
const blackoutBudget = '30s';

export async function runWay(
  client: Client,
  way: Way,
  vmIds: readonly string[],
): Promise<readonly VmFigures[]> {
  if (way === 'modified' || way === 'conventional') return service(client, way);
  return Promise.all(vmIds.map((vmId) => migrate(client, way, vmId)));
}

async function service(client: Client, mode: 'modified' | 'conventional') {
  const hostId = hostOf(mode);
  const input: ServiceHostInput = { hostId, update: { version: '2.0.0' }, mode, blackoutBudget };
  const { vms } = await client.workflow.execute<typeof serviceHost>('serviceHost', {
    workflowId: serviceHostId(hostId),
    taskQueue: HOLDFAST_QUEUE,
    args: [input],
  });
  return vms.map(({ vmId, facts, steps }) => ({
    vmId,
    blackoutMs: facts.blackoutMs,
    vfOutageMs: facts.vfOutageMs,
    guestVisibleEvents: facts.guestVisibleEvents,
    steps: performed(steps),
    identityKept: isKept(facts),
  }));
}

const isKept = (facts: ServicedVm['facts']): boolean =>
  functionsOf(facts).every(
    ({ identityBefore, identityAfter }) =>
      JSON.stringify(identityBefore) === JSON.stringify(identityAfter),
  );

async function migrate(
  client: Client,
  method: 'emulated-path' | 'unplug-replug',
  vmId: string,
): Promise<VmFigures> {
  const input: MigrateVmInput = {
    vmId,
    fromHostId: hostOf(method),
    toHostId: DESTINATIONS[method],
    method,
    blackoutBudget,
  };
  const result = await client.workflow.execute<typeof migrateVm>('migrateVm', {
    workflowId: `compare/${method}/${vmId}`,
    taskQueue: HOLDFAST_QUEUE,
    args: [input],
  });
  const { blackoutMs, vfOutageMs, guestVisibleEvents, steps, functions } = result;
  if (blackoutMs === null) throw new Error(`${vmId}: the run does not know how long it was dark.`);
  return {
    vmId,
    blackoutMs,
    vfOutageMs,
    guestVisibleEvents,
    steps: performed(steps),
    identityKept: functions.every(({ identityKept }) => identityKept),
  };
}

/** Steps that had something to do. */
const performed = (steps: readonly StepReport[]): number =>
  steps.filter(({ status }) => status !== 'notApplicable').length;
