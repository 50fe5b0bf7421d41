import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  Direction,
  HostStep,
  HostStepCall,
  StepCall,
  StepLimits,
  StepOutcome,
  VmStep,
} from '../../contract/steps';
import { HeldAnswers } from './answers';
import { BOOT_ID } from './clock';
import { keyOf, nameOf } from './issued';
import { ListPerformer } from './list-performer';
import type { Port } from './port';
import { THIS_PROCESS, hasEnded } from './process-identity';
import type { CoreObjects, IssuedList } from './state';
import type { StepEngine } from './step-engine';
import type { HostStore, ListId } from './store';
import { OVER, notWaitedFor, unlessAborted, within } from './waiting';

const DIRECTIONS = ['forward', 'undo', 'recover'] as const satisfies readonly Direction[];

/**
 * Activities ask, and this performs: one performer for each list of a VM, back to back, wherever its calls arrived and
 * whoever still waits for them. A step that fails is tried again here; what it came to for good is durable.
 */
export class Performers<O extends CoreObjects> {
  readonly #lists = new Map<string, ListPerformer<O>>();
  /** Steps that were issued by themselves, and steps of hosts, that are under way. */
  readonly #alone = new Map<string, UnderWay>();
  readonly #undoing = new Set<string>();
  readonly #stopping = new AbortController();
  readonly held: HeldAnswers;

  constructor(
    readonly store: HostStore<O>,
    readonly port: Port<O>,
    readonly engine: StepEngine<O>,
  ) {
    this.held = new HeldAnswers();
    setMaxListeners(0, this.stopping);
  }

  /** Ends only the waiting for the answer when `signal` does. A repeat joins what is under way, or is answered. */
  async ask(step: VmStep, call: StepCall, signal: AbortSignal): Promise<StepOutcome> {
    const what = `${step} of ${call.vmId}`;
    // Who had gone before it asked must not count as somebody who waits.
    if (signal.aborted) throw notWaitedFor(what);
    const answer =
      call.list === undefined
        ? this.#askedAlone(step, call, signal)
        : this.#listOf(call).asked(step, call, signal);
    return unlessAborted(answer, signal, what);
  }

  /** Goes on with the lists of a dark VM that nobody performs any more: their process has died. Answers whether there were any. */
  goOn(hostId: string, vmId: string): boolean {
    const left = this.listsOf(hostId, vmId).filter(
      (list) =>
        (list.performer === null || hasEnded(list.performer)) &&
        !this.#undoing.has(nameOf({ hostId, ...list })),
    );
    for (const { generation, direction } of left)
      this.#listOf({ hostId, vmId, generation, direction }).goOn();
    return left.length > 0;
  }

  /** What is left to be performed for a dark VM, under its present leases. */
  listsOf(hostId: string, vmId: string): readonly IssuedList[] {
    const { store, port } = this;
    const vm = store.vm(hostId, vmId);
    if (port.image(vm).pausedAtMs === null) return [];
    return [vm.lease, vm.nextLease].flatMap((lease) =>
      DIRECTIONS.flatMap((direction) => {
        const list =
          // What a migration comes to is decided at two hosts: by its run, or at the deadline.
          lease === null || lease.kind === 'migration'
            ? undefined
            : store.list({ hostId, vmId, generation: lease.generation, direction });
        const isLeft =
          list?.bootId === BOOT_ID &&
          (this.#isOpen(hostId, list) || this.#isUndecided(hostId, vm, list));
        return isLeft ? [list] : [];
      }),
    );
  }

  /** A save that failed for good before the mark, and that neither its run nor this host has taken back. */
  #isUndecided(hostId: string, { lease, pointOfNoReturn }: O['vm'], list: IssuedList): boolean {
    return (
      list.direction === 'forward' &&
      lease?.kind === 'save' &&
      lease.generation === list.generation &&
      pointOfNoReturn === null &&
      list.calls.some(({ step }) => this.store.failure(hostId, keyOf(list, step)) !== undefined)
    );
  }

  #isOpen(hostId: string, list: IssuedList): boolean {
    return list.calls.some(({ step }) => {
      const key = keyOf(list, step);
      return (
        this.store.result(hostId, key) === undefined &&
        this.store.failure(hostId, key) === undefined
      );
    });
  }

  /** Issues these steps by itself, for a dark VM whose run decides nothing. */
  issue(id: ListId, steps: readonly VmStep[], limits: StepLimits): void {
    const calls = steps.map((step, i) => ({
      step,
      call: { ...id, ...limits, list: { after: steps[i - 1] ?? null, length: steps.length } },
    }));
    const { vmId, generation, direction } = id;
    const list = { vmId, generation, direction, bootId: BOOT_ID, performer: THIS_PROCESS, calls };
    this.store.updateList(id, () => list);
    this.#listOf(id).goOn();
  }

  /** No VM that this process performs a list of is dark any more; what waits for a turn with its VM running ends. */
  async stop(within: number): Promise<void> {
    this.#stopping.abort(OVER);
    const until = performance.now() + within;
    const isNeeded = () =>
      this.#undoing.size > 0 || [...this.#lists.values()].some((list) => list.isNeeded);
    while (performance.now() < until && isNeeded()) await delay(10);
  }

  /** Once for each list: what takes it back if nobody else does. */
  undoing(list: string, undo: () => Promise<void>): void {
    if (this.#undoing.has(list)) return;
    this.#undoing.add(list);
    void undo()
      // The dead-man's deadline is there for what cannot be undone.
      .catch(() => undefined)
      .finally(() => this.#undoing.delete(list));
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  isDark(hostId: string, vmId: string): boolean {
    return this.port.image(this.store.vm(hostId, vmId)).pausedAtMs !== null;
  }

  ended(list: ListPerformer<O>): void {
    this.#lists.delete(list.name);
  }

  #listOf(id: ListId): ListPerformer<O> {
    const name = nameOf(id);
    const known = this.#lists.get(name);
    if (known !== undefined) return known;
    const list = new ListPerformer(this, name, id);
    this.#lists.set(name, list);
    return list;
  }

  /** The same for a step of the host: while VMs are dark it goes on, also when nobody asks for it any more. */
  async askHost(step: HostStep, call: HostStepCall, signal: AbortSignal): Promise<StepOutcome> {
    const { hostId, generation } = call;
    const isNeeded = () =>
      step !== 'openGate' &&
      this.store.host(hostId).vmIds.some((vmId) => this.isDark(hostId, vmId));
    const key = `${hostId}/${generation}/${step}`;
    const answer = this.#joined(key, signal, isNeeded, (over) =>
      this.engine.performHost(step, call, over),
    );
    return unlessAborted(answer, signal, `${step} of ${hostId}`);
  }

  #askedAlone(step: VmStep, call: StepCall, signal: AbortSignal): Promise<StepOutcome> {
    const key = `${nameOf(call)}/${step}`;
    return this.#joined(
      key,
      signal,
      () => false,
      (over) => {
        const signals = [this.stopping, over];
        return within(
          call.attemptMs,
          signals,
          (signal) => this.engine.perform(step, call, signal),
          { what: `${step} of ${call.vmId}` },
        );
      },
    );
  }

  #joined(
    key: string,
    signal: AbortSignal,
    isNeeded: () => boolean,
    perform: (over: AbortSignal) => Promise<StepOutcome>,
  ): Promise<StepOutcome> {
    let underWay = this.#alone.get(key);
    if (underWay === undefined) {
      const over = new AbortController();
      const promise = perform(over.signal).finally(() => this.#alone.delete(key));
      underWay = new UnderWay(promise, over, isNeeded);
      this.#alone.set(key, underWay);
    }
    underWay.askedBy(signal);
    return underWay.promise;
  }
}

/** One attempt of a step, and those who ask for it: what still waits for its turn ends when the last of them is gone. */
class UnderWay {
  #asking = 0;
  constructor(
    readonly promise: Promise<StepOutcome>,
    private readonly over: AbortController,
    private readonly isNeeded: () => boolean,
  ) {
    promise.catch(() => undefined);
  }

  askedBy(signal: AbortSignal): void {
    this.#asking += 1;
    const leave = () => {
      this.#asking -= 1;
      if (this.#asking === 0 && !this.isNeeded()) this.over.abort(OVER);
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  }
}
