import type { CoreHost, CoreVm } from './state';

/**
 * What each number of a state is: a moment of the host's monotonic clock (`host`), one of the wall clock (`wall`), or none
 * (`none`, also of a whole object). Whoever adds a number to a state says here which it is: the compiler asks.
 */
export type Moments<T> =
  | 'none'
  | (T extends null | undefined
      ? never
      : T extends number
        ? 'host' | 'wall'
        : T extends readonly (infer Each)[]
          ? { readonly each: Moments<Each> }
          : string extends keyof T
            ? { readonly each: Moments<T[keyof T]> }
            : T extends object
              ? {
                  readonly [K in keyof T as HasNumber<T[K]> extends true ? K : never]-?: Moments<
                    T[K]
                  >;
                }
              : never);

type HasNumber<T> = true extends NumberIn<T> ? true : false;
type NumberIn<T> = T extends number
  ? true
  : T extends readonly (infer Each)[]
    ? NumberIn<Each>
    : T extends object
      ? { [K in keyof T]: NumberIn<T[K]> }[keyof T]
      : false;

const MAILBOX = {
  owner: 'none',
  startedAtMs: 'host',
  attempts: 'none',
  spentMs: 'none',
} as const satisfies Moments<CoreVm['mailbox']>;
export const MAILBOX_MOMENTS = { mailbox: MAILBOX } as const;

export const CORE_VM_MOMENTS = {
  ...MAILBOX_MOMENTS,
  generation: 'none',
  lease: 'none',
  nextLease: 'none',
  faults: 'none',
  pointOfNoReturn: { generation: 'none', atMs: 'host' },
  deadlineMs: 'host',
  blackoutMs: 'none',
  // For people, and for allowances that span weeks.
  blackouts: { each: { endedAtMs: 'wall', ms: 'none' } },
} as const satisfies Moments<CoreVm>;

export const CORE_HOST_MOMENTS = {
  ...MAILBOX_MOMENTS,
  generation: 'none',
  lease: 'none',
  servicing: {
    generation: 'none',
    order: 'none',
    commitArmedBy: 'none',
    pauseUntilMs: 'host',
    notice: { untilMs: 'host', dueMs: { each: 'host' } },
  },
  faults: 'none',
  journalSeq: 'none',
  writes: 'none',
  clockMs: 'host',
  commands: 'none',
  invariants: 'none',
} as const satisfies Moments<CoreHost>;

/** Moves all moments of a state, in place: it goes on on a clock that stands elsewhere. */
export function shiftMoments<T extends object>(
  state: T,
  moments: Moments<T>,
  by: { readonly host: number; readonly wall: number },
): void {
  if (moments === 'none') return;
  const described = moments as Readonly<Record<string, Moments<object> | 'host' | 'wall'>>;
  for (const [name, value] of Object.entries(state)) {
    const what = described['each'] ?? described[name] ?? 'none';
    if (what === 'none' || value === null) continue;
    if (what === 'host' || what === 'wall')
      (state as Record<string, number>)[name] = (value as number) + by[what];
    else shiftMoments(value as object, what, by);
  }
}
