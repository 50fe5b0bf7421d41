import { EventEmitter } from 'node:events';
import { open, type Database, type RootDatabase } from 'lmdb';
import { HoldfastError } from '../../contract/failures';
import type { Beginning, JournalEntry } from '../../contract/host';
import { hostNowMs } from './clock';
import type { Medium } from './devices/guest-io';
import type { PhysicalFunctionState } from './devices/physical-function';
import { presentPfs, presentVm } from './earlier-state';
import { FunctionDatabase } from './functions/function-database';
import type { HostState, Objects, RecordedOutcome, VmState } from './state';

/** Journal entries kept for each host; older ones are dropped. */
const JOURNAL_LIMIT = 50_000;

/** Beginnings of runs kept for each host. */
const BEGINNINGS_LIMIT = 16;

type Key = (string | number)[];

/**
 * Objects of one shape share its description: half the time of every transaction. By default 32 shapes are shared, fewer
 * than hosts have by now, and reading those beyond took a fifth of it.
 */
const RECORDS = {
  encoding: 'msgpack',
  sharedStructuresKey: Symbol.for('structures'),
  maxSharedStructures: 256,
} as const;

/**
 * The state of simulated hosts: one LMDB environment for a fleet directory, which any number of processes may open.
 * Transactions are synchronous and survive SIGKILL of any process; `noSync` gives up only what a power failure of the
 * machine that runs the simulation would lose, and that is no part of the model.
 */
export class HostStore {
  readonly #root: RootDatabase;
  readonly #db: Database<unknown, Key>;
  /** Policy, entries, buffers and answers; in the same transactions. */
  readonly functions: FunctionDatabase;
  readonly #changes = new EventEmitter().setMaxListeners(0);

  constructor(readonly fleetDirectory: string) {
    this.#root = open({ path: fleetDirectory, noSync: true, mapSize: 4 * 2 ** 30 });
    this.#db = this.#root.openDB<unknown, Key>({ name: 'hosts', ...RECORDS });
    this.functions = new FunctionDatabase(
      this.#root.openDB<unknown, Key>({ name: 'functions', ...RECORDS }),
    );
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  hostIds(): string[] {
    return [...this.#db.getKeys({ start: ['host', ''], end: ['host', '\uffff'] })].map((key) =>
      String(key[1]),
    );
  }

  putHost(host: HostState, pfs: readonly PhysicalFunctionState[], vms: readonly VmState[]): void {
    this.#root.transactionSync(() => {
      this.#db.putSync(['host', host.hostId], host);
      this.#db.putSync(['pf', host.hostId], pfs);
      for (const vm of vms) this.#db.putSync(['vm', host.hostId, vm.vmId], vm);
    });
  }

  host(hostId: string): HostState {
    const host = this.#db.get(['host', hostId]) as HostState | undefined;
    if (host === undefined) {
      const known = this.hostIds();
      throw new HoldfastError(
        'UnknownHost',
        `There is no host "${hostId}" here (known: ${known.length === 0 ? 'none' : known.join(', ')}).`,
        { hostId },
      );
    }
    return host;
  }

  vm(hostId: string, vmId: string): VmState {
    const vm = this.#db.get(['vm', hostId, vmId]);
    if (vm === undefined) {
      const { vmIds } = this.host(hostId);
      throw new HoldfastError(
        'UnknownVm',
        `Host ${hostId} has no VM "${vmId}" (it has ${vmIds.length === 0 ? 'none' : vmIds.join(', ')}).`,
        { hostId, vmId },
      );
    }
    return presentVm(vm);
  }

  pfs(hostId: string): readonly PhysicalFunctionState[] {
    return presentPfs(this.#db.get(['pf', hostId]));
  }

  objects(hostId: string, vmId: string): Objects {
    const vm = this.vm(hostId, vmId);
    return {
      host: this.host(hostId),
      pfs: this.pfs(hostId),
      vm,
      media: vm.migration === undefined ? null : this.#media(vm.migration.migrationId),
      nowMs: hostNowMs(),
    };
  }

  /** Both ends of a migration reach the same wire and the same namespaces. */
  #media(migrationId: string): Record<string, Medium> | null {
    const media = this.#db.get(['media', migrationId]) as Record<string, Medium> | undefined;
    return media ?? null;
  }

  #putMedia(migrationId: string, media: Record<string, Medium> | null): void {
    if (media === null) this.#db.removeSync(['media', migrationId]);
    else this.#db.putSync(['media', migrationId], media);
  }

  /** Whether the store has anything of this VM, also one that has left or is on its way. */
  findVm(hostId: string, vmId: string): VmState | undefined {
    const stored = this.#db.get(['vm', hostId, vmId]);
    return stored === undefined ? undefined : presentVm(stored);
  }

  /** Reads, changes and writes host, PFs and VM in one transaction; nothing is written if `change` throws. */
  update<T>(hostId: string, vmId: string, change: (o: Objects) => T): T {
    const result = this.#root.transactionSync(() => {
      const o = this.objects(hostId, vmId);
      const { migration: before } = o.vm;
      const answer = change(o);
      this.#db.putSync(['host', hostId], o.host);
      this.#db.putSync(['pf', hostId], o.pfs);
      this.#db.putSync(['vm', hostId, vmId], o.vm);
      const migrationId = (o.vm.migration ?? before)?.migrationId;
      if (migrationId !== undefined) this.#putMedia(migrationId, o.media ?? null);
      return answer;
    });
    this.#changes.emit(hostId);
    return result;
  }

  updateHost<T>(hostId: string, change: (host: HostState, nowMs: number) => T): T {
    const result = this.#root.transactionSync(() => {
      const host = this.host(hostId);
      const answer = change(host, hostNowMs());
      this.#db.putSync(['host', hostId], host);
      return answer;
    });
    this.#changes.emit(hostId);
    return result;
  }

  /** Writes one VM beside the host, inside a transaction of `updateHost`. */
  putVm(hostId: string, vm: VmState): void {
    this.#db.putSync(['vm', hostId, vm.vmId], vm);
  }

  /** Appends to the host's journal; call it inside a transaction, so that the entry stands or falls with its effect. */
  append(host: HostState, entry: Omit<JournalEntry, 'seq' | 'hostTimeMs'>): void {
    host.journalSeq += 1;
    const stored: JournalEntry = { seq: host.journalSeq, hostTimeMs: hostNowMs(), ...entry };
    this.#db.putSync(['journal', host.hostId, host.journalSeq], stored);
    if (host.journalSeq > JOURNAL_LIMIT) {
      this.#db.removeSync(['journal', host.hostId, host.journalSeq - JOURNAL_LIMIT]);
    }
  }

  journal(hostId: string, afterSeq: number, limit: number, vmId?: string): JournalEntry[] {
    this.host(hostId);
    const entries: JournalEntry[] = [];
    const range = this.#db.getRange({
      start: ['journal', hostId, afterSeq + 1],
      end: ['journal', hostId, Number.MAX_SAFE_INTEGER],
    });
    for (const { value } of range) {
      const entry = value as JournalEntry;
      if (vmId === undefined || entry.vmId === vmId) entries.push(entry);
      if (entries.length >= limit) break;
    }
    return entries;
  }

  /** Keeps how the host was when a run took it; call it inside a transaction. */
  keepBeginning(hostId: string, beginning: Beginning): void {
    this.#db.putSync(
      ['beginning', hostId, beginning.journalSeq, beginning.vmId ?? '', beginning.generation],
      beginning,
    );
    const keys = [...this.#db.getKeys(this.#beginnings(hostId))];
    for (const old of keys.slice(0, -BEGINNINGS_LIMIT)) this.#db.removeSync(old);
  }

  /** Oldest first. */
  beginnings(hostId: string): Beginning[] {
    this.host(hostId);
    return [...this.#db.getRange(this.#beginnings(hostId))].map(({ value }) => value as Beginning);
  }

  #beginnings(hostId: string) {
    return {
      start: ['beginning', hostId, 0],
      end: ['beginning', hostId, Number.MAX_SAFE_INTEGER],
    };
  }

  result(hostId: string, key: string): RecordedOutcome | undefined {
    return this.#db.get(['result', hostId, key]) as RecordedOutcome | undefined;
  }

  putResult(hostId: string, key: string, outcome: RecordedOutcome): void {
    this.#db.putSync(['result', hostId, key], outcome);
  }

  /** Waits for a change of the host by this process, or a little while for one by another. */
  async changed(hostId: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#changes.off(hostId, done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, OTHER_PROCESS_POLL_MS);
      this.#changes.on(hostId, done);
      signal.addEventListener('abort', done);
    });
  }
}

/** Changes by other processes (the dead-man) are noticed after at most this long. */
const OTHER_PROCESS_POLL_MS = 20;
