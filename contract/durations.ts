import ms from 'ms';
import { z } from './zod';

/** Milliseconds of a duration as Temporal writes it ("10s", "500ms", "5m"), or `undefined` if it is none. */
export function durationMs(text: string): number | undefined {
  const parsed = /^\d+(\.\d+)?\s*[a-z]+$/i.test(text) ? ms(text as ms.StringValue) : Number.NaN;
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** A duration field: a string such as "10s" within `min` and `max`; it stays text, so that inputs read as written. */
export const duration = (range: { min: string; max: string }) => {
  const [min, max] = [durationMs(range.min) ?? 0, durationMs(range.max) ?? Infinity];
  return z.string(`must be a duration such as "10s", from ${range.min} to ${range.max}`).check(
    z.refine(
      (text: string) => {
        const value = durationMs(text);
        return value !== undefined && value >= min && value <= max;
      },
      { error: `must be a duration such as "10s", from ${range.min} to ${range.max}` },
    ),
  );
};

/** Milliseconds of a duration that validation has already accepted. */
export function toMs(text: string): number {
  const value = durationMs(text);
  if (value === undefined) throw new RangeError(`"${text}" is not a duration`);
  return value;
}
