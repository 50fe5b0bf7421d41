/** Numbers of hosts, absolute or as a share: every rounding at its edge. */
import * as z from 'zod/mini';
import {
  amount,
  concurrentHosts,
  positiveAmount,
  toleratedHosts,
  waveHosts,
} from '../../contract/amounts';

test.each([0, 3, 10_000, '0%', '25%', '100%', '12.5%'])('%j is an amount', (value) => {
  expect(z.safeParse(amount, value).success).toBe(true);
});

test.each([-1, 1.5, 10_001, '101%', '100.01%', '-5%', '5', '5 %', '', null])(
  '%j is none, and it is said what is',
  (value) => {
    const { error } = z.safeParse(amount, value);
    expect(error?.issues[0]?.message).toContain('a percentage from "0%" to "100%"');
  },
);

test.each([0, '0%'])('%j is not more than none', (value) => {
  expect(z.safeParse(positiveAmount, value).success).toBe(false);
});

test.each([
  // [amount, hosts, wave (up), concurrency (down, at least 1), tolerated failures (down)]
  [1, 10, 1, 1, 1],
  [12, 10, 10, 12, 12],
  ['25%', 10, 3, 2, 2],
  ['25%', 8, 2, 2, 2],
  ['10%', 19, 2, 1, 1],
  ['10%', 20, 2, 2, 2],
  ['1%', 3, 1, 1, 0],
  ['14%', 50, 7, 7, 7],
  ['100%', 7, 7, 7, 7],
  ['0%', 7, 0, 1, 0],
  [0, 7, 0, 1, 0],
  ['33.33%', 3, 1, 1, 0],
] as const)('%j of %d hosts', (value, hosts, wave, concurrent, tolerated) => {
  expect(waveHosts(value, hosts)).toBe(wave);
  expect(concurrentHosts(value, hosts)).toBe(concurrent);
  expect(toleratedHosts(value, hosts)).toBe(tolerated);
});
