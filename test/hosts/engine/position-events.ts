/** What may happen at a position of a list, played on a scene, and what is seen of it afterwards. */
import { HoldfastError, type FailureType } from '../../../contract/failures';
import type { HostDescription, JournalEntry, VmDescription, VmPhase } from '../../../contract/host';
import type { Holder } from '../../../contract/ids';
import { UNDO_SAVE, type VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import { HOST, HostRun, VmRun } from '../simulator/simulated-fleet';
import { named, until } from './issuing';
import { LISTS, Scene, VM, answers, askAll, type ListName, type Position } from './positions';

const NEXT = named('the next run');

/** Takes back what a save has done, as `undo-save.ts` does. */
async function undo(scene: Scene, run: VmRun): Promise<void> {
  run.direction = 'undo';
  if (run.lease.darkForMs === 0) await run.performAll(UNDO_SAVE);
  else await answers(askAll(scene.next, { run, steps: UNDO_SAVE }));
  await run.performAll(['enableOptimizations', 'endOperation']);
}

const perform = async (scene: Scene, run: VmRun, steps: readonly VmStep[]): Promise<void> => {
  await answers(askAll(scene.next, { run, steps }));
};

/** As `fast-save.ts` goes on from what it has taken over. */
async function saveAnew(scene: Scene, run: VmRun, again: () => Promise<VmRun>): Promise<VmRun> {
  if (run.lease.phase !== 'preparing') {
    await undo(scene, run);
    run = await again();
  }
  await run.perform('disableOptimizations');
  await perform(scene, run, LISTS.save);
  return run;
}

/** As `fast-restore.ts` does. */
async function restoreAnew(scene: Scene, run: VmRun): Promise<VmRun> {
  const { phase, crossed } = run.lease;
  if (phase === 'paused' || (phase === 'recovering' && !crossed)) {
    await undo(scene, run);
    return run;
  }
  if (phase === 'crossed' || phase === 'recovering')
    await perform(scene, run, ['resetVpciBusInterface', 'tearDownSyntheticAdapter']);
  await run.performAll(['initializeSyntheticAdapter', 'reserveResources']);
  await perform(scene, run, LISTS.restore);
  return run;
}

/** How the host answered the event itself, where that is a call. */
interface Answer {
  readonly refused?: FailureType;
  readonly tooLate?: boolean;
  readonly askedAgain?: boolean;
  /** The list that a new run has had performed, to its end. */
  readonly anew?: ListName | 'from here';
}

function typeOf(error: unknown): FailureType {
  if (error instanceof HoldfastError) return error.type;
  throw error;
}

/** The list of the runs that are closed goes on beside it, or does not. */
const refusedOr = async (scene: Scene, begun: () => Promise<Answer>): Promise<Answer> => {
  scene.close();
  const answer = await begun().catch((error: unknown) => ({ refused: typeOf(error) }));
  scene.letGo();
  await scene.over();
  return answer;
};

const hasAll = (scene: Scene, { lease }: VmRun, steps: readonly VmStep[]): boolean =>
  steps.every((step) => {
    const key = `${VM}/${lease.generation}/forward/${step}`;
    const status = scene.fleet.store.result(HOST, key)?.status;
    return status !== undefined && status !== 'notReached';
  });

const takeOver =
  (kind: ListName) =>
  (scene: Scene): Promise<Answer> =>
    refusedOr(scene, async () => {
      const options = { holder: NEXT, takeOverFrom: scene.watched.run.holder };
      const begin = () => VmRun[kind](scene.fleet, VM, options);
      const run = await begin();
      const last =
        kind === 'save' ? await saveAnew(scene, run, begin) : await restoreAnew(scene, run);
      return hasAll(scene, last, LISTS[kind]) ? { anew: kind } : {};
    });

async function goneOnByNext(scene: Scene): Promise<Answer> {
  await scene.goOnByNext();
  if (scene.isPerformed) return {};
  await scene.askAgain();
  return { askedAgain: true };
}

/** As a save that is cancelled does; the step under way is still under way. */
async function withdraw(scene: Scene, { holder }: VmRun): Promise<Answer> {
  try {
    const { crossed } = await scene.worker.withdrawUnlessCrossed(HOST, VM, holder);
    if (crossed) return { tooLate: true };
  } catch (error) {
    return { refused: typeOf(error) };
  }
  const parent = scene.servicing?.holder ?? null;
  await undo(scene, await VmRun.save(scene.fleet, VM, { holder, parent }));
  return {};
}

/** The columns of the page. */
export const EVENTS = {
  'SIGTERM of the worker': async (scene) => {
    const stopped = scene.worker.performers.stop(60_000);
    // Its gate is not opened for a worker that goes.
    if (scene.position.step === 'awaitPause') await stopped;
    else scene.letGo();
    await stopped;
    scene.die();
    return goneOnByNext(scene);
  },
  'SIGKILL of the worker': async (scene) => {
    scene.die();
    const answer = await goneOnByNext(scene);
    scene.letGo();
    return answer;
  },
  'the run is terminated': (scene) => refusedOr(scene, () => Promise.resolve({})),
  'the run is cancelled': async (scene) => {
    const { run } = scene.watched;
    // A restore only goes forward: its run passes no cancel on.
    const answer =
      scene.position.list === 'restore' ? { tooLate: true } : await withdraw(scene, run);
    scene.letGo();
    await scene.over();
    return answer;
  },
  'taken over by `fastSave`': takeOver('save'),
  'taken over by `fastRestore`': takeOver('restore'),
  'forked here': (scene) =>
    refusedOr(scene, async () => {
      const { list, step: at } = scene.position;
      const { holder, lease } = scene.watched.run;
      const run = await VmRun[list](scene.fleet, VM, {
        holder: NEXT,
        adopt: { ...holder, generation: lease.generation, at },
        ...(scene.servicing === null ? {} : { takeOverFrom: scene.servicing.holder }),
      });
      const rest = LISTS[list].slice(LISTS[list].indexOf(at));
      await perform(scene, run, rest);
      return hasAll(scene, run, rest) ? { anew: 'from here' } : {};
    }),
} as const satisfies Record<string, (scene: Scene) => Promise<Answer>>;
export type Event = keyof typeof EVENTS;

/** What is seen when it is over, and when the VM has been brought back by whoever comes then. */
export interface Seen extends Answer {
  readonly isPerformed: boolean;
  readonly isUndone: boolean;
  readonly wasPaused: boolean;
  readonly phase: VmPhase;
  /** How many the VM has been given since. */
  readonly generations: number;
  /** What a repeat of the step is answered; null: it has not been performed, so whoever asks has it performed. */
  readonly repeat: string | null;
  readonly isBroughtBackBy: readonly ('dead-man' | 'next run')[];
  readonly identityBefore: VmDescription['identity'];
  readonly atLast: VmDescription;
  /** All that the host has done to the VM, in order. */
  readonly journal: readonly JournalEntry[];
  readonly host: HostDescription;
}

export async function play(position: Position, event: Event): Promise<Seen> {
  const scene = await Scene.at(position);
  const { fleet } = scene;
  const journalSoFar = () => fleet.hosts.readJournal(HOST, { vmId: VM, limit: 100_000 });
  try {
    const before = await fleet.facts();
    const answer = await EVENTS[event](scene);
    const { phase, generation } = await fleet.facts();
    const journal = await journalSoFar();
    const wasPaused = journal.some((e) => e.command === 'Hypervisor.SuspendVirtualProcessors');
    const seen = {
      isPerformed: scene.isPerformed,
      isUndone: wasPaused && journal.some((e) => e.step === 'unsaveVm' && e.kind === 'result'),
      wasPaused,
      phase,
      generations: generation - before.generation,
      repeat: scene.said(position.step) ?? null,
    };
    return {
      ...{ ...answer, ...seen, identityBefore: scene.identity },
      isBroughtBackBy: await bringBack(scene),
      atLast: await fleet.facts(),
      journal: await journalSoFar(),
      host: await fleet.hosts.describe(HOST),
    };
  } finally {
    await scene.end();
  }
}

/** Whoever comes after it: the dead-man for a VM that is dark, the next run for one that is held. */
async function bringBack({ fleet }: Scene): Promise<Seen['isBroughtBackBy']> {
  const brought: Seen['isBroughtBackBy'][number][] = [];
  const vm = () => fleet.store.vm(HOST, VM);
  if (vm().deadlineMs !== null) {
    fleet.change((o) => void (o.vm.deadlineMs = 1));
    const stop = new AbortController();
    const watching = new DeadMan(fleet.hosts, () => undefined).watch(stop.signal);
    await until(() => vm().lease === null && vm().deadlineMs === null);
    stop.abort();
    await watching;
    brought.push('dead-man');
  }
  const { lease } = fleet.store.host(HOST);
  const host = lease === null ? null : await nextServicing(fleet, lease.holder);
  const held = vm().lease ?? vm().nextLease;
  if (held !== null) {
    const run = await VmRun.save(fleet, VM, {
      holder: named('the last run'),
      parent: host?.holder ?? null,
      takeOverFrom: held.holder,
    });
    await run.performAll(['enableOptimizations', 'endOperation']);
    brought.push('next run');
  }
  if (host !== null) await fleet.hosts.releaseHost(host.call);
  return brought;
}

async function nextServicing(fleet: Scene['fleet'], holder: Holder): Promise<HostRun> {
  await fleet.hosts.acquireHost(HOST, NEXT, holder);
  return HostRun.arm(fleet, {}, NEXT);
}
