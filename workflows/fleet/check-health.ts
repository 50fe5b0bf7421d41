import type { HostActivities } from '../../activities/host-activities';
import type { Health } from '../../contract/fleet-input';
import type { Finding, HealthReport } from '../../contract/fleet-results';
import { hostControlQueue } from '../../contract/queues';
import { healthReport } from '../../planning/fleet-health';
import { failureMessage } from '../failures';
import { labelledActivities } from '../labelled-activities';
import { probes } from './calls';

export interface HealthLook {
  readonly report: HealthReport;
  /** Each host that a probe of its own found unhealthy. */
  readonly unhealthy: readonly { readonly hostId: string; readonly reason: string }[];
}

/** One look at some hosts of a fleet and at what is measured of it. Never fails: no answer is inconclusive. */
export async function checkHealth(input: {
  readonly hostIds: readonly string[];
  readonly health: Health;
}): Promise<HealthLook> {
  const { hostIds, health } = input;
  const [ofHosts, http, prometheus] = await Promise.all([
    Promise.all(hostIds.map((hostId) => hostFindings(hostId, health))),
    Promise.all(health.http.map((probe) => probes.probeHttp(probe))),
    Promise.all(health.prometheus.map((probe) => probes.probePrometheus(probe))),
  ]);
  const unhealthy = ofHosts.flat().filter((finding) => finding.verdict === 'unhealthy');
  return {
    report: healthReport([...ofHosts.flat(), ...http, ...prometheus]),
    unhealthy: [...new Set(unhealthy.map((finding) => finding.of))].map((hostId) => ({
      hostId,
      reason: unhealthy
        .filter((finding) => finding.of === hostId)
        .map((finding) => `${finding.probe}: ${finding.evidence}`)
        .join('; '),
    })),
  };
}

async function hostFindings(hostId: string, health: Health): Promise<readonly Finding[]> {
  if (health.probes.length === 0) return [];
  const { probeHost } = labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: '10s',
      scheduleToStartTimeout: '10s',
      scheduleToCloseTimeout: '30s',
    },
    { hostId },
  );
  try {
    return await probeHost(hostId, health.probes);
  } catch (error) {
    const evidence = `the host did not answer: ${failureMessage(error)}`;
    return health.probes.map((probe) => ({ probe, of: hostId, verdict: 'inconclusive', evidence }));
  }
}
