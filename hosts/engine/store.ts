import { EventEmitter } from 'node:events';
import { open, type Database, type RootDatabase } from 'lmdb';
import { HoldfastError } from '../../contract/failures';
import type { Beginning, JournalEntry } from '../../contract/host';
import type { AnyStep, StepCall } from '../../contract/steps';
import { hostNowMs } from './clock';
import { GATES, type Gate } from './gates';
import type {
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

/** How often the writes of other processes (the dead-man's) are looked for, ms, while anybody waits. */
const LOOK_EVERY_MS = 20;

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

/** What a step waits for a change of: one VM, whether that VM runs again, a gate of its host, or the host's devices. */
export type Topic =
  | { readonly hostId: string; readonly vmId: string; readonly of?: 'resume' }
  | { readonly hostId: string; readonly of: Gate | 'devices' };

/** What the performance of a step keeps, and waits by. */
export type StepRecords = Pick<
  HostStore<CoreObjects>,
  'result' | 'putResult' | 'append' | 'seen' | 'changed'
>;

const nameOf = (topic: Topic): string =>
  `${topic.hostId}/${'vmId' in topic ? `${topic.of ?? 'vm'}/${topic.vmId}` : topic.of}`;

/**
 * The state of the hosts of one directory, which any number of processes may open: the engine's and the driver's, in one
 * LMDB environment. Transactions are synchronous and survive SIGKILL of any process; `noSync` gives up only what a power
 * failure of the machine would lose. A driver that keeps more than hosts and VMs extends it.
 */
export abstract class HostStore<O extends CoreObjects> {
  protected readonly root: RootDatabase;
  protected readonly db: Database<unknown, Key>;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  /** How often each topic has changed, as far as this process knows. */
  readonly #seen = new Map<string, number>();
  /** The number of the latest write of each host that this process knows of. */
  readonly #writes = new Map<string, number>();

  constructor(
    readonly directory: string,
    /** The host's clock, ms. */
    readonly nowMs: () => number = hostNowMs,
  ) {
    this.root = open({ path: directory, noSync: true, mapSize: 4 * 2 ** 30 });
    this.db = this.table('hosts');
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
    for (const { timer } of this.#watches.values()) clearInterval(timer);
    await this.root.close();
  }

  hostIds(): string[] {
    return [...this.db.getKeys({ start: ['host', ''], end: ['host', '\uffff'] })].map((key) =>
      String(key[1]),
    );
  }

  protected putNewHost(host: O['host'], vms: readonly O['vm'][]): void {
    this.db.putSync(['host', host.hostId], { ...host, clockMs: this.nowMs() });
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
    return host as O['host'];
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
    const topicOf = (of: (typeof TOLD)[number]): Topic =>
      of === 'own resume' ? { hostId, vmId, of: 'resume' } : { hostId, of };
    const result = this.root.transactionSync(() => {
      const o = this.objects(hostId, vmId);
      const before = this.#marks(o);
      const answer = change(o);
      if (answer === UNCHANGED) return answer;
      const after = this.#marks(o);
      changed.push({ hostId, vmId }, ...TOLD.filter((of) => before[of] !== after[of]).map(topicOf));
      this.#putHost(o.host);
      this.putObjects(o);
      this.putVm(hostId, o.vm);
      return answer;
    });
    for (const topic of changed) this.#tell(topic);
    return result;
  }

  /** What others than the VM may wait for; told where it is another after a change. */
  #marks(o: O): Readonly<Record<(typeof TOLD)[number], unknown>> {
    const { servicing } = o.host;
    const gates = Object.entries(GATES).map(([gate, mark]) => [
      gate,
      servicing === null ? null : `${servicing.generation} ${mark(servicing)}`,
    ]);
    return {
      ...(Object.fromEntries(gates) as Record<Gate, string | null>),
      devices: this.devicesMark(o),
      'own resume': servicing?.resumed.includes(o.vm.vmId),
    };
  }

  updateHost<T>(hostId: string, change: (o: HostObjects<O['host'], O['vm']>) => T): T {
    const result = this.root.transactionSync(() => {
      const o = this.hostObjects(hostId);
      const answer = change(o);
      if (answer !== UNCHANGED) this.#putHost(o.host);
      return answer;
    });
    if (result !== UNCHANGED) this.#tellAll(hostId);
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

  /** What `changed` is to be asked with; taken before looking, so that no change in between is missed. */
  seen(topics: readonly Topic[]): number {
    for (const { hostId } of topics) if (!this.#writes.has(hostId)) this.#knowsAllWrites(hostId);
    return topics.reduce((sum, topic) => sum + (this.#seen.get(nameOf(topic)) ?? 0), 0);
  }

  /** Waits for a change of one of the topics since `seen`, by whichever process, or until that moment of the host's clock. */
  async changed(
    topics: readonly Topic[],
    seen: number,
    signal: AbortSignal,
    untilMs: number | null = null,
  ): Promise<void> {
    if (signal.aborted || this.seen(topics) !== seen) return;
    const names = topics.map(nameOf);
    const watched = [...new Set(topics.map(({ hostId }) => hostId))];
    const timer = new AbortController();
    await new Promise<void>((resolve) => {
      const done = () => {
        resolve();
      };
      for (const name of names) this.#changes.once(name, done);
      signal.addEventListener('abort', done, { once: true, signal: timer.signal });
      const due =
        untilMs === null
          ? undefined
          : setTimeout(done, Math.max(1, Math.ceil(untilMs - this.nowMs())));
      for (const hostId of watched) this.#watch(hostId);
      timer.signal.addEventListener('abort', () => {
        clearTimeout(due);
        for (const name of names) this.#changes.off(name, done);
        for (const hostId of watched) this.#unwatch(hostId);
      });
    }).finally(() => {
      timer.abort();
    });
  }

  #tell(topic: Topic): void {
    const name = nameOf(topic);
    this.#seen.set(name, (this.#seen.get(name) ?? 0) + 1);
    this.#changes.emit(name);
  }

  /** A change of the whole host, or by another process, may be of anything. */
  #tellAll(hostId: string): void {
    for (const of of [...GATE_NAMES, 'devices'] as const) this.#tell({ hostId, of });
    for (const name of this.#changes.eventNames()) {
      const [, host, what, vmId] = /^(.*)\/(vm|resume)\/(.*)$/.exec(String(name)) ?? [];
      if (host === hostId && vmId !== undefined)
        this.#tell(what === 'vm' ? { hostId, vmId } : { hostId, vmId, of: 'resume' });
    }
  }

  /** Numbers each write of a host, so that other processes see that there was one. */
  #putHost(host: O['host']): void {
    const { hostId, writes = 0 } = host;
    host.writes = writes + 1;
    host.clockMs = this.nowMs();
    this.db.putSync(['host', hostId], host);
    // One in between that was not ours is left to the watch.
    if (this.#writes.get(hostId) === writes) this.#writes.set(hostId, writes + 1);
  }

  /** One watch for each host that anybody here waits for a change of. */
  readonly #watches = new Map<string, { waiters: number; timer: NodeJS.Timeout }>();

  #watch(hostId: string): void {
    const watch = this.#watches.get(hostId);
    if (watch !== undefined) {
      watch.waiters += 1;
      return;
    }
    const timer = setInterval(() => {
      if (this.#knowsAllWrites(hostId)) return;
      this.#tellAll(hostId);
    }, LOOK_EVERY_MS);
    this.#watches.set(hostId, { waiters: 1, timer });
  }

  #knowsAllWrites(hostId: string): boolean {
    try {
      const { writes = 0 } = this.host(hostId);
      const isKnown = writes === this.#writes.get(hostId);
      this.#writes.set(hostId, writes);
      return isKnown;
    } catch {
      // Whoever waits looks for itself, and is told what is wrong.
      return false;
    }
  }

  #unwatch(hostId: string): void {
    const watch = this.#watches.get(hostId);
    if (watch === undefined) return;
    watch.waiters -= 1;
    if (watch.waiters > 0) return;
    clearInterval(watch.timer);
    this.#watches.delete(hostId);
  }
}

const beginningsOf = (hostId: string) => ({
  start: ['beginning', hostId, 0],
  end: ['beginning', hostId, Number.MAX_SAFE_INTEGER],
});

const GATE_NAMES = Object.keys(GATES) as Gate[];
const TOLD = [...GATE_NAMES, 'devices', 'own resume'] as const;
