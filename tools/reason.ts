import { isNativeError } from 'node:util/types';

/** An error and its causes in one line, for a message to a person; `fetch failed` alone says nothing. */
export function reasonOf(error: unknown): string {
  // Not instanceof: under jest, Node's own errors are of another realm.
  if (!isNativeError(error)) return String(error);
  const own = error.message || partsOf(error);
  return error.cause === undefined ? own : `${own}: ${reasonOf(error.cause)}`;
}

/** A connection attempt to several addresses fails as an AggregateError without a message. */
function partsOf(error: Error): string {
  if (!('errors' in error) || !Array.isArray(error.errors)) return error.name;
  return error.errors.map(reasonOf).join('; ');
}

/** The code of a system error (`ENOENT`), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  if (!isNativeError(error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
