import type { FunctionKind, IoLedger } from '../../../contract/migration';
import { HoldfastError } from '../../../contract/failures';
import { refused } from '../../engine/refused';

/**
 * The commands that a guest has under way at one of its functions while it is migrated: packets to send, or reads and
 * writes of a namespace. Each queue numbers its commands from 1; a cursor is the number of the last one that got there. A
 * command is submitted by the guest, taken by a path, executed by it at the medium, and completed to the guest, in this order.
 * All is worked out from the host's clock, as a ring is, so that it goes on while every process is down.
 */
export interface GuestIo {
  readonly kind: FunctionKind;
  /** Null: not plugged in. */
  readonly paths: Record<PathName, IoPath | null>;
  /** The device mapper's choice for a network function; a namespace's guest chooses by access states. */
  mapped: PathName;
  /** False: the guest is suspended, and nothing moves. */
  running: boolean;
  /** Since when the guest has been running, and what each queue had submitted then. */
  sinceMs: number;
  base: number[];
  submitted: number[];
  /** The last command of each queue that any path was given: what comes after it waits in the guest. */
  given: number[];
  /** Up to which command each queue has had all its completions. */
  completed: number[];
}
export type PathName = 'passthrough' | 'emulated';

/** How a path stands to its namespace (ANA); a network function's paths are all optimized. */
export type Access = 'optimized' | 'nonOptimized' | 'inaccessible';

export interface IoPath {
  access: Access;
  queues: PathQueue[];
  /** A fault: the command after the last executed one is not executed, whatever time passes. */
  stuck: boolean;
}
export interface PathQueue {
  taken: number;
  executed: number;
  completed: number;
}

/** The wire, or the namespace, which both hosts reach. It is neither host's, and sees what was really executed. */
export interface Medium {
  executed: number[];
  lost: number;
  executedTwice: number;
  outOfOrder: number;
}

/** Commands per ms of each queue. */
const RATES = [1, 0.5];
/** How long after its submission a command is executed, and then completed, at the earliest, ms. */
const TIMES = {
  passthrough: { executed: 1, completed: 2 },
  emulated: { executed: 3, completed: 6 },
} as const;
/** After this time a path has completed all that it was given, unless something keeps it. */
export const SETTLED_MS = TIMES.emulated.completed;

const perQueue = <T>(make: (queue: number) => T): T[] => RATES.map((_, queue) => make(queue));
const idle = (): PathQueue[] => perQueue(() => ({ taken: 0, executed: 0, completed: 0 }));

/** What each queue has open when counting begins: the guest does not wait for it. */
const OPEN_AT_FIRST = 8;

/** A guest that uses its passthrough path; with `emulated` it kept an emulated one from an earlier migration. */
export const startIo = (
  kind: FunctionKind,
  { emulated }: { readonly emulated: boolean },
  nowMs: number,
): GuestIo => {
  const access = kind === 'nvme' ? 'nonOptimized' : 'optimized';
  const open = () => perQueue(() => ({ taken: OPEN_AT_FIRST, executed: 0, completed: 0 }));
  return {
    kind,
    paths: {
      passthrough: { access: 'optimized', queues: open(), stuck: false },
      emulated: emulated ? { access, queues: idle(), stuck: false } : null,
    },
    mapped: 'passthrough',
    running: true,
    sinceMs: nowMs,
    base: perQueue(() => OPEN_AT_FIRST),
    submitted: perQueue(() => OPEN_AT_FIRST),
    given: perQueue(() => OPEN_AT_FIRST),
    completed: perQueue(() => 0),
  };
};

export const newMedium = (): Medium => ({
  executed: perQueue(() => 0),
  lost: 0,
  executedTwice: 0,
  outOfOrder: 0,
});

const other = (path: PathName): PathName => (path === 'passthrough' ? 'emulated' : 'passthrough');

/** Which path new commands go to; null: they wait in the guest. */
export function chosenPath({ kind, paths, mapped }: GuestIo): PathName | null {
  if (kind === 'network') {
    return paths[mapped] !== null ? mapped : paths[other(mapped)] !== null ? other(mapped) : null;
  }
  const usable = (['passthrough', 'emulated'] as const).filter(
    (name) => paths[name] !== null && paths[name].access !== 'inaccessible',
  );
  return usable.find((name) => paths[name]?.access === 'optimized') ?? usable[0] ?? null;
}

const at = (numbers: readonly number[], queue: number): number => numbers[queue] ?? 0;

function submittedBy(io: GuestIo, queue: number, atMs: number): number {
  if (atMs < io.sinceMs) return 0;
  return at(io.base, queue) + Math.floor((atMs - io.sinceMs) * at(RATES, queue));
}

/** Lets all happen that happens by this moment. */
export function advance(io: GuestIo, medium: Medium, nowMs: number): void {
  if (!io.running) return;
  const chosen = chosenPath(io);
  for (const queue of RATES.keys()) {
    io.submitted[queue] = Math.max(at(io.submitted, queue), submittedBy(io, queue, nowMs));
    const taking = chosen === null ? undefined : io.paths[chosen]?.queues[queue];
    if (taking !== undefined) {
      taking.taken = at(io.submitted, queue);
      io.given[queue] = taking.taken;
    }
    // The path that has the earlier commands goes first; the other's wait for them, or the queue's order would be lost.
    const inOrder = (['passthrough', 'emulated'] as const)
      .filter((name) => io.paths[name] !== null)
      .sort((a, b) => completedOf(io, a, queue) - completedOf(io, b, queue));
    for (const name of inOrder) progress(io, medium, name, queue, nowMs);
    noteCompletions(io, queue);
  }
}

/** Of two paths with open commands the earlier one says how far the queue is. */
function noteCompletions(io: GuestIo, queue: number): void {
  const paths = [io.paths.passthrough, io.paths.emulated].flatMap(
    (path) => path?.queues[queue] ?? [],
  );
  const open = paths.filter(isOpen).map((q) => q.completed);
  const upTo = open.length > 0 ? Math.min(...open) : Math.max(0, ...paths.map((q) => q.completed));
  io.completed[queue] = Math.max(at(io.completed, queue), upTo);
}

const completedOf = (io: GuestIo, name: PathName, queue: number) =>
  io.paths[name]?.queues[queue]?.completed ?? 0;
const isOpen = (q: PathQueue | undefined) => q !== undefined && q.completed < q.taken;

function progress(io: GuestIo, medium: Medium, name: PathName, queue: number, nowMs: number): void {
  const path = io.paths[name];
  const own = path?.queues[queue];
  const before = io.paths[other(name)]?.queues[queue];
  if (path === null || own === undefined || path.stuck) return;
  if (before !== undefined && isOpen(before) && before.taken <= own.executed) return;
  const times = TIMES[name];
  const executed = Math.min(own.taken, submittedBy(io, queue, nowMs - times.executed));
  execute(medium, queue, own.executed + 1, executed);
  own.executed = Math.max(own.executed, executed);
  const completed = Math.min(own.executed, submittedBy(io, queue, nowMs - times.completed));
  own.completed = Math.max(own.completed, completed);
}

/** The medium refuses what is not the next command of its queue: what was executed before, and what left one out. */
export function execute(medium: Medium, queue: number, first: number, last: number): void {
  if (last < first) return;
  const done = at(medium.executed, queue);
  if (first <= done) {
    medium.executedTwice += Math.min(last, done) - first + 1;
    throw new HoldfastError(
      'InvariantBreach',
      `Command ${String(first)} of queue ${String(queue)} was to be executed a second time (the medium has ${String(done)}).`,
    );
  }
  if (first > done + 1) {
    medium.outOfOrder += 1;
    throw new HoldfastError(
      'InvariantBreach',
      `Command ${String(first)} of queue ${String(queue)} was to be executed before ${String(done + 1)}.`,
    );
  }
  medium.executed[queue] = last;
}

/** A second path appears. A namespace's guest finds by itself that it is one, and goes on preferring passthrough. */
export function plugPath(io: GuestIo, medium: Medium, name: PathName, nowMs: number): void {
  if (io.paths[name] !== null) throw refused(`The ${name} path is plugged in already.`);
  advance(io, medium, nowMs);
  const isSecond = io.paths[other(name)] !== null;
  const access = io.kind === 'nvme' && isSecond ? 'nonOptimized' : 'optimized';
  const before = chosenPath(io);
  io.paths[name] = { access, queues: idle(), stuck: false };
  if (io.kind === 'network' && isSecond) io.mapped = before ?? name;
  turnTo(io, before);
}

/** New commands go to this path: the device mapper maps it, or the access states are flipped. */
export function preferPath(io: GuestIo, medium: Medium, name: PathName, nowMs: number): void {
  if (io.paths[name] === null) throw refused(`The ${name} path is not plugged in.`);
  advance(io, medium, nowMs);
  const before = chosenPath(io);
  if (io.kind === 'network') io.mapped = name;
  else {
    io.paths[name].access = 'optimized';
    const less = io.paths[other(name)];
    if (less !== null && less.access === 'optimized') less.access = 'nonOptimized';
  }
  turnTo(io, before);
}

export function setAccess(
  io: GuestIo,
  medium: Medium,
  name: PathName,
  access: Access,
  nowMs: number,
): void {
  const path = io.paths[name];
  if (path === null) throw refused(`The ${name} path is not plugged in.`);
  advance(io, medium, nowMs);
  const before = chosenPath(io);
  path.access = access;
  turnTo(io, before);
}

/** What the new path takes from now on comes after what the old one has. */
function turnTo(io: GuestIo, before: PathName | null): void {
  const now = chosenPath(io);
  if (now === null || now === before) return;
  for (const queue of RATES.keys()) {
    const next = io.paths[now]?.queues[queue];
    const last = io.paths[other(now)]?.queues[queue];
    if (next === undefined) continue;
    if (isOpen(next)) {
      // Back again before it was drained: what waits on the other path has not been begun there, and comes along.
      if (last !== undefined) last.taken = last.executed;
      continue;
    }
    const from = Math.max(next.taken, at(io.given, queue));
    next.taken = next.executed = next.completed = from;
  }
}

/** Commands that a path was given and has not completed. */
export const openCommands = (io: GuestIo, name: PathName): number =>
  (io.paths[name]?.queues ?? []).reduce((sum, q) => sum + q.taken - q.completed, 0);

/** A path can be unplugged when it has nothing left: what it had would be lost. */
export function unplugPath(io: GuestIo, medium: Medium, name: PathName, nowMs: number): void {
  advance(io, medium, nowMs);
  const open = openCommands(io, name);
  if (open > 0) throw refused(`The ${name} path still has ${String(open)} open commands.`);
  if (chosenPath(io) === name && io.paths[other(name)] !== null) {
    throw refused(`New commands still go to the ${name} path.`);
  }
  io.paths[name] = null;
}

/** The guest's own driver waits for its commands before it lets go of a device; the time that takes is not modelled. */
export function giveUpPath(io: GuestIo, medium: Medium, name: PathName, nowMs: number): void {
  advance(io, medium, nowMs);
  for (const [queue, q] of (io.paths[name]?.queues ?? []).entries()) {
    execute(medium, queue, q.executed + 1, q.taken);
    q.executed = q.completed = q.taken;
  }
  takeAway(io, name);
}

/** A path goes without a word: what it had not executed is lost. */
export function losePath(io: GuestIo, medium: Medium, name: PathName, nowMs: number): void {
  advance(io, medium, nowMs);
  for (const [queue, q] of (io.paths[name]?.queues ?? []).entries()) {
    const lost = q.taken - q.executed;
    medium.lost += lost;
    // Whoever comes after it does not execute them either.
    if (lost > 0) medium.executed[queue] = q.taken;
    q.executed = q.completed = q.taken;
  }
  takeAway(io, name);
}

function takeAway(io: GuestIo, name: PathName): void {
  const ends = io.paths[name]?.queues.map((q) => q.taken) ?? [];
  for (const queue of ends.keys()) noteCompletions(io, queue);
  io.paths[name] = null;
  if (io.kind === 'network') io.mapped = other(name);
  for (const [queue, q] of (io.paths[other(name)]?.queues ?? []).entries()) {
    if (!isOpen(q)) q.taken = q.executed = q.completed = Math.max(q.taken, at(ends, queue));
  }
}

export function suspendIo(io: GuestIo, medium: Medium, nowMs: number): void {
  advance(io, medium, nowMs);
  io.running = false;
}

export function resumeIo(io: GuestIo, nowMs: number): void {
  if (io.running) return;
  io.running = true;
  io.sinceMs = nowMs;
  io.base = [...io.submitted];
}

/** What an emulated device knows: with an older one at the destination, commands would be executed a second time. */
export type EmulatedState = Pick<IoPath, 'access' | 'queues'>;

export function saveEmulated(io: GuestIo): EmulatedState | null {
  const path = io.paths.emulated;
  return path === null ? null : structuredClone({ access: path.access, queues: path.queues });
}

export function restoreEmulated(io: GuestIo, saved: EmulatedState | null): void {
  io.paths.emulated = saved === null ? null : { ...structuredClone(saved), stuck: false };
}

export function ledgerOf(io: GuestIo, medium: Medium): IoLedger {
  const { completed } = io;
  const unexecuted = completed.map((n, queue) => Math.max(0, n - at(medium.executed, queue)));
  return {
    submitted: sum(io.submitted),
    executed: sum(medium.executed) - medium.lost,
    completed: sum(completed) - medium.lost,
    // What was completed to the guest without having been executed is lost as well.
    lost: medium.lost + sum(unexecuted),
    executedTwice: medium.executedTwice,
    outOfOrder: medium.outOfOrder,
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
export const sumLedgers = (ledgers: readonly IoLedger[]): IoLedger => ({
  submitted: sum(ledgers.map((l) => l.submitted)),
  executed: sum(ledgers.map((l) => l.executed)),
  completed: sum(ledgers.map((l) => l.completed)),
  lost: sum(ledgers.map((l) => l.lost)),
  executedTwice: sum(ledgers.map((l) => l.executedTwice)),
  outOfOrder: sum(ledgers.map((l) => l.outOfOrder)),
});
