/** examples/function-policy/function-policy.schema.json, for editors, is made from the schema that policies are read with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { policyFile } from '../hosts/function-policy/policy-file';
import { runMain } from '../workers/run-main';

export const POLICY_SCHEMA_FILE = join(
  'examples',
  'function-policy',
  'function-policy.schema.json',
);

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** What an editor shows beside a field of a rule. */
const OF_A_RULE: Readonly<Record<string, string>> = {
  id: 'What the journal and every denial name: unique among the rules that a function has.',
  effect: 'A denial wins over any permission. What no rule allows is denied.',
  operations: 'Which operations it is about, or all.',
  callers:
    'host: a step of a save or restore. vm: through its private channel. operator: a person or pipeline. remoteHost: the intermediary of another host. Default: all.',
  callerHosts: 'Of remote hosts: which; * stands for anything. Default: all.',
  functions: 'Which functions, by id; * stands for anything. Default: all.',
  when: 'What must be so of the function. Default: anything.',
  because: 'Told to whoever is denied.',
};
const OF_WHEN: Readonly<Record<string, string>> = {
  held: 'The VF that is meant is held by a save or restore.',
  allocated: 'The owner of the function has a VF for each adapter that is to have one.',
  ownFunction: 'The caller is the VM that owns the function.',
  ownVirtualFunction: 'The VF that is named is one of the owner of the function.',
};

/** Fails where a description is of a field that is not there any more. */
export function policySchema(): string {
  const schema: JsonSchema = {
    title: 'holdfast function policy',
    ...z.toJSONSchema(policyFile, { io: 'input' }),
  };
  const everywhere = within(schema, 'everywhere');
  everywhere.description = 'Rules for every function, whichever policy it has.';
  const policies = within(schema, 'policies');
  policies.description =
    'Policies that functions name; "default" is for those that name none, and must be there.';
  const named = policies.additionalProperties;
  if (typeof named !== 'object') throw new Error('policies has no schema of a policy');
  for (const rules of [everywhere, within(named, 'rules')]) {
    describe(rules, OF_A_RULE);
    describe(within(rules, 'when'), OF_WHEN);
  }
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function describe(schema: JsonSchema, descriptions: Readonly<Record<string, string>>): void {
  for (const [field, text] of Object.entries(descriptions))
    within(schema, field).description = text;
}

/** A field of an object, or of the objects in a list. */
function within(schema: JsonSchema, key: string): JsonSchema {
  const { items } = schema;
  const object = typeof items === 'object' && !Array.isArray(items) ? items : schema;
  const field = object.properties?.[key];
  if (typeof field !== 'object') throw new Error(`A function policy has no field ${key}.`);
  return field;
}

function main(): Promise<void> {
  writeFileSync(join(__dirname, '..', POLICY_SCHEMA_FILE), policySchema());
  process.stdout.write(`wrote ${POLICY_SCHEMA_FILE}\n`);
  return Promise.resolve();
}

if (require.main === module) runMain('function-policy-schema', main);
