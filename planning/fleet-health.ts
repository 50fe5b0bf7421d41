import { toMs } from '../contract/durations';
import type { BakeTime } from '../contract/fleet-input';
import type { Finding, HealthReport, HealthVerdict, ProbeName } from '../contract/fleet-results';

/** How many findings a report lists at most. */
const LISTED = 100;

/** What a number of findings come to: one that is unhealthy decides, then one that is inconclusive. */
export function healthReport(findings: readonly Finding[]): HealthReport {
  const probes = [...new Set(findings.map((f) => f.probe))].map((probe) => {
    const count = (verdict: HealthVerdict) =>
      findings.filter((f) => f.probe === probe && f.verdict === verdict).length;
    return {
      probe,
      healthy: count('healthy'),
      unhealthy: count('unhealthy'),
      inconclusive: count('inconclusive'),
    };
  });
  const verdict = verdictOf(probes);
  const notHealthy = [
    ...findings.filter((f) => f.verdict === 'unhealthy'),
    ...findings.filter((f) => f.verdict === 'inconclusive'),
  ];
  const listed = verdict === 'healthy' ? examples(findings) : notHealthy.slice(0, LISTED);
  return { verdict, probes, findings: listed };
}

/** One report of the reports of several batches of hosts. */
export function mergedReport(reports: readonly HealthReport[]): HealthReport {
  const names = [...new Set(reports.flatMap((r) => r.probes.map((p) => p.probe)))];
  const probes = names.map((probe) => {
    const of = reports.flatMap((r) => r.probes.filter((p) => p.probe === probe));
    const sum = (verdict: HealthVerdict) => of.reduce((total, p) => total + p[verdict], 0);
    return {
      probe,
      healthy: sum('healthy'),
      unhealthy: sum('unhealthy'),
      inconclusive: sum('inconclusive'),
    };
  });
  const verdict = verdictOf(probes);
  const findings = reports.flatMap((r) => r.findings);
  return {
    verdict,
    probes,
    findings:
      verdict === 'healthy'
        ? examples(findings)
        : findings
            .filter((f) => f.verdict !== 'healthy')
            .sort((a, b) => Number(b.verdict === 'unhealthy') - Number(a.verdict === 'unhealthy'))
            .slice(0, LISTED),
  };
}

const verdictOf = (
  probes: readonly { readonly unhealthy: number; readonly inconclusive: number }[],
): HealthVerdict =>
  probes.some((p) => p.unhealthy > 0)
    ? 'unhealthy'
    : probes.some((p) => p.inconclusive > 0)
      ? 'inconclusive'
      : 'healthy';

function examples(findings: readonly Finding[]): Finding[] {
  const seen = new Set<ProbeName>();
  return findings.filter(({ probe }) => !seen.has(probe) && seen.add(probe));
}

/** Where the bake of a wave stands, by the clock of the run, ms. */
export interface Bake {
  /** When it was looked for the first time. */
  readonly firstLookMs: number;
  /** Since when every look has been healthy; null while the last one was not. */
  readonly healthySinceMs: number | null;
}

/** After a look: the wave passes, fails or is inconclusive, or it is looked again. */
export function afterLook(
  bake: Bake | null,
  verdict: HealthVerdict,
  nowMs: number,
  time: Pick<BakeTime, 'stableFor' | 'giveUpAfter'>,
): { readonly decided: HealthVerdict } | { readonly lookAgain: Bake } {
  const firstLookMs = bake?.firstLookMs ?? nowMs;
  const healthySinceMs = verdict === 'healthy' ? (bake?.healthySinceMs ?? nowMs) : null;
  if (healthySinceMs !== null && nowMs - healthySinceMs >= toMs(time.stableFor)) {
    return { decided: 'healthy' };
  }
  if (nowMs - firstLookMs >= toMs(time.giveUpAfter)) {
    // Well at last, but not for long enough: whether it would last is not known.
    return { decided: verdict === 'healthy' ? 'inconclusive' : verdict };
  }
  return { lookAgain: { firstLookMs, healthySinceMs } };
}
