import type { ExpectedTimes, Spread } from '../contract/host';
import type { Mode } from '../contract/inputs';
import type { PredictedBlackout } from '../contract/results';

/** How far the 99th percentile lies from the median, in standard deviations. */
const P99 = 2.326;

/** Two stretches of which one follows the other, each as long as it happens to be. */
const after = (a: Spread, b: Spread): Spread => ({
  p50Ms: a.p50Ms + b.p50Ms,
  p99Ms: a.p50Ms + b.p50Ms + Math.hypot(a.p99Ms - a.p50Ms, b.p99Ms - b.p50Ms),
});

/** The longest of so many, all of which are waited for. */
const slowestOf = (count: number, { p50Ms, p99Ms }: Spread): Spread => {
  const deviations = Math.min(P99, Math.sqrt(2 * Math.log(Math.max(1, count))));
  const p50OfSlowest = p50Ms + (deviations / P99) * (p99Ms - p50Ms);
  return { p50Ms: p50OfSlowest, p99Ms: Math.max(p99Ms, p50OfSlowest) };
};

/**
 * How long a VM will be dark, by what its host says of its steps. By itself it waits for nobody; together with others for
 * the slowest of them to be saved, and for the update.
 */
export function predictedBlackout(
  expected: ExpectedTimes,
  mode: Mode,
  together: number | null,
): PredictedBlackout {
  const { save, restore } = expected[mode];
  const { p50Ms, p99Ms } =
    together === null
      ? after(save, restore)
      : after(after(slowestOf(together, save), expected.commit), restore);
  return {
    together: together !== null,
    likelyMs: Math.round(p50Ms),
    rarelyOverMs: Math.round(p99Ms),
  };
}
