/** Latencies are data: one seed gives the same ones, and they have the distribution that the profile says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOST_STEP_NAMES, VM_STEPS, VM_STEP_NAMES } from '../../../contract/steps';
import { loadProfile, sampleMs, type LatencyProfile } from '../../../hosts/simulator/latency';

const profile: LatencyProfile = {
  timeScale: 1,
  operations: { pauseVm: { p50: 5, p99: 50 }, constant: { p50: 70, p99: 70 } },
};
const samples = (operation: string, n: number, scale = 1) =>
  Array.from({ length: n }, (_, i) =>
    sampleMs({ ...profile, timeScale: scale }, operation, 1, `vm/${String(i)}`),
  ).sort((a, b) => a - b);
const quantile = (sorted: readonly number[], q: number) =>
  sorted[Math.floor(sorted.length * q)] ?? NaN;

it('the same seed and key give the same value, another seed or key another', () => {
  const value = sampleMs(profile, 'pauseVm', 1, 'vm-01/1/1');
  expect(sampleMs(profile, 'pauseVm', 1, 'vm-01/1/1')).toBe(value);
  expect(sampleMs(profile, 'pauseVm', 2, 'vm-01/1/1')).not.toBe(value);
  expect(sampleMs(profile, 'pauseVm', 1, 'vm-02/1/1')).not.toBe(value);
});

it('the median and the 99th percentile are the profile’s', () => {
  const sorted = samples('pauseVm', 20_000);
  expect(quantile(sorted, 0.5)).toBeGreaterThan(5 * 0.95);
  expect(quantile(sorted, 0.5)).toBeLessThan(5 * 1.05);
  expect(quantile(sorted, 0.99)).toBeGreaterThan(50 * 0.88);
  expect(quantile(sorted, 0.99)).toBeLessThan(50 * 1.12);
});

it('a distribution without spread is a constant, an operation that is not named takes no time', () => {
  expect(new Set(samples('constant', 20))).toEqual(new Set([70]));
  expect(sampleMs(profile, 'saveVm', 1, 'x')).toBe(0);
});

it.each([0, 0.1, 10])('a timeScale of %d scales every value', (scale) => {
  expect(samples('pauseVm', 5, scale)).toEqual(samples('pauseVm', 5).map((v) => v * scale));
});

it('the default profile names every step that does something, and no step that there is not', () => {
  const { operations } = loadProfile('default');
  const steps = [...VM_STEP_NAMES, ...HOST_STEP_NAMES] as string[];
  expect(Object.keys(operations).filter((o) => !steps.includes(o))).toEqual([]);
  const free = [
    'concludeSave',
    'crossPointOfNoReturn',
    'discardSavedState',
    'endOperation',
    'openGate',
    'strandVm',
    'verifyRestore',
    'verifyHost',
  ];
  const waiting = VM_STEP_NAMES.filter((s) => VM_STEPS[s].kind === 'waits');
  expect(steps.filter((s) => !(s in operations)).sort()).toEqual(
    [...new Set([...free, ...waiting])].sort(),
  );
  for (const { p50, p99 } of Object.values(operations)) expect(p99).toBeGreaterThanOrEqual(p50);
});

it('the zero profile takes no time at all', () => {
  expect(loadProfile('zero').operations).toEqual({});
});

describe('a bad profile', () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-profile-'));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  it.each([
    [
      'that is not there',
      undefined,
      /There is no latency profile ".*"; use "default", "zero", or the path/,
    ],
    ['that is not JSON', '{ p50', /Latency profile .*is not JSON/],
    ['with a wrong type', '{"timeScale":"fast","operations":{}}', /timeScale/],
    [
      'with a negative time',
      '{"timeScale":1,"operations":{"pauseVm":{"p50":-1,"p99":5}}}',
      /operations\.pauseVm\.p50/,
    ],
    [
      'whose 99th percentile is below its median',
      '{"timeScale":1,"operations":{"pauseVm":{"p50":9,"p99":5}}}',
      /p99 must not be below p50\s+→ at operations.pauseVm/,
    ],
    ['with a key it does not know', '{"timeScale":1,"operations":{},"scale":2}', /scale/],
  ])('%s is named', (_, text, says) => {
    const path = join(directory, `${Math.random().toString(36).slice(2)}.json`);
    if (text !== undefined) writeFileSync(path, text);
    expect(() => loadProfile(path)).toThrow(says);
    expect(() => loadProfile(path)).toThrow(TypeError);
  });
});
