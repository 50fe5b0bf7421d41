import { parse } from 'yaml';
import { z } from '../../contract/zod';
import { CannotFork } from './ended';

/** What `--set` changes, by field. */
export type Changes = Readonly<Record<string, unknown>>;

/** Collects `--set key=value`: the value is read as YAML, so also as JSON. */
export function change(text: string, changes: Changes = {}): Changes {
  const [, key, value] = /^([A-Za-z]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    throw new CannotFork(`--set ${text}: write it as field=value, such as blackoutBudget=20s.`);
  }
  try {
    return { ...changes, [key]: parse(value) as unknown };
  } catch (error) {
    throw new CannotFork(
      `--set ${text}: the value is no YAML: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Fields that say which VM or host it is: with another one it would be no fork. */
const IDENTIFYING = ['hostId', 'vmId', 'adopt'];

/** The changed input, as the workflow will take it; else what is wrong with each field. */
export function changed(
  type: string,
  schema: z.ZodMiniType,
  input: Readonly<Record<string, unknown>>,
  changes: Changes,
): Readonly<Record<string, unknown>> {
  const fixed = Object.keys(changes).filter((key) => IDENTIFYING.includes(key));
  if (fixed.length > 0) {
    throw new CannotFork(
      `${fixed.join(', ')} cannot be set: a fork goes on with the same VM or host. For another one start a new ${type}.`,
    );
  }
  if (type === 'fastRestore' && 'mode' in changes) {
    throw new CannotFork(
      'mode cannot be set: a restore obeys the mode that its record names, which the save has written.',
    );
  }
  const next = { ...input, ...changes };
  const parsed = z.safeParse(schema, next);
  if (parsed.success) return next;
  const problems = parsed.error.issues.map((issue) => {
    const path = issue.path.map(String).join('.');
    return `${path === '' ? '' : `${path}: `}${issue.message} (got ${shown(issue.path.reduce(at, next))})`;
  });
  throw new CannotFork(`${type} does not take this input: ${problems.join('; ')}.`);
}

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

const at = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
