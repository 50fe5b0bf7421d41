import { setTimeout as delay } from 'node:timers/promises';
import type { HostDescription } from '../../contract/host';
import { sampleHosts } from '../../workers/host-sampler';
import { aHost } from '../activities/host-metrics/described-host';

/** Samples for a while; `describe` is what the hosts do when they are asked. */
async function sampled(
  hostIds: readonly string[],
  describe: (hostId: string) => Promise<HostDescription>,
  forMs: number,
): Promise<{ asked: string[]; observed: string[]; warnings: string[] }> {
  const seen = { asked: [] as string[], observed: [] as string[], warnings: [] as string[] };
  const stop = new AbortController();
  const sampling = sampleHosts(
    hostIds,
    {
      describe: (hostId) => {
        seen.asked.push(hostId);
        return describe(hostId);
      },
    },
    { observe: (host) => void seen.observed.push(host.hostId) },
    { warn: (line: string) => void seen.warnings.push(line) },
    stop.signal,
    20,
  );
  await delay(forMs);
  stop.abort();
  await sampling;
  return seen;
}

const answers = (hostId: string) => Promise.resolve(aHost([], { hostId }));

test('every host is described in its turn', async () => {
  const { observed } = await sampled(['host-01', 'host-02'], answers, 200);
  expect(observed.slice(0, 4)).toEqual(['host-01', 'host-02', 'host-01', 'host-02']);
});

test('a host that cannot be described is told, and does not keep the others from it', async () => {
  const { observed, warnings } = await sampled(
    ['host-01', 'host-02'],
    (hostId) => (hostId === 'host-01' ? Promise.reject(new Error('gone')) : answers(hostId)),
    200,
  );
  expect(warnings[0]).toBe('host-01 could not be described for its metrics: gone');
  expect(new Set(observed)).toEqual(new Set(['host-02']));
});

test('a description that takes long is made more seldom: at most one part in a hundred of the time', async () => {
  const slow = async (hostId: string) => {
    await delay(10);
    return aHost([], { hostId });
  };
  const { asked } = await sampled(['host-01'], slow, 300);
  expect(asked).toHaveLength(1);
});
