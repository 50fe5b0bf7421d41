/** Lists of steps as a workflow issues them, on hosts of machines that are in memory. */
import { HoldfastError } from '../../../contract/failures';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { issuedAhead, saveFlow } from '../../../contract/flows';
import type { OperationSettings } from '../../../contract/host';
import type { Holder } from '../../../contract/ids';
import type { Direction, StepLimits, StepOutcome, VmStep } from '../../../contract/steps';
import { processOf, type ProcessIdentity } from '../../../hosts/engine/process-identity';
import type { IssuedList } from '../../../hosts/engine/state';
import { InMemoryHosts } from './in-memory-driver';

export const HOST = 'host-01';
export const SETTINGS: OperationSettings = {
  mode: 'modified',
  holdMode: 'block',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: 10_000,
  maxSavedForMs: 60_000,
};
/** From `awaitPause` to `awaitResume`. */
export const SAVE_LIST = issuedAhead(saveFlow(SETTINGS));
/** What a machine shows of it when all of it is done. */
export const SAVED: readonly VmStep[] = ['pauseVm', 'saveVm', 'tearDownSyntheticAdapter'];
/** Of a process that there is none of. */
export const DEAD: ProcessIdentity = { ...processOf(999_999_999), startedAt: '1' };

export const named = (workflowId: string): Holder => ({ workflowId, runId: `${workflowId}-run` });
export const request = (vmId: string, holder: Holder, parent: Holder | null = null) => ({
  ...{ hostId: HOST, vmId, holder, parent, settings: SETTINGS, faults: [] },
});

/** The hosts of one test, and their clock, which stands still unless the test moves it. */
export class TestHosts {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-lists-'));
  nowMs = 10_000;
  readonly hosts: InMemoryHosts;
  readonly #others: InMemoryHosts[] = [];

  constructor(...vmIds: readonly string[]) {
    this.hosts = InMemoryHosts.make(this.directory, vmIds, () => this.nowMs);
  }

  /** Another process on the same books and machines, with a clock that a test may break. */
  anotherProcess(clock = () => this.nowMs): InMemoryHosts {
    const other = this.hosts.reopened(clock);
    this.#others.push(other);
    return other;
  }

  async close(): Promise<void> {
    const all = [...this.#others, this.hosts];
    // What still waits at a gate ends, and what is under way.
    await Promise.all(all.map(({ performers }) => performers.stop(1_000)));
    for (const { store } of all) await store.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type Settled = { readonly outcome: StepOutcome } | { readonly error: unknown };

/** Somebody who asks for one step: an attempt of its activity. */
export class Asker {
  settled: Settled | null = null;
  readonly answer: Promise<Settled>;
  readonly #gone = new AbortController();

  constructor(
    readonly step: VmStep,
    ask: (signal: AbortSignal) => Promise<StepOutcome>,
  ) {
    this.answer = ask(this.#gone.signal).then(
      (outcome) => (this.settled = { outcome }),
      (error: unknown) => (this.settled = { error }),
    );
  }

  leave(): void {
    this.#gone.abort();
  }

  /** Its status, or the type of its failure; null: it has not been answered. */
  get said(): string | null {
    return this.settled === null ? null : saidOf(this.settled);
  }
}
export const saidOf = (settled: Settled): string =>
  'outcome' in settled ? settled.outcome.status : (settled.error as { type: string }).type;

interface ListOptions {
  readonly direction?: Direction;
  readonly limits?: StepLimits | ((step: VmStep) => StepLimits);
  readonly by?: InMemoryHosts;
}

const mayPass = (error: unknown): boolean =>
  error instanceof HoldfastError && error.type === 'HostStepFailed' && !error.isForGood;

/** One list of steps of one VM. */
export class TestList {
  constructor(
    readonly hosts: InMemoryHosts,
    readonly vmId: string,
    readonly generation: number,
    readonly steps: readonly VmStep[],
    readonly options: ListOptions = {},
  ) {}

  /** A save of the VM that has come to its list. */
  static async ofSave(
    hosts: InMemoryHosts,
    vmId = 'vm-01',
    options: ListOptions & { readonly holder?: Holder; readonly parent?: Holder } = {},
  ): Promise<TestList> {
    const { holder = named(`save of ${vmId}`), parent } = options;
    const { generation } = await hosts.beginSave(request(vmId, holder, parent ?? null));
    const call = { hostId: HOST, vmId, generation, direction: 'forward' } as const;
    await hosts.ask('disableOptimizations', call, new AbortController().signal);
    return new TestList(hosts, vmId, generation, SAVE_LIST, options);
  }

  get direction(): Direction {
    return this.options.direction ?? 'forward';
  }

  get id() {
    const { vmId, generation, direction } = this;
    return { hostId: HOST, vmId, generation, direction };
  }

  key(step: VmStep): string {
    return `${this.vmId}/${this.generation}/${this.direction}/${step}`;
  }

  call(step: VmStep) {
    const { limits = {} } = this.options;
    const after = this.steps[this.steps.indexOf(step) - 1] ?? null;
    const list = { after, length: this.steps.length };
    return { ...this.id, list, ...(typeof limits === 'function' ? limits(step) : limits) };
  }

  ask(step: VmStep, by = this.hosts): Asker {
    return new Asker(step, async (signal) => {
      for (;;) {
        try {
          return await by.ask(step, this.call(step), signal);
        } catch (error) {
          // As the server does, as long as the run is there.
          if (signal.aborted || !mayPass(error)) throw error;
          await new Promise(setImmediate);
        }
      }
    });
  }

  /** All but some, in their order. */
  askAll(but: readonly VmStep[] = [], by = this.hosts): Map<VmStep, Asker> {
    const steps = this.steps.filter((step) => !but.includes(step));
    return new Map(steps.map((step) => [step, this.ask(step, by)]));
  }

  /** What the machine shows of this list. */
  get done(): readonly VmStep[] {
    const { done } = this.hosts.machine(this.vmId);
    return done.filter((step) => this.steps.includes(step));
  }

  change(to: Partial<IssuedList>): void {
    this.hosts.store.updateList(this.id, (list) => {
      if (list === undefined) throw new Error('there is no list');
      return { ...list, ...to };
    });
  }
}

export const all = async (askers: ReadonlyMap<VmStep, Asker>): Promise<Record<string, string>> => {
  const said: Record<string, string> = {};
  for (const [step, { answer }] of askers) said[step] = saidOf(await answer);
  return said;
};
export const of = (askers: ReadonlyMap<VmStep, Asker>, step: VmStep): Asker => {
  const asker = askers.get(step);
  if (asker === undefined) throw new Error(`nobody asks for ${step}`);
  return asker;
};

/** Waits until it holds. */
export async function until(holds: () => boolean): Promise<void> {
  // Before the test's own limit, so that the test still ends what it has started.
  const limit = performance.now() + 60_000;
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`never came true: ${holds.toString()}`);
    await delay(5);
  }
}
/** Long enough for what must not happen to happen. */
export const aWhile = (): Promise<void> => delay(150);

/** An effect that is there and not recorded, until it is let go on. */
export function heldUp(hosts: InMemoryHosts, step: VmStep, vmId = 'vm-01') {
  let letGo: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const held = new Promise<void>((resolve, reject) => {
    letGo = resolve;
    fail = reject;
  });
  const reached = new Promise<void>((resolve) => {
    hosts.world.inTheMiddleOf = (at, of) => {
      if (at !== step || of !== vmId) return;
      resolve();
      return held;
    };
  });
  return {
    reached,
    goOn: () => {
      letGo();
    },
    fail: (error: Error) => {
      fail(error);
    },
  };
}
