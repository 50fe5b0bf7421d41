/** Who may start now: concurrency, ramp, fault domains, availability groups, and when a run stops. */
import type { WaveHost } from '../../contract/fleet-plan';
import { allowedInFlight, startable, stopsRun, type Pace } from '../../planning/fleet-pace';

const host = (
  hostId: string,
  faultDomain: string,
  availabilityGroups: string[] = [],
  notBeforeMs?: number,
): WaveHost => ({
  hostId,
  faultDomain,
  availabilityGroups,
  ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
});
const pace = (over: Partial<Pace> = {}): Pace => ({
  concurrency: 10,
  ramp: false,
  succeeded: 0,
  perFaultDomain: 1,
  perAvailabilityGroup: 1,
  nowMs: 1_000,
  ...over,
});
const ids = (hosts: readonly WaveHost[]) => hosts.map((h) => h.hostId);

describe('a ramp', () => {
  test.each([
    [0, 1],
    [1, 2],
    [2, 2],
    [3, 4],
    [6, 4],
    [7, 8],
    [14, 8],
    [15, 10],
    [1_000, 10],
  ])('after %d successes allows %d of 10', (succeeded, allowed) => {
    expect(allowedInFlight({ concurrency: 10, ramp: true, succeeded })).toBe(allowed);
  });
  test('is not asked for: all at once', () => {
    expect(allowedInFlight({ concurrency: 10, ramp: false, succeeded: 0 })).toBe(10);
  });
});

describe('of the hosts that wait', () => {
  const waiting = [host('a1', 'fd-1'), host('a2', 'fd-1'), host('b1', 'fd-2'), host('c1', 'fd-3')];
  test.each<[string, Partial<Pace>, WaveHost[], string[]]>([
    ['one of each fault domain', {}, [], ['a1', 'b1', 'c1']],
    ['two where two are allowed', { perFaultDomain: 2 }, [], ['a1', 'a2', 'b1', 'c1']],
    ['none of a domain that is in flight', {}, [host('a0', 'fd-1')], ['b1', 'c1']],
    ['no more than places are left', { concurrency: 2 }, [host('z', 'fd-9')], ['a1']],
    ['none when the places are taken', { concurrency: 1 }, [host('z', 'fd-9')], []],
    [
      'none beyond a lowered concurrency',
      { concurrency: 1 },
      [host('y', 'fd-8'), host('z', 'fd-9')],
      [],
    ],
    ['as many as the ramp allows', { ramp: true, succeeded: 1 }, [], ['a1', 'b1']],
  ])('%s may start', (_what, over, inFlight, started) => {
    expect(ids(startable(waiting, inFlight, pace(over)))).toEqual(started);
  });

  test('never two of one availability group, although their fault domains differ', () => {
    const hosts = [
      host('a', 'fd-1', ['web', 'db']),
      host('b', 'fd-2', ['db']),
      host('c', 'fd-3', ['mail']),
    ];
    expect(ids(startable(hosts, [], pace()))).toEqual(['a', 'c']);
    expect(ids(startable(hosts, [], pace({ perAvailabilityGroup: 2 })))).toEqual(['a', 'b', 'c']);
  });

  test('one whose time has not come holds no other up, and starts at that very moment', () => {
    const hosts = [host('later', 'fd-1', [], 2_000), host('now', 'fd-2')];
    expect(ids(startable(hosts, [], pace({ nowMs: 1_999 })))).toEqual(['now']);
    expect(ids(startable(hosts, [], pace({ nowMs: 2_000 })))).toEqual(['later', 'now']);
  });
});

test.each([
  [0, 0, false, false],
  [1, 0, false, true],
  [1, 1, false, false],
  [2, 1, false, true],
  [5, 5, false, false],
  [6, 5, false, true],
  [1, 5, true, true],
  [0, 5, true, false],
])(
  '%d failures with a limit of %d (canary: %p) stop the run: %p',
  (failures, limit, canary, stops) => {
    expect(stopsRun(failures, limit, canary)).toBe(stops);
  },
);
