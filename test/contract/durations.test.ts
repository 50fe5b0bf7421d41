/** Durations are written as Temporal writes them, and stay text until they are used. */
import * as z from 'zod/mini';
import { duration, durationMs, toMs } from '../../contract/durations';

it.each([
  ['10s', 10_000],
  ['500ms', 500],
  ['5m', 300_000],
  ['24h', 86_400_000],
  ['1.5s', 1_500],
  ['0.5 s', 500],
  ['2 minutes', 120_000],
  ['1d', 86_400_000],
  ['0s', 0],
])('%s is %d ms', (text, expected) => {
  expect(durationMs(text)).toBe(expected);
  expect(toMs(text)).toBe(expected);
});

it.each([
  '',
  '10',
  'ten seconds',
  '-5s',
  '10 s s',
  '10x',
  's',
  '1e3ms',
  'NaNs',
  ' 10s',
  '10s\n20s',
  '٣s',
])('"%s" is no duration', (text) => {
  expect(durationMs(text)).toBeUndefined();
  expect(() => toMs(text)).toThrow(RangeError);
});

it.each([
  ['99ms', false],
  ['100ms', true],
  ['30s', true],
  ['30001ms', false],
  ['31s', false],
  ['999999999999y', false],
  ['soon', false],
  [10_000, false],
  [null, false],
])('%j within 100ms to 30s: %s', (value, ok) => {
  const parsed = z.safeParse(duration({ min: '100ms', max: '30s' }), value);
  expect(parsed.success).toBe(ok);
  if (!parsed.success)
    expect(parsed.error.issues.map((i) => i.message)).toEqual([
      'must be a duration such as "10s", from 100ms to 30s',
    ]);
  else expect(parsed.data).toBe(value);
});
