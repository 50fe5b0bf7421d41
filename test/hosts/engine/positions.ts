/**
 * Every position of the lists that are issued ahead, on simulated hosts: a scene holds one open, in a process that can die,
 * with everybody who asks for a step of it.
 */
import { issuedAhead, restoreFlow, saveFlow } from '../../../contract/flows';
import type { VmDescription } from '../../../contract/host';
import type { AnyStep, HostStep, VmStep } from '../../../contract/steps';
import { hostNowMs } from '../../../hosts/engine/clock';
import type { Intent } from '../../../hosts/engine/state';
import { SimulatedHosts } from '../../../hosts/simulator/simulated-host';
import { SimulatorStore } from '../../../hosts/simulator/store';
import {
  HOST,
  HostRun,
  NO_LATENCY,
  SAVE,
  SETTINGS,
  SimulatedFleet,
  VmRun,
  prepared,
} from '../simulator/simulated-fleet';
import { Asker, DEAD, until } from './issuing';

export const VM = 'vm-01';
export const LISTS = {
  save: issuedAhead(saveFlow(SETTINGS)),
  restore: issuedAhead(restoreFlow(SETTINGS)),
};
export type ListName = keyof typeof LISTS;

/** A moment of a list: before the effect of the step, or when the effect is there and not yet recorded as its result. */
export interface Position {
  readonly list: ListName;
  readonly step: VmStep;
  readonly isThere: boolean;
}

/** Where a VM is something else after the effect than before it: both halves of such a step are positions. */
const TURNS: readonly VmStep[] = [
  ...['pauseVm', 'crossPointOfNoReturn', 'tearDownSyntheticAdapter'],
  ...['powerOnRestore', 'resumeVm'],
] as const;
export const POSITIONS: readonly Position[] = (['save', 'restore'] as const).flatMap((list) =>
  LISTS[list].flatMap((step) =>
    (TURNS.includes(step) ? [false, true] : [false]).map((isThere) => ({ list, step, isThere })),
  ),
);

/** Steps that wait for others, which a VM has in a servicing run only: they are held open by what they wait for. */
const GATES: readonly VmStep[] = ['awaitPause', 'awaitUpdate', 'awaitResume'];

const NOT_ABORTED = new AbortController().signal;

/** Holds the first attempt of a step open. */
function holdOpen(hosts: SimulatedHosts, held: AnyStep, isHeldWhenThere: boolean) {
  const { port } = hosts;
  const unheld = { ...port };
  let letGo: () => void = () => undefined;
  let tell: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (letGo = resolve));
  const reached = new Promise<void>((resolve) => (tell = resolve));
  let isMet = false;
  let isThere = false;
  const hold = () => {
    tell();
    return over;
  };
  const holding: Pick<typeof port, 'attempt' | 'observe'> = {
    attempt: (step, o) => {
      const attempted = unheld.attempt?.(step, o);
      if (step !== held || isMet || attempted === undefined) return attempted;
      isMet = true;
      return {
        ...attempted,
        before: async (c, isInPlace) => {
          if (!isHeldWhenThere) await hold();
          await attempted.before(c, isInPlace);
        },
        after: (c) => {
          attempted.after(c);
          isThere = isHeldWhenThere;
        },
      };
    },
    // What comes next after an effect is a look at it.
    observe: async () => {
      if (!isThere) return;
      isThere = false;
      await hold();
    },
  };
  Object.assign(port, holding);
  return { reached, letGo };
}

/** One run of a VM, and its list. */
interface RunWithList {
  readonly run: VmRun;
  readonly steps: readonly VmStep[];
}

/** Asks for all steps of a list of this run. */
export function askAll(hosts: SimulatedHosts, { run, steps }: RunWithList): readonly Asker[] {
  const { vmId, direction, lease } = run;
  const id = { hostId: HOST, vmId, generation: lease.generation, direction };
  return steps.map((step, i) => {
    const list = { after: steps[i - 1] ?? null, length: steps.length };
    return new Asker(step, (signal) => hosts.ask(step, { ...id, list }, signal));
  });
}
export const answers = (askers: readonly Asker[]) => Promise.all(askers.map((each) => each.answer));

/** A VM at one position of its list. */
export class Scene {
  readonly fleet = new SimulatedFleet();
  #isDead = false;
  /** The process that performs, until it dies: what it does then is refused, and changes nothing. */
  readonly worker = new SimulatedHosts(
    new SimulatorStore(this.fleet.directory, () => {
      if (this.#isDead) throw new Error('the process is gone');
      return hostNowMs();
    }),
    NO_LATENCY,
  );
  readonly #hostAsks = new AbortController();
  #lists: readonly RunWithList[] = [];
  #askers: readonly Asker[] = [];
  #letGo: () => void = () => undefined;
  servicing: HostRun | null = null;

  private constructor(readonly position: Position) {}

  /** Of the VF, before anything is done. */
  identity: VmDescription['identity'] = null;

  static async at(position: Position): Promise<Scene> {
    const scene = new Scene(position);
    ({ identity: scene.identity } = await scene.fleet.facts());
    await (GATES.includes(position.step) ? scene.#atGate() : scene.#atStep());
    return scene;
  }

  /** The process on the same host that lives on. */
  get next(): SimulatedHosts {
    return this.fleet.hosts;
  }

  /** The run whose list it is. */
  get watched(): RunWithList {
    const watched = this.#lists.find(({ steps }) => steps === LISTS[this.position.list]);
    if (watched === undefined) throw new Error('no such list');
    return watched;
  }

  async #atStep(): Promise<void> {
    const { list, step, isThere } = this.position;
    const { fleet } = this;
    let run = await VmRun.save(fleet);
    if (list === 'save') await run.perform('disableOptimizations');
    else {
      await run.performAll(SAVE);
      run = await VmRun.restore(fleet);
      await run.performAll(['initializeSyntheticAdapter', 'reserveResources']);
    }
    const hold = holdOpen(this.worker, step, isThere);
    this.#letGo = hold.letGo;
    this.#lists = [{ run, steps: LISTS[list] }];
    this.#askers = askAll(this.worker, this.watched);
    await hold.reached;
  }

  /** The gate of the pause is not opened yet; that of the restores waits for the update. */
  async #atGate(): Promise<void> {
    const { fleet, worker } = this;
    const servicing = await HostRun.arm(fleet);
    this.servicing = servicing;
    await servicing.perform('stageUpdate');
    const pair = await servicing.begin(VM);
    await prepared(new Map([[VM, pair]]));
    await pair.save.perform('disableOptimizations');
    this.#lists = [
      { run: pair.save, steps: LISTS.save },
      { run: pair.restore, steps: LISTS.restore },
    ];
    const hold = holdOpen(worker, 'commitUpdate', false);
    this.#askers = this.#lists.flatMap((each) => askAll(worker, each));
    this.#askHost('commitUpdate', worker);
    const state = () => fleet.store.host(HOST).servicing;
    await until(() => state()?.armed.length === 1 && state()?.restoreWaiting.length === 1);
    await until(() => state()?.commitArmedBy !== null);
    if (this.position.step === 'awaitPause') {
      this.#letGo = () => {
        hold.letGo();
        // A call that was already under way still arrives after its run has ended.
        void worker.performHost('openGate', servicing.call, NOT_ABORTED).catch(() => undefined);
      };
      return;
    }
    this.#letGo = hold.letGo;
    this.#askHost('openGate', worker);
    await hold.reached;
  }

  #askHost(step: HostStep, by: SimulatedHosts): void {
    if (this.servicing === null) return;
    by.askHost(step, this.servicing.call, this.#hostAsks.signal).catch(() => undefined);
  }

  /** What held the position open is over. */
  letGo(): void {
    this.#letGo();
  }

  /** All runs are closed: nobody asks any more, and nobody asks again. */
  close(): void {
    for (const asker of this.#askers) asker.leave();
    this.#hostAsks.abort();
  }

  /** The process is gone in the middle of what it does. */
  die(): void {
    this.#isDead = true;
    const { store } = this.fleet;
    const ended = (intent: Intent | null) => intent && { ...intent, owner: DEAD };
    store.update(HOST, VM, ({ host, vm, pfs }) => {
      for (const box of [host, vm, ...pfs]) box.mailbox = ended(box.mailbox);
      if (host.servicing !== null) host.servicing.commitArmedBy &&= DEAD;
    });
    for (const list of store.lists(HOST, VM))
      store.updateList({ hostId: HOST, ...list }, () => ({ ...list, performer: DEAD }));
    for (const asker of this.#askers) asker.leave();
  }

  /** The activities of the lists are tried again in the next process. */
  async askAgain(): Promise<void> {
    this.#askers = this.#lists.flatMap((each) => askAll(this.next, each));
    await answers(this.#askers);
  }

  /** What a step of the list has come to under its generation; undefined: it has not. */
  said(step: VmStep): string | undefined {
    const { run } = this.watched;
    const key = `${VM}/${run.lease.generation}/forward/${step}`;
    const { store } = this.fleet;
    return store.result(HOST, key)?.status ?? store.failure(HOST, key)?.type;
  }

  /** Each step of the list was performed. */
  get isPerformed(): boolean {
    return this.watched.steps.every((step) =>
      ['done', 'alreadyDone', 'notApplicable'].includes(this.said(step) ?? ''),
    );
  }

  /** The next process goes on with what is left for a dark VM when it starts; those of a servicing run are tried again there. */
  async goOnByNext(): Promise<void> {
    const { performers } = this.next;
    performers.goOn(HOST, VM);
    this.#askHost('openGate', this.next);
    this.#askHost('commitUpdate', this.next);
    await until(() => performers.listsOf(HOST, VM).length === 0);
  }

  /** Nothing of the list is under way any more: every step is known, or is left to whoever asks for it. */
  async over(): Promise<void> {
    const { run, steps } = this.watched;
    const { generation } = run.lease;
    const id = { hostId: HOST, vmId: VM, generation, direction: 'forward' } as const;
    const isLeft = () => this.fleet.store.list(id)?.performer == null;
    await until(() => isLeft() || steps.every((step) => this.said(step) !== undefined));
  }

  async end(): Promise<void> {
    this.close();
    this.letGo();
    for (const { performers } of [this.worker, this.next]) await performers.stop(0);
    await this.worker.store.close();
    await this.fleet.close();
  }
}
