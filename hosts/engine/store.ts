import { open, type Database, type RootDatabase } from 'lmdb';
import { HoldfastError } from '../../contract/failures';
import type { Beginning, JournalEntry } from '../../contract/host';
import type { AnyStep, StepCall } from '../../contract/steps';
import { Changes, type Topic } from './changes';
import { hostNowMs } from './clock';
import { ServicingRecords } from './servicing-record';
import type {
  CoreHost,
  CoreObjects,
  HostObjects,
  IssuedList,
  RecordedFailure,
  RecordedOutcome,
} from './state';

/** Journal entries kept for each host; older ones are dropped. */
const JOURNAL_LIMIT = 50_000;

/** Beginnings of runs kept for each host. */
const BEGINNINGS_LIMIT = 16;

/** What a change answers that has changed nothing: then nothing is written, and nobody is woken. */
export const UNCHANGED = Symbol('unchanged');

export type Key = (string | number)[];

/** Which list of a VM: one generation has one for each direction. */
export type ListId = Pick<StepCall, 'hostId' | 'vmId' | 'generation' | 'direction'>;

/**
 * Objects of one shape share its description: half the time of every transaction. By default 32 shapes are shared, fewer
 * than hosts have by now, and reading those beyond took a fifth of it.
 */
const RECORDS = {
  encoding: 'msgpack',
  sharedStructuresKey: Symbol.for('structures'),
  maxSharedStructures: 256,
} as const;

/** What the performance of a step keeps, and waits by. */
export type StepRecords = Pick<
  HostStore<CoreObjects>,
  'result' | 'putResult' | 'append' | 'changes'
>;

/**
 * The state of the hosts of one directory, which any number of processes may open: the engine's and the driver's, in one
 * LMDB environment. Transactions are synchronous and survive SIGKILL of any process; `noSync` gives up only what a power
 * failure of the machine would lose. A driver that keeps more than hosts and VMs extends it.
 */
export abstract class HostStore<O extends CoreObjects> {
  protected readonly root: RootDatabase;
  protected readonly db: Database<unknown, Key>;
  readonly changes: Changes;
  readonly #servicing: ServicingRecords;

  constructor(
    readonly directory: string,
    /** The host's clock, ms. */
    readonly nowMs: () => number = hostNowMs,
  ) {
    this.root = open({ path: directory, noSync: true, mapSize: 4 * 2 ** 30 });
    this.db = this.table('hosts');
    this.changes = new Changes((hostId) => this.host(hostId), nowMs);
    this.#servicing = new ServicingRecords(
      (hostId) => (this.db.get(['servicing', hostId]) as CoreHost['servicing'] | undefined) ?? null,
    );
  }

  protected table(name: string): Database<unknown, Key> {
    return this.root.openDB<unknown, Key>({ name, ...RECORDS });
  }

  /** What a VM's steps work on beside the VM and its host, read with them. */
  protected abstract objectsOf(host: O['host'], vm: O['vm'], nowMs: number): O;
  /** Writes that back; by default there is nothing but the VM and its host. */
  protected putObjects(_o: O): void {
    return;
  }
  /** Of the devices that steps of several VMs wait for; asked before a change of `o` and after it. */
  protected devicesMark(_o: O): unknown {
    return null;
  }

  async close(): Promise<void> {
    this.changes.close();
    await this.root.close();
  }

  /**
   * The number of the latest write to the store, by whichever process; it costs some microseconds. Reads after this see that
   * write, unless it is being completed at this very moment.
   */
  latestWrite(): number {
    const stats: { lastTxnId?: unknown } = this.root.getStats();
    // Else they would see what reads of this process saw a moment ago.
    this.root.resetReadTxn();
    return Number(stats.lastTxnId);
  }

  hostIds(): string[] {
    return [...this.db.getKeys({ start: ['host', ''], end: ['host', '\uffff'] })].map((key) =>
      String(key[1]),
    );
  }

  protected putNewHost(host: O['host'], vms: readonly O['vm'][]): void {
    this.#putHostRecord({ writes: 0, ...host, clockMs: this.nowMs() });
    for (const vm of vms) this.putVm(host.hostId, vm);
  }

  host(hostId: string): O['host'] {
    const host = this.db.get(['host', hostId]);
    if (host === undefined) {
      const known = this.hostIds();
      throw new HoldfastError(
        'UnknownHost',
        `There is no host "${hostId}" here (known: ${known.length === 0 ? 'none' : known.join(', ')}).`,
        { hostId },
      );
    }
    return this.#servicing.hostOf(host as object);
  }

  #putHostRecord(host: O['host']): void {
    const { hostId } = host;
    const { record, servicing } = this.#servicing.recordsOf(host);
    this.db.putSync(['host', hostId], record);
    if (servicing !== undefined) this.db.putSync(['servicing', hostId], servicing);
  }

  vm(hostId: string, vmId: string): O['vm'] {
    const vm = this.findVm(hostId, vmId);
    if (vm === undefined) {
      const { vmIds } = this.host(hostId);
      throw new HoldfastError(
        'UnknownVm',
        `Host ${hostId} has no VM "${vmId}" (it has ${vmIds.length === 0 ? 'none' : vmIds.join(', ')}).`,
        { hostId, vmId },
      );
    }
    return vm;
  }

  /** Whether the store has anything of this VM, also one that has left or is on its way. */
  findVm(hostId: string, vmId: string): O['vm'] | undefined {
    return this.db.get(['vm', hostId, vmId]) as O['vm'] | undefined;
  }

  /** Also those that have left, or are on their way here. */
  allVms(hostId: string): O['vm'][] {
    const range = { start: ['vm', hostId, ''], end: ['vm', hostId, '\uffff'] };
    return [...this.db.getRange(range)].map(({ value }) => value as O['vm']);
  }

  objects(hostId: string, vmId: string): O {
    return this.objectsOf(this.host(hostId), this.vm(hostId, vmId), this.nowMs());
  }

  hostObjects(hostId: string): HostObjects<O['host'], O['vm']> {
    const host = this.host(hostId);
    return {
      host,
      nowMs: this.nowMs(),
      vms: () => host.vmIds.map((vmId) => this.vm(hostId, vmId)),
      putVm: (vm) => {
        this.putVm(hostId, vm);
      },
    };
  }

  /** Reads, changes and writes host and VM in one transaction; nothing is written if `change` throws, or says so. */
  update<T>(hostId: string, vmId: string, change: (o: O) => T): T {
    const changed: Topic[] = [];
    const result = this.root.transactionSync(() => {
      const o = this.objects(hostId, vmId);
      const devices = this.devicesMark(o);
      const answer = change(o);
      if (answer === UNCHANGED) return answer;
      changed.push({ hostId, vmId });
      if (devices !== this.devicesMark(o)) changed.push({ hostId, of: 'devices' });
      for (const of of this.#servicing.changed(o.host))
        changed.push(of === 'resumed' ? { hostId, vmId, of: 'resume' } : { hostId, of });
      this.#putHost(o.host);
      this.putObjects(o);
      this.putVm(hostId, o.vm);
      return answer;
    });
    for (const topic of changed) this.changes.tell(topic);
    return result;
  }

  updateHost<T>(hostId: string, change: (o: HostObjects<O['host'], O['vm']>) => T): T {
    const result = this.root.transactionSync(() => {
      const o = this.hostObjects(hostId);
      const answer = change(o);
      if (answer !== UNCHANGED) this.#putHost(o.host);
      return answer;
    });
    if (result !== UNCHANGED) this.changes.tellAll(hostId);
    return result;
  }

  /** Writes one VM beside the host, inside a transaction. */
  putVm(hostId: string, vm: O['vm']): void {
    this.db.putSync(['vm', hostId, vm.vmId], vm);
  }

  /** Appends to the host's journal; call it inside a transaction, so that the entry stands or falls with its effect. */
  append(host: O['host'], entry: Omit<JournalEntry, 'seq' | 'hostTimeMs'>): void {
    host.journalSeq += 1;
    const stored: JournalEntry = { seq: host.journalSeq, hostTimeMs: this.nowMs(), ...entry };
    this.db.putSync(['journal', host.hostId, host.journalSeq], stored);
    if (host.journalSeq > JOURNAL_LIMIT) {
      this.db.removeSync(['journal', host.hostId, host.journalSeq - JOURNAL_LIMIT]);
    }
  }

  journal(hostId: string, afterSeq: number, limit: number, vmId?: string): JournalEntry[] {
    this.host(hostId);
    const entries: JournalEntry[] = [];
    const range = this.db.getRange({
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
    this.db.putSync(
      ['beginning', hostId, beginning.journalSeq, beginning.vmId ?? '', beginning.generation],
      beginning,
    );
    const keys = [...this.db.getKeys(beginningsOf(hostId))];
    for (const old of keys.slice(0, -BEGINNINGS_LIMIT)) this.db.removeSync(old);
  }

  /** Oldest first. */
  beginnings(hostId: string): Beginning[] {
    this.host(hostId);
    return [...this.db.getRange(beginningsOf(hostId))].map(({ value }) => value as Beginning);
  }

  /** The key says whose result it is: the step is part of it. */
  result<Step extends AnyStep>(hostId: string, key: string): RecordedOutcome<Step> | undefined {
    return this.db.get(['result', hostId, key]) as RecordedOutcome<Step> | undefined;
  }

  putResult(hostId: string, key: string, outcome: RecordedOutcome): void {
    this.db.putSync(['result', hostId, key], outcome);
  }

  /** Why a step failed for good. */
  failure(hostId: string, key: string): RecordedFailure | undefined {
    return this.db.get(['failure', hostId, key]) as RecordedFailure | undefined;
  }

  putFailure(hostId: string, key: string, failure: RecordedFailure): void {
    this.db.putSync(['failure', hostId, key], failure);
  }

  list({ hostId, vmId, generation, direction }: ListId): IssuedList | undefined {
    return this.db.get(['list', hostId, vmId, generation, direction]) as IssuedList | undefined;
  }

  /** Reads, changes and writes a list in one transaction; `change` answers the new one, or what it was given. */
  updateList(id: ListId, change: (list: IssuedList | undefined) => IssuedList): IssuedList {
    const { hostId, vmId, generation, direction } = id;
    return this.root.transactionSync(() => {
      const before = this.list(id);
      const after = change(before);
      if (after !== before) this.db.putSync(['list', hostId, vmId, generation, direction], after);
      return after;
    });
  }

  /** Oldest first. */
  lists(hostId: string, vmId: string): IssuedList[] {
    const range = { start: ['list', hostId, vmId, 0], end: ['list', hostId, vmId, Infinity] };
    return [...this.db.getRange(range)].map(({ value }) => value as IssuedList);
  }

  /** Those of an operation that is over. */
  dropLists(hostId: string, vmId: string, before: number): void {
    for (const { generation, direction } of this.lists(hostId, vmId))
      if (generation < before) this.db.removeSync(['list', hostId, vmId, generation, direction]);
  }

  /** Numbers each write of a host, so that other processes see that there was one. */
  #putHost(host: O['host']): void {
    const { hostId, writes = 0 } = host;
    host.writes = writes + 1;
    host.clockMs = this.nowMs();
    this.#putHostRecord(host);
    this.changes.wrote(hostId, writes + 1);
  }
}

const beginningsOf = (hostId: string) => ({
  start: ['beginning', hostId, 0],
  end: ['beginning', hostId, Number.MAX_SAFE_INTEGER],
});
