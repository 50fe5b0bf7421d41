/** examples/fleet.schema.json, for editors, is made from the schema that fleet files are checked with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import * as z from 'zod';
import { runMain } from '../../workers/run-main';
import { fleetFile } from './fleet-file';

export const SCHEMA_FILE = join('examples', 'fleet.schema.json');

export function fleetSchema(): Promise<string> {
  const schema = { title: 'holdfast fleet file', ...z.toJSONSchema(fleetFile, { io: 'input' }) };
  return format(JSON.stringify(schema), { parser: 'json', printWidth: 100 });
}

async function main(): Promise<void> {
  writeFileSync(join(__dirname, '..', '..', SCHEMA_FILE), await fleetSchema());
  process.stdout.write(`wrote ${SCHEMA_FILE}\n`);
}

if (require.main === module) runMain('fleet-schema', main);
