/** Every fleet file in examples/ is what it says it is: copied, it works. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFleet } from '../../hosts/simulator/fleet';
import { inventoryOf } from '../../hosts/simulator/inventory';
import { SimulatorStore } from '../../hosts/simulator/store';
import { readFleet } from '../../scripts/update-fleet/fleet-file';
import { planFromFile } from '../../scripts/update-fleet/plan';
import { SCHEMA_FILE, fleetSchema } from '../../scripts/update-fleet/schema';

const ROOT = join(__dirname, '..', '..');
const EXAMPLES = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.yaml'));

test('fleet.yaml is the fleet of npm start', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-examples-'));
  const store = new SimulatorStore(directory);
  createFleet(store, { hosts: 3, vms: 4, seed: 1, faultDomains: 2 });
  const { settings } = readFleet(join(ROOT, 'examples', 'fleet.yaml'), {});
  expect(settings.inventory).toEqual(inventoryOf(store));
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

test.each(EXAMPLES)('%s is valid, names the schema, and plans every host it selects', (name) => {
  const path = join(ROOT, 'examples', name);
  expect(readFileSync(path, 'utf8')).toMatch(
    /^# yaml-language-server: \$schema=\.\/fleet\.schema\.json\n/,
  );
  const { waves, refused } = planFromFile(readFleet(path, {}));
  expect(refused).toEqual([]);
  expect(waves.flatMap((wave) => wave.hosts).length).toBeGreaterThan(2);
});

test('the schema for editors is up to date (else: npm run ts scripts/update-fleet/schema.ts)', () => {
  expect(readFileSync(join(ROOT, SCHEMA_FILE), 'utf8')).toBe(fleetSchema());
});
