import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '../../contract/failures';
import { inventory } from '../../contract/inventory';
import { completeInventory, loadInventory } from '../../workers/inventory';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-inventory-'));
const file = join(directory, 'inventory.yaml');
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function problems(read: () => unknown): unknown {
  try {
    read();
  } catch (error) {
    if (error instanceof HoldfastError && error.type === 'InvalidInput')
      return error.facts['problems'];
    throw error;
  }
  throw new Error('it was read');
}

it.each([
  ['YAML', 'hosts:\n  - hostId: host-01 # the first\n    faultDomain: fd-1\n'],
  ['JSON', '{"hosts":[{"hostId":"host-01","faultDomain":"fd-1"}]}'],
])('is read from %s, with its defaults', (_, text) => {
  writeFileSync(file, text);
  expect(loadInventory(file).hosts).toEqual([
    {
      hostId: 'host-01',
      faultDomain: 'fd-1',
      availabilityGroups: [],
      labels: {},
      vms: [],
      custodyBelowVsp: false,
    },
  ]);
});

it('says how to name one if there is none', () => {
  expect(problems(() => loadInventory(undefined))).toEqual([
    expect.stringMatching(/--inventory.*"inventory"/),
  ]);
});

it('says which file is not there', () => {
  expect(problems(() => loadInventory(join(directory, 'none.yaml')))).toEqual([
    expect.stringContaining('none.yaml cannot be read'),
  ]);
});

it.each([
  ['a text that is no YAML', 'hosts: [', /inventory\.yaml: .+/],
  [
    'a name twice',
    'hosts: [{hostId: a, faultDomain: f}, {hostId: a, faultDomain: f}]',
    /named twice: a/,
  ],
  [
    'fields that are wrong',
    'hosts: [{hostId: "-", faultDomain: f}, {hostId: a}]',
    /hosts\.0\.hostId.*hosts\.1\.faultDomain/,
  ],
])('refuses %s, and says where', (_, text, says) => {
  writeFileSync(file, text);
  expect(problems(() => loadInventory(file))).toEqual([expect.stringMatching(says)]);
});

it('is completed with hosts that it lacks; what somebody wrote about the others stays', () => {
  const found = (...hostIds: readonly string[]) =>
    inventory.parse({ hosts: hostIds.map((hostId) => ({ hostId, faultDomain: 'fd-1' })) });
  const path = join(directory, 'complete.json');
  completeInventory(path, found('host-01'));
  expect(loadInventory(path)).toEqual(found('host-01'));

  writeFileSync(path, 'hosts: [{ hostId: host-01, faultDomain: row-7, labels: { sku: x } }]');
  completeInventory(path, found('host-01', 'host-02'));
  expect(loadInventory(path).hosts).toMatchObject([
    { hostId: 'host-01', faultDomain: 'row-7', labels: { sku: 'x' } },
    { hostId: 'host-02', faultDomain: 'fd-1' },
  ]);
  expect(readdirSync(directory).filter((name) => name.endsWith('.new'))).toEqual([]);
});
