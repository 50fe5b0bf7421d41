/** Every policy in examples/function-policy/ is valid and names the schema; the built-in one would pass for an example. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CompiledPolicy } from '../../hosts/function-policy/decide';
import { readPolicy } from '../../hosts/function-policy/policy-file';
import { POLICY_SCHEMA_FILE, policySchema } from '../../scripts/function-policy-schema';

const ROOT = join(__dirname, '..', '..');
const FOLDER = join(ROOT, 'examples', 'function-policy');
const EXAMPLES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));

test.each(EXAMPLES)('%s is valid, names the schema, and lets hosts service their VMs', (name) => {
  const path = join(FOLDER, name);
  expect(readFileSync(path, 'utf8')).toMatch(
    /^# yaml-language-server: \$schema=\.\/function-policy\.schema\.json\n/,
  );
  const { version, policy } = readPolicy(path);
  const decision = new CompiledPolicy(version, policy).decide({
    operation: 'createVpciBus',
    caller: 'host',
    functionId: 'local:host-01/epf-vm-01',
    policy: 'default',
    allowedOperations: null,
    held: true,
    allocated: true,
    ownFunction: true,
    ownVirtualFunction: true,
  });
  expect(decision).toMatchObject({ effect: 'allow' });
});

test('there is an example', () => {
  expect(EXAMPLES).not.toEqual([]);
});

test('the schema for editors is up to date (else: npm run ts scripts/function-policy-schema.ts)', () => {
  expect(readFileSync(join(ROOT, POLICY_SCHEMA_FILE), 'utf8')).toBe(policySchema());
});
