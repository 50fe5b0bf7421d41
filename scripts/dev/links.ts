import type { UpdateFleetInput } from '../../contract/fleet-input';
import type { CommandFunctionInput } from '../../contract/functions';
import type {
  FastRestoreInput,
  FastSaveInput,
  MigrateVmInput,
  ServiceHostInput,
} from '../../contract/inputs';
import { HOLDFAST_QUEUE } from '../../contract/queues';

/**
 * One example of each workflow with its smallest input. The UI's form prefills from the latest run of a type, so these
 * are what a person finds there; the children of a servicing run have the same inputs.
 */
export const examples = (hosts: string[]) => ({
  // Only a plan, so that whoever presses Start without looking gets one too.
  updateFleet: { update: { version: '2.0.0' }, hosts, dryRun: true } satisfies UpdateFleetInput,
  serviceHost: { hostId: 'host-01', update: { version: '2.0.0' } } satisfies ServiceHostInput,
  fastSave: { hostId: 'host-01', vmId: 'vm-01' } satisfies FastSaveInput,
  fastRestore: { hostId: 'host-01', vmId: 'vm-01' } satisfies FastRestoreInput,
  commandFunction: {
    functionId: 'local:host-01/epf-vm-01',
    operation: 'reallocateVirtualFunction',
    input: { vfId: 0, bandwidthGbps: 7.5 },
  } satisfies CommandFunctionInput,
});

/** A move that can be made once is no example to be run beforehand: its form starts empty. */
const migration = (toHostId: string): MigrateVmInput => ({
  vmId: 'vm-01',
  fromHostId: 'host-01',
  toHostId,
});

/** Where people find things. */
export interface Place {
  /** Of the web UI; undefined where the server is not ours. */
  readonly uiUrl: string | undefined;
  readonly address: string;
  readonly namespace: string;
}

/** The form of a workflow type in the UI: what it is filled with comes from the latest run of that type. */
const formLink = (base: string, namespace: string, workflowType: string): string =>
  `${base}/namespaces/${namespace}/workflows/start-workflow?workflowType=${workflowType}&taskQueue=${HOLDFAST_QUEUE}`;

/** The runs that ended badly, with their next action in memo and details. */
const failedLink = (base: string, namespace: string): string =>
  `${base}/namespaces/${namespace}/workflows?query=${encodeURIComponent('`ExecutionStatus`="Failed"')}`;

/** What `npm run dev` prints once everything is up. */
export function links(
  { uiUrl, address, namespace }: Place,
  hosts: string[],
  emptyHost = 'host-02',
): string {
  const base = uiUrl ?? `(the UI of ${address})`;
  return [
    '',
    `Temporal UI:   ${base}`,
    `Server:        ${address} (TEMPORAL_ADDRESS)`,
    '',
    'Start a workflow from its form (the input is filled in from the latest run; change it and press Start):',
    ...Object.entries({ ...examples(hosts), migrateVm: migration(emptyHost) }).map(
      ([type, input]) =>
        `  ${type.padEnd(15)} ${formLink(base, namespace, type)}\n  ${' '.repeat(15)} ${JSON.stringify(input)}`,
    ),
    '',
    `Failed runs:   ${failedLink(base, namespace)}`,
    '               Add a fault to the input of a run to see one: "faults":[{"vmId":"vm-01","step":"saveVm","kind":"fail-before","times":1000}]',
    '',
    'Ctrl-C stops everything; the data stays.',
  ].join('\n');
}
