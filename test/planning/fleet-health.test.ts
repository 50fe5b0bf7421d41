/** What findings come to, and what a wave's bake decides after each look. */
import type { Finding, HealthVerdict } from '../../contract/fleet-results';
import { afterLook, healthReport, mergedReport, type Bake } from '../../planning/fleet-health';

const finding = (
  verdict: HealthVerdict,
  of = 'host-01',
  probe: Finding['probe'] = 'heartbeat',
): Finding => ({
  probe,
  of,
  verdict,
  evidence: `${of} is ${verdict}`,
});

describe('a report', () => {
  test.each<[HealthVerdict[], HealthVerdict]>([
    [[], 'healthy'],
    [['healthy', 'healthy'], 'healthy'],
    [['healthy', 'inconclusive'], 'inconclusive'],
    [['inconclusive', 'unhealthy'], 'unhealthy'],
  ])('of %j is %s', (verdicts, verdict) => {
    const findings = verdicts.map((v, i) => finding(v, `host-0${i}`));
    expect(healthReport(findings).verdict).toBe(verdict);
    expect(mergedReport(findings.map((f) => healthReport([f]))).verdict).toBe(verdict);
  });

  test('counts everything, lists what is not healthy, the worst first, or one example of each probe', () => {
    const bad = [
      finding('healthy'),
      finding('inconclusive', 'host-02'),
      finding('unhealthy', 'host-03'),
    ];
    const report = healthReport(bad);
    expect(report.probes).toEqual([
      { probe: 'heartbeat', healthy: 1, unhealthy: 1, inconclusive: 1 },
    ]);
    expect(report.findings.map((f) => f.of)).toEqual(['host-03', 'host-02']);
    const good = healthReport([
      finding('healthy'),
      finding('healthy', 'host-02'),
      finding('healthy', 'u', 'http'),
    ]);
    expect(good.findings.map((f) => `${f.probe} ${f.of}`)).toEqual(['heartbeat host-01', 'http u']);
    const merged = mergedReport([good, report]);
    expect(merged.probes[0]).toEqual({
      probe: 'heartbeat',
      healthy: 3,
      unhealthy: 1,
      inconclusive: 1,
    });
    expect(merged.findings.map((f) => f.of)).toEqual(['host-03', 'host-02']);
  });
});

describe('after a look of a bake that needs 10 s of health and gives up after 30 s', () => {
  const time = { stableFor: '10s', giveUpAfter: '30s' };
  const bake = (healthySinceMs: number | null): Bake => ({ firstLookMs: 0, healthySinceMs });
  test.each<[string, Bake | null, HealthVerdict, number, HealthVerdict | Bake]>([
    ['the first, healthy', null, 'healthy', 0, bake(0)],
    ['healthy for less than that', bake(0), 'healthy', 9_999, bake(0)],
    ['healthy for exactly that', bake(0), 'healthy', 10_000, 'healthy'],
    ['unhealthy in between', bake(0), 'unhealthy', 5_000, bake(null)],
    ['healthy again: it counts anew', bake(null), 'healthy', 12_000, bake(12_000)],
    ['unhealthy just before giving up', bake(null), 'unhealthy', 29_999, bake(null)],
    ['unhealthy when it gives up', bake(null), 'unhealthy', 30_000, 'unhealthy'],
    ['inconclusive when it gives up', bake(null), 'inconclusive', 30_000, 'inconclusive'],
    [
      'healthy when it gives up, but not for long enough',
      bake(25_000),
      'healthy',
      30_000,
      'inconclusive',
    ],
    ['healthy for long enough just when it gives up', bake(20_000), 'healthy', 30_000, 'healthy'],
  ])('%s', (_what, before, verdict, nowMs, then) => {
    expect(afterLook(before, verdict, nowMs, time)).toEqual(
      typeof then === 'string' ? { decided: then } : { lookAgain: then },
    );
  });

  test('with neither, a single look decides', () => {
    const once = { stableFor: '0s', giveUpAfter: '0s' };
    for (const verdict of ['healthy', 'unhealthy', 'inconclusive'] as const)
      expect(afterLook(null, verdict, 5, once)).toEqual({ decided: verdict });
  });
});
