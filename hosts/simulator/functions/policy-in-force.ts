import {
  BUILT_IN,
  InvalidPolicy,
  readPolicy,
  versionOf,
  type PolicyRecord,
} from '../../function-policy/policy-file';
import type { SimulatorStore } from '../store';

/** A directory that holds no policy, since none was given and it is new or of before there were any, gets the built-in one. */
export function ensurePolicy(store: SimulatorStore): void {
  const record = store.functions.record();
  const isWithout = record === undefined || ('unavailable' in record && record.source === BUILT_IN);
  if (isWithout) loadPolicy(store, BUILT_IN);
}

/** `rejected`: why the file does not count, and the version that stays in force; null: none, everything is denied. */
export type Loaded =
  | { readonly version: string }
  | { readonly rejected: string; readonly staysInForce: string | null };

/**
 * Puts a policy file in force for all processes that serve hosts of the directory: as a whole, or not at all. A broken one
 * leaves the policy that a person gave before; the built-in one is not what they wanted, so then there is none.
 */
export function loadPolicy(store: SimulatorStore, path: string): Loaded {
  const before = store.functions.record();
  try {
    const record = readPolicy(path);
    if (before?.version !== record.version || before.source !== record.source)
      store.functions.putRecord(record);
    return { version: record.version };
  } catch (error) {
    if (!(error instanceof InvalidPolicy)) throw error;
    if (isAPersons(before)) return { rejected: error.message, staysInForce: before.version };
    const version = `none-${versionOf(error.message)}`;
    store.functions.putRecord({ version, source: path, unavailable: error.message });
    return { rejected: error.message, staysInForce: null };
  }
}

const isAPersons = (record: PolicyRecord | undefined): record is PolicyRecord =>
  record !== undefined && !('unavailable' in record) && record.source !== BUILT_IN;
