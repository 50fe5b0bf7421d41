/** examples/fleet.schema.json, for editors, is made from the schema that fleet files are checked with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { runMain } from '../../workers/run-main';
import { fleetFile } from './fleet-file';

export const SCHEMA_FILE = join('examples', 'fleet.schema.json');

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** What an editor shows beside a field; in short what contract/fleet-input.ts says. */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  name: 'What the run is called: update-fleet/<name>. Default: the name of the file.',
  update: 'What is updated, and to which version.',
  hosts: 'The hosts to update, by name. Either these or a selector; neither does not mean "all".',
  selector: 'The hosts of the inventory that meet every condition that is given.',
  exclude: 'Hosts to leave out of what the selector finds.',
  maxHosts: 'More hosts than this are refused.',
  inventory: 'Where the hosts stand. Default: the inventory of the orchestrator.',
  'inventory.hosts.faultDomain': 'What shares power or a switch: one host of it at a time.',
  'inventory.hosts.availabilityGroups': 'VMs that stand in for each other: one host at a time.',
  'inventory.hosts.vms': 'For a plan without a server; a run asks the host itself.',
  strategy: 'In which order, how many at a time, and what is decided when something fails.',
  'strategy.canary':
    'Hosts of the first wave, in which any failure stops the run: 2, or "5%". 0: no canary.',
  'strategy.waves': 'Sizes of the waves after it, such as [2, "25%"]; the last one repeats.',
  'strategy.maxConcurrentHosts':
    'Hosts in flight at a time: 2, or "10%" of all planned, rounded down, at least 1.',
  'strategy.ramp': 'Begin each wave with one host, then two, four, … after as many successes.',
  'strategy.perFaultDomain': 'Hosts of one fault domain in flight at a time.',
  'strategy.perAvailabilityGroup': 'Hosts of one availability group in flight at a time.',
  'strategy.bakeTime': 'How long all must be well after a wave before the next one begins.',
  'strategy.bakeTime.settle': 'Nobody looks before this has passed.',
  'strategy.bakeTime.stableFor': 'All must be well for this long, without a break.',
  'strategy.bakeTime.giveUpAfter': 'Counted from the first look.',
  'strategy.failureLimit':
    'More failures than this stop the run: 1, or "10%" of all planned, rounded down.',
  'strategy.onFailure':
    'pause: wait for a person. abort: start no more. rollBack: and take the updated hosts back.',
  'strategy.approval': 'Before which waves a person must approve.',
  'strategy.onBusy': 'What to do with a host that another run holds.',
  health: 'What is asked before, after and between waves.',
  maintenanceWindow:
    'When hosts may start; what runs when it closes is let finish. Default: always.',
  'maintenanceWindow.timeZone': 'An IANA name such as "Europe/Berlin".',
  'maintenanceWindow.hostTakes':
    'A host that would not be done before the window closes is not started.',
  blackoutAllowance: 'How long each VM may be dark in all, over a period.',
  servicing: 'How each host is serviced: the settings of serviceHost.',
  'servicing.notice': 'Who is told before a VM pauses.',
  notify: 'Webhooks that hear of start, gates, pauses, failures and the end; signed.',
  dryRun: 'Only the plan, with a verdict for every VM: nothing is touched.',
  faults: 'Exercises on simulated hosts, by host.',
};

/** Fails where a description is of a field that is not there any more. */
export function fleetSchema(): string {
  const schema: JsonSchema = {
    title: 'holdfast fleet file',
    ...z.toJSONSchema(fleetFile, { io: 'input' }),
  };
  for (const [field, description] of Object.entries(DESCRIPTIONS))
    field.split('.').reduce(fieldOf, schema).description = description;
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** A field of an object, or of the objects in a list. */
function fieldOf(schema: JsonSchema, key: string): JsonSchema {
  const { items } = schema;
  const object = typeof items === 'object' && !Array.isArray(items) ? items : schema;
  const field = object.properties?.[key];
  if (typeof field !== 'object') throw new Error(`A fleet file has no field ${key}.`);
  return field;
}

function main(): Promise<void> {
  writeFileSync(join(__dirname, '..', '..', SCHEMA_FILE), fleetSchema());
  process.stdout.write(`wrote ${SCHEMA_FILE}\n`);
  return Promise.resolve();
}

if (require.main === module) runMain('fleet-schema', main);
