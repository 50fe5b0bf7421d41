import { HoldfastError } from '../../contract/failures';

/**
 * Runs it with a signal that is aborted after this time, or with one of these. `AbortSignal.any` will not do: in Node 20 a
 * time-out that it is made of can be collected as garbage, and never comes.
 */
export async function within<T>(
  ms: number | undefined,
  signals: readonly AbortSignal[],
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const end = () => {
    over.abort();
  };
  const timer = ms === undefined ? undefined : setTimeout(end, Math.ceil(ms));
  for (const signal of signals) {
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  }
  try {
    return await run(over.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener('abort', end);
  }
}

export const notWaitedFor = (what: string) =>
  new HoldfastError('NotReachedInTime', `${what} is not waited for any more.`);

/** How long an attempt has to end by itself when its time is over, ms. */
const TO_END_MS = 20;

/** An attempt that hangs, and does not hear that its time is over, is given up too: the next one observes what it did. */
export async function orGivenUp<T>(
  attempt: Promise<T>,
  signal: AbortSignal,
  what: string,
): Promise<T> {
  const late = new AbortController();
  const end = () => setTimeout(() => late.abort(), TO_END_MS);
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true, signal: late.signal });
  try {
    return await unlessAborted(attempt, late.signal, what);
  } finally {
    late.abort();
  }
}

/** An activity that is over, or whose worker ends, waits no more; what it asked for goes on. */
export async function unlessAborted<T>(
  answer: Promise<T>,
  signal: AbortSignal,
  what: string,
): Promise<T> {
  const over = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const end = () => {
      reject(notWaitedFor(what));
    };
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true, signal: over.signal });
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    over.abort();
  }
}
