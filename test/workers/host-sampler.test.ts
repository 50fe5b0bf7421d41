import { setTimeout as delay } from 'node:timers/promises';
import type { HostDescription } from '../../contract/host';
import { lookAtHosts, sampleHosts } from '../../workers/host-sampler';
import { aHost } from '../activities/host-metrics/described-host';

type Describe = (hostId: string) => Promise<HostDescription>;

/** What a sampler did, and when it asked. */
class Seen {
  readonly asked: { readonly hostId: string; readonly atMs: number }[] = [];
  readonly observed: string[] = [];
  readonly warnings: string[] = [];

  constructor(private readonly answer: Describe) {}

  readonly driver = {
    describe: (hostId: string) => {
      this.asked.push({ hostId, atMs: performance.now() });
      return this.answer(hostId);
    },
  };
  readonly metrics = { observe: (host: HostDescription) => void this.observed.push(host.hostId) };
  readonly logger = { warn: (line: string) => void this.warnings.push(line) };
}

/** Samples until it has asked so often; `describe` is what the hosts do when they are asked. */
async function sampled(
  hostIds: readonly string[],
  describe: Describe,
  times: number,
): Promise<Seen> {
  const stop = new AbortController();
  const seen = new Seen((hostId) => {
    if (seen.asked.length === times) stop.abort();
    return describe(hostId);
  });
  await sampleHosts(hostIds, seen.driver, seen.metrics, seen.logger, stop.signal, 20);
  return seen;
}

const answers = (hostId: string) => Promise.resolve(aHost([], { hostId }));
const firstIsGone = (hostId: string) =>
  hostId === 'host-01' ? Promise.reject(new Error('gone')) : answers(hostId);

test('every host is described in its turn', async () => {
  const { observed } = await sampled(['host-01', 'host-02'], answers, 4);
  expect(observed).toEqual(['host-01', 'host-02', 'host-01', 'host-02']);
});

test('a host that cannot be described is told, and does not keep the others from it', async () => {
  const { observed, warnings } = await sampled(['host-01', 'host-02'], firstIsGone, 4);
  expect(warnings[0]).toBe('host-01 could not be described for its metrics: gone');
  expect(observed).toEqual(['host-02', 'host-02']);
});

test('a description that takes long is made more seldom: at most one part in a hundred of the time', async () => {
  let tookMs = 0;
  const slow = async (hostId: string) => {
    const from = performance.now();
    await delay(5);
    tookMs ||= performance.now() - from;
    return aHost([], { hostId });
  };
  const [first, second] = (await sampled(['host-01'], slow, 2)).asked;
  expect((second?.atMs ?? 0) - (first?.atMs ?? Infinity)).toBeGreaterThan(100 * tookMs);
});

test('the first look takes all hosts one after the other, without a pause, also past one that is gone', async () => {
  const seen = new Seen(firstIsGone);
  await lookAtHosts(['host-01', 'host-02', 'host-03'], seen.driver, seen.metrics, seen.logger);
  expect(seen.observed).toEqual(['host-02', 'host-03']);
  expect(seen.warnings).toHaveLength(1);
});
