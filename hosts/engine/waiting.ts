import { HoldfastError } from '../../contract/failures';

/** Why signals are aborted here. The default, an error with its stack, costs as much as a small step. */
export const OVER = 'over';

/** How long an attempt has to end by itself when its time is over, ms. */
const TO_END_MS = 20;

/**
 * Runs it with a signal that is aborted after this time, or with one of these. `AbortSignal.any` will not do: in Node 20 a
 * time-out that it is made of can be collected as garbage, and never comes. With `hanging`, what does not hear that its time
 * is over is given up `toEndMs` later; the next attempt observes what it did.
 */
export async function within<T>(
  ms: number | undefined,
  signals: readonly AbortSignal[],
  run: (signal: AbortSignal) => Promise<T>,
  hanging?: { readonly what: string; readonly toEndMs?: number },
): Promise<T> {
  const over = new AbortController();
  const end = () => {
    over.abort(OVER);
  };
  let timer: NodeJS.Timeout | undefined;
  const givenUp = new Promise<never>((_, reject) => {
    const late = () => {
      end();
      if (hanging === undefined) return;
      const { what, toEndMs = TO_END_MS } = hanging;
      const giveUp = () => {
        reject(notWaitedFor(what));
      };
      timer = setTimeout(giveUp, toEndMs);
    };
    if (ms !== undefined) timer = setTimeout(late, Math.ceil(ms));
  });
  for (const signal of signals) {
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  }
  try {
    return await Promise.race([run(over.signal), givenUp]);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener('abort', end);
  }
}

export const notWaitedFor = (what: string) =>
  new HoldfastError('NotReachedInTime', `${what} is not waited for any more.`);

/** An activity that is over, or whose worker ends, waits no more; what it asked for goes on. */
export async function unlessAborted<T>(
  answer: Promise<T>,
  signal: AbortSignal,
  what: string,
): Promise<T> {
  let end: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    end = () => {
      reject(notWaitedFor(what));
    };
    if (signal.aborted) end();
  });
  signal.addEventListener('abort', end);
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
