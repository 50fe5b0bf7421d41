/** What a series of measurements comes to: those of the nearest rank, so that each is one that was measured. */
export interface Spread<Measured> {
  readonly n: number;
  readonly median: Measured;
  readonly p95: Measured;
  readonly max: Measured;
}

/** Null for an empty series. */
export function spreadOf<Measured extends { readonly ms: number }>(
  series: readonly Measured[],
): Spread<Measured> | null {
  const sorted = [...series].sort((a, b) => a.ms - b.ms);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  const [median, p95, max] = [rank(0.5), rank(0.95), rank(1)];
  return median === undefined || p95 === undefined || max === undefined
    ? null
    : { n: sorted.length, median, p95, max };
}

/** `41.3 ms`, `1.20 s`, `3 min 4 s`: three figures or so, as people compare them. */
export function time(ms: number): string {
  if (ms < 1_000) return `${ms.toFixed(1)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

/** A length that a person wrote: `10 s`, `500 ms`. */
export function limit(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  return ms < 60_000 ? `${Number((ms / 1_000).toFixed(3))} s` : time(ms);
}

export const percent = (share: number): string =>
  share < 0.1 ? `${(share * 100).toFixed(1)} %` : `${(share * 100).toFixed(0)} %`;

export const moment = (ms: number): string =>
  `${new Date(ms).toISOString().replace('T', ' ').slice(0, 19)} UTC`;
