import type { Database } from 'lmdb';
import type { FunctionAnswer, FunctionOperation } from '../../../contract/functions';
import { CompiledPolicy } from '../../function-policy/decide';
import { policyFile, type PolicyRecord } from '../../function-policy/policy-file';

/** One function of a host, as its intermediary knows it. */
export interface FunctionEntry {
  readonly functionId: string;
  /** `controller`: no device of its own; through it the remote and composite functions of the host are kept. */
  readonly kind: 'physical' | 'virtual' | 'remote' | 'composite' | 'controller';
  /** The PF that it is emulated on, and its number there; null where the device is not on this host, or not one. */
  readonly deviceId: string | null;
  readonly functionNumber: number | null;
  /** The VM whose private command channel leads to it. */
  readonly ownerVmId: string | null;
  /** Where the device is, and the function's id there. */
  readonly location: { readonly hostId: string; readonly functionId: string };
  /** Of a composite function: what it is made of. */
  readonly parts: readonly { readonly part: string; readonly functionId: string }[];
  /** What the function can do at all; null: whatever its policy allows. */
  readonly allowedOperations: readonly FunctionOperation[] | null;
  /** Which of the policies of the policy file it has. */
  readonly policy: string;
}

/** The policy in force, or why there is none, which denies everything. */
export type InForce =
  | { readonly policy: CompiledPolicy; readonly source: string }
  | { readonly policy: null; readonly version: string; readonly why: string };

type Key = (string | number)[];

/**
 * The function policy database of a fleet directory: the policy in force, the function entries of each host, buffers of
 * callers, and what commands were answered. It takes part in the transactions of the host store.
 */
export class FunctionDatabase {
  #compiled: { readonly version: string; readonly inForce: InForce } | undefined;

  constructor(private readonly db: Database<unknown, Key>) {}

  /** What every decision is made by. The version is read each time, so that a change by any process counts at once. */
  inForce(): InForce {
    let version: unknown;
    try {
      version = this.db.get(['policy-version']);
      if (typeof version !== 'string')
        return unavailable('none', 'the function policy database holds no policy');
      if (this.#compiled?.version !== version)
        this.#compiled = { version, inForce: this.#compile(version) };
      return this.#compiled.inForce;
    } catch (error) {
      const shown = typeof version === 'string' ? version : 'none';
      return unavailable(shown, `the function policy database cannot be read: ${String(error)}`);
    }
  }

  #compile(version: string): InForce {
    const record = this.record();
    if (record === undefined) return unavailable(version, 'the policy database is damaged');
    if ('unavailable' in record) return unavailable(version, record.unavailable);
    const read = policyFile.safeParse(record.policy);
    if (!read.success) return unavailable(version, 'the policy in the database cannot be read');
    return { policy: new CompiledPolicy(version, read.data), source: record.source };
  }

  record(): PolicyRecord | undefined {
    return this.db.get(['policy']) as PolicyRecord | undefined;
  }

  putRecord(record: PolicyRecord): void {
    this.db.transactionSync(() => {
      this.db.putSync(['policy'], record);
      this.db.putSync(['policy-version'], record.version);
    });
  }

  entry(hostId: string, functionId: string): FunctionEntry | undefined {
    return this.db.get(['entry', hostId, functionId]) as FunctionEntry | undefined;
  }

  putEntry(hostId: string, entry: FunctionEntry): void {
    this.db.putSync(['entry', hostId, entry.functionId], entry);
  }

  removeEntry(hostId: string, functionId: string): void {
    this.db.removeSync(['entry', hostId, functionId]);
  }

  entries(hostId: string): FunctionEntry[] {
    const range = { start: ['entry', hostId, ''], end: ['entry', hostId, '\uffff'] };
    return [...this.db.getRange(range)].map(({ value }) => value as FunctionEntry);
  }

  /** Memory of a VM, or a place of the operator's, that commands name as their input or output. */
  buffer(hostId: string, owner: string, name: string): unknown {
    return this.db.get(['buffer', hostId, owner, name]);
  }

  putBuffer(hostId: string, owner: string, name: string, value: unknown): void {
    this.db.putSync(['buffer', hostId, owner, name], value);
  }

  /** Which attempt of a command this is, 1 for the first. */
  nextAttempt(hostId: string, key: string): number {
    return this.db.transactionSync(() => {
      const before = this.db.get(['attempts', hostId, key]);
      const attempt = (typeof before === 'number' ? before : 0) + 1;
      this.db.putSync(['attempts', hostId, key], attempt);
      return attempt;
    });
  }

  answer(hostId: string, key: string): FunctionAnswer | undefined {
    return this.db.get(['answer', hostId, key]) as FunctionAnswer | undefined;
  }

  putAnswer(hostId: string, key: string, answer: FunctionAnswer): void {
    this.db.putSync(['answer', hostId, key], answer);
  }
}

const unavailable = (version: string, why: string): InForce => ({ policy: null, version, why });
