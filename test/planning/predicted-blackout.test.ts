/** What preflight says of a blackout before it comes. */
import { predictedBlackout } from '../../planning/predicted-blackout';

const expected = {
  modified: { save: { p50Ms: 100, p99Ms: 400 }, restore: { p50Ms: 70, p99Ms: 470 } },
  conventional: { save: { p50Ms: 10, p99Ms: 10 }, restore: { p50Ms: 20, p99Ms: 20 } },
  commit: { p50Ms: 1_000, p99Ms: 1_000 },
};

it('a VM by itself is dark for its own steps', () => {
  expect(predictedBlackout(expected, 'modified', null)).toEqual({
    together: false,
    likelyMs: 170,
    rarelyOverMs: 670,
  });
  expect(predictedBlackout(expected, 'conventional', null).likelyMs).toBe(30);
});

it('VMs that are dark together wait for the slowest save and for the commit', () => {
  const of = (vms: number) => predictedBlackout(expected, 'modified', vms);
  expect(of(1)).toMatchObject({ together: true, likelyMs: 1_170 });
  expect(of(4).likelyMs).toBeGreaterThan(of(1).likelyMs + 100);
  expect(of(64).likelyMs).toBeGreaterThan(of(4).likelyMs);
  // No longer than the slowest of a hundred.
  expect(of(10_000).likelyMs).toBe(1_470);
  expect(of(4).rarelyOverMs).toBeGreaterThan(of(4).likelyMs);
});
