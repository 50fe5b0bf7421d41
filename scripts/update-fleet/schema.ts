/** examples/fleet.schema.json, for editors, is made from the schema that fleet files are checked with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { runMain } from '../../workers/run-main';
import { fleetFile } from './fleet-file';

export const SCHEMA_FILE = join('examples', 'fleet.schema.json');

export function fleetSchema(): string {
  const schema = { title: 'holdfast fleet file', ...z.toJSONSchema(fleetFile, { io: 'input' }) };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function main(): Promise<void> {
  writeFileSync(join(__dirname, '..', '..', SCHEMA_FILE), fleetSchema());
  process.stdout.write(`wrote ${SCHEMA_FILE}\n`);
  return Promise.resolve();
}

if (require.main === module) runMain('fleet-schema', main);
