import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import * as z from 'zod';
import { POLICED_OPERATIONS } from '../../contract/functions';
import { missingDenials } from './must-deny';

/**
 * Who sends a command. `host`: a step of a save or restore of the host itself. `vm`: a VM through its private channel.
 * `operator`: a person or pipeline. `remoteHost`: the intermediary of another host.
 */
export const CALLERS = ['host', 'vm', 'operator', 'remoteHost'] as const;
export type Caller = (typeof CALLERS)[number];

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const PATTERN = /^[A-Za-z0-9._:/*-]{1,160}$/;
/** An id in which `*` stands for anything. */
const pattern = z
  .string()
  .regex(PATTERN, 'must be an id such as "local:host-01/epf-vm-01"; * stands for anything');

const rule = z.strictObject({
  id: z.string().regex(NAME, 'must be 1-63 letters, digits, dots, dashes or underscores'),
  effect: z.enum(['allow', 'deny']),
  operations: z.union([z.literal('all'), z.array(z.enum(POLICED_OPERATIONS)).min(1)]),
  callers: z.array(z.enum(CALLERS)).min(1).optional(),
  callerHosts: z.array(pattern).min(1).optional(),
  functions: z.array(pattern).min(1).optional(),
  when: z
    .strictObject({
      held: z.boolean().optional(),
      allocated: z.boolean().optional(),
      ownFunction: z.boolean().optional(),
      ownVirtualFunction: z.boolean().optional(),
    })
    .optional(),
  because: z.string().min(1).max(500).optional(),
});
export type Rule = z.output<typeof rule>;

const rules = z.array(rule).min(1).max(200);

/** A whole policy, as a file says it. */
export const policyFile = z
  .strictObject({
    everywhere: rules,
    policies: z.record(
      z.string().regex(NAME, 'must be a name such as "default"'),
      z.strictObject({ rules }),
    ),
  })
  .check((context) => {
    const problem = (path: PropertyKey[], message: string) => {
      context.issues.push({ code: 'custom', path, message, input: context.value });
    };
    const { everywhere, policies } = context.value;
    if (!Object.hasOwn(policies, 'default'))
      problem(['policies'], 'must have one named "default": functions that name none have it');
    for (const [policy, { rules: own }] of Object.entries(policies)) {
      const seen = new Set<string>();
      for (const { id } of [...everywhere, ...own]) {
        if (seen.has(id)) problem(['policies', policy], `two of its rules have the id "${id}"`);
        seen.add(id);
      }
      for (const denial of missingDenials([...everywhere, ...own]))
        problem(['policies', policy], `does not always deny ${denial}, which no policy may allow`);
    }
  });
export type PolicyFile = z.output<typeof policyFile>;

/** What a function policy database holds: a policy that was valid, or why there is none. */
export type PolicyRecord =
  | { readonly version: string; readonly source: string; readonly policy: PolicyFile }
  | { readonly version: string; readonly source: string; readonly unavailable: string };

export const BUILT_IN = 'built-in';
const BUILT_IN_FILE = join(__dirname, 'default.yaml');

/** Not a policy as a whole: everything that is wrong with it, each with its place. */
export class InvalidPolicy extends Error {
  override readonly name = 'InvalidPolicy';
}

/** Reads a policy, YAML or JSON, as a whole. Fails with {@link InvalidPolicy}; then nothing of it counts. */
export function readPolicy(path: string): PolicyRecord & { readonly policy: PolicyFile } {
  let text: string;
  try {
    text = readFileSync(path === BUILT_IN ? BUILT_IN_FILE : path, 'utf8');
  } catch (error) {
    throw new InvalidPolicy(`${path} cannot be read: ${String(error)}`);
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    const places = broken.map(({ message, pos }) => {
      const { line, col } = lineCounter.linePos(pos[0]);
      return `${path}:${String(line)}:${String(col)}: ${message}`;
    });
    throw new InvalidPolicy(places.join('; '));
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    throw new InvalidPolicy(`${path}: ${String(error)}`);
  }
  const parsed = policyFile.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((i) => `${i.path.join('.') || 'file'}: ${i.message}`);
    throw new InvalidPolicy(`${path}: ${problems.join('; ')}`);
  }
  return { version: versionOf(parsed.data), source: path, policy: parsed.data };
}

/** Two files that say the same have one version, whatever their comments are. */
export const versionOf = (policy: unknown): string =>
  createHash('sha256').update(JSON.stringify(policy)).digest('hex').slice(0, 12);
