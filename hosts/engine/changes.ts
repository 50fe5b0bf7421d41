import { EventEmitter } from 'node:events';
import { GATES, type Gate } from './gates';
import type { CoreHost } from './state';

/** How often the writes of other processes (the dead-man's) are looked for, ms, while anybody waits. */
const LOOK_EVERY_MS = 20;

/** What a step waits for a change of: one VM, whether that VM runs again, a gate of its host, or the host's devices. */
export type Topic =
  | { readonly hostId: string; readonly vmId: string; readonly of?: 'resume' }
  | { readonly hostId: string; readonly of: Gate | 'devices' };

const nameOf = (topic: Topic): string =>
  `${topic.hostId}/${'vmId' in topic ? `${topic.of ?? 'vm'}/${topic.vmId}` : topic.of}`;

/** Wakes whoever waits for a change of a topic, by whichever process: one watch for each host. */
export class Changes {
  readonly #changes = new EventEmitter().setMaxListeners(0);
  /** How often each topic has changed, as far as this process knows. */
  readonly #seen = new Map<string, number>();
  /** The number of the latest write of each host that this process knows of. */
  readonly #writes = new Map<string, number>();
  readonly #watches = new Map<string, { waiters: number; timer: NodeJS.Timeout }>();

  constructor(
    private readonly hostOf: (hostId: string) => Pick<CoreHost, 'writes'>,
    private readonly nowMs: () => number,
  ) {}

  /** What `after` is to be asked with; taken before looking, so that no change in between is missed. */
  seen(topics: readonly Topic[]): number {
    for (const { hostId } of topics) if (!this.#writes.has(hostId)) this.#knowsAllWrites(hostId);
    return topics.reduce((sum, topic) => sum + (this.#seen.get(nameOf(topic)) ?? 0), 0);
  }

  /** Waits for a change of one of the topics since `seen`, or until that moment of the host's clock. */
  async after(
    topics: readonly Topic[],
    seen: number,
    signal: AbortSignal,
    untilMs: number | null = null,
  ): Promise<void> {
    if (signal.aborted || this.seen(topics) !== seen) return;
    const names = topics.map(nameOf);
    const watched = [...new Set(topics.map(({ hostId }) => hostId))];
    await new Promise<void>((resolve) => {
      let due: NodeJS.Timeout | undefined;
      const done = () => {
        clearTimeout(due);
        signal.removeEventListener('abort', done);
        for (const name of names) this.#changes.off(name, done);
        for (const hostId of watched) this.#unwatch(hostId);
        resolve();
      };
      for (const name of names) this.#changes.on(name, done);
      signal.addEventListener('abort', done);
      if (untilMs !== null) due = setTimeout(done, Math.max(1, Math.ceil(untilMs - this.nowMs())));
      for (const hostId of watched) this.#watch(hostId);
    });
  }

  tell(topic: Topic): void {
    const name = nameOf(topic);
    this.#seen.set(name, (this.#seen.get(name) ?? 0) + 1);
    this.#changes.emit(name);
  }

  /** A change of the whole host, or by another process, may be of anything. */
  tellAll(hostId: string): void {
    for (const of of [...GATE_NAMES, 'devices'] as const) this.tell({ hostId, of });
    for (const name of this.#changes.eventNames()) {
      const [, host, what, vmId] = /^(.*)\/(vm|resume)\/(.*)$/.exec(String(name)) ?? [];
      if (host === hostId && vmId !== undefined)
        this.tell(what === 'vm' ? { hostId, vmId } : { hostId, vmId, of: 'resume' });
    }
  }

  /** Write number `number` of the host is this process's own. One in between that was not is left to the watch. */
  wrote(hostId: string, number: number): void {
    if (this.#writes.get(hostId) === number - 1) this.#writes.set(hostId, number);
  }

  close(): void {
    for (const { timer } of this.#watches.values()) clearInterval(timer);
  }

  #watch(hostId: string): void {
    const watch = this.#watches.get(hostId);
    if (watch !== undefined) {
      watch.waiters += 1;
      return;
    }
    const timer = setInterval(() => {
      if (!this.#knowsAllWrites(hostId)) this.tellAll(hostId);
    }, LOOK_EVERY_MS);
    this.#watches.set(hostId, { waiters: 1, timer });
  }

  #knowsAllWrites(hostId: string): boolean {
    try {
      const { writes = 0 } = this.hostOf(hostId);
      const isKnown = writes === this.#writes.get(hostId);
      this.#writes.set(hostId, writes);
      return isKnown;
    } catch {
      // Everyone who waits is woken, reads the host again, and meets the same error there.
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

const GATE_NAMES = Object.keys(GATES) as Gate[];
