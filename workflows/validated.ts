import { z } from '../contract/zod';
import { failure } from './failures';

/** The input with its defaults, or an `InvalidInput` failure that names every wrong field, its value and what is allowed. */
export function validated<Schema extends z.ZodMiniType>(
  schema: Schema,
  input: unknown,
  example: string,
): z.output<Schema> {
  const parsed = z.safeParse(schema, input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const path = issue.path.map(String).join('.') || 'input';
    return `${path}: ${issue.message} (got ${shown(issue.path.reduce(at, input))})`;
  });
  throw failure('InvalidInput', `${problems.join('; ')}. Smallest input: ${example}.`, {
    details: { problems },
  });
}

const at = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;

function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
