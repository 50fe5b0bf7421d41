import { executeChild } from '@temporalio/workflow';
import { toMs } from '../../contract/durations';
import type { Health } from '../../contract/fleet-input';
import type { WaveHost } from '../../contract/fleet-plan';
import type { Gate } from '../../contract/fleet-results';
import { fleetChildId } from '../../contract/queues';
import { unservicedHost } from '../../planning/fleet-outcomes';
import { afterLook, mergedReport } from '../../planning/fleet-health';
import { eachBatch, fleet } from './calls';
import type { checkHealth, HealthLook } from './check-health';
import { needsApproval } from './controls';
import type { FleetRun } from './fleet-run';

/** Waits until a person has approved the wave, where it needs that. */
export async function approval(run: FleetRun, wave: number): Promise<void> {
  while (needsApproval(run, wave) && !run.state.approved.includes(wave) && run.goesOn()) {
    const seen = run.changes;
    run.wait({ for: 'approval', detail: `wave ${wave} begins when a person approves it` });
    await run.changed(seen);
  }
  run.wait(null);
}

/** One look before the wave begins: a host that is not well is not touched, and counts as a failure. */
export async function healthBefore(run: FleetRun, hosts: readonly WaveHost[]): Promise<void> {
  const look = await lookAt(
    run,
    hosts.map((host) => host.hostId),
  );
  decide(run, 'before', 1, look);
  for (const { hostId, reason } of look.unhealthy) {
    const host = hosts.find((h) => h.hostId === hostId);
    if (host === undefined) continue;
    run.settled(
      host,
      unservicedHost(hostId, run.state.wave, 'unhealthy', `before its update: ${reason}`),
    );
  }
  await run.flush();
}

/** Lets the wave settle, then looks until all has been well for long enough, or gives up. */
export async function bake(run: FleetRun): Promise<void> {
  const { bakeTime } = run.settings.strategy;
  const { wave, updatedInWave } = run.state;
  if (updatedInWave.length === 0) return;
  const settledAtMs = run.state.bake.settledAtMs ?? run.now + toMs(bakeTime.settle);
  run.state.bake = { ...run.state.bake, settledAtMs };
  run.wait({ for: 'health', detail: `wave ${wave} settles for ${bakeTime.settle}` });
  await untilEnding(run, settledAtMs);
  while (run.goesOn()) {
    const look = await lookAt(run, updatedInWave);
    const looks = run.state.bake.looks + 1;
    const next = afterLook(run.state.bake.standing, look.report.verdict, run.now, bakeTime);
    if ('decided' in next) {
      decide(run, 'bake', looks, { ...look, report: { ...look.report, verdict: next.decided } });
      await countUnhealthy(run, look);
      break;
    }
    run.state.bake = { settledAtMs, looks, standing: next.lookAgain };
    run.wait({
      for: 'health',
      detail: `wave ${wave} is ${look.report.verdict} after ${looks} looks; it passes when it is healthy for ${bakeTime.stableFor}`,
    });
    await untilEnding(run, run.now + toMs(bakeTime.every));
    if (run.isLong && run.goesOn()) await run.continueAsNew();
  }
  run.wait(null);
}

/** One look at all updated hosts at the end. */
export async function healthAfter(run: FleetRun): Promise<void> {
  const updated = await fleet.readUpdated(run.state.planId);
  const look = await lookAt(
    run,
    updated.map((host) => host.hostId),
  );
  decide(run, 'after', 1, look);
  await countUnhealthy(run, look);
}

async function countUnhealthy(run: FleetRun, { unhealthy }: HealthLook): Promise<void> {
  if (unhealthy.length === 0) return;
  await run.flush();
  const updated = await fleet.readUpdated(run.state.planId);
  await fleet.markUnhealthy(run.state.planId, unhealthy);
  for (const { hostId, reason } of unhealthy) {
    const host = updated.find((h) => h.hostId === hostId);
    if (host === undefined || run.state.failed.some((f) => f.hostId === hostId)) continue;
    run.unhealthy(host, reason);
  }
}

/** Keeps the decision with its evidence, and pauses or stops where no host answers for it. */
function decide(run: FleetRun, gate: Gate, looks: number, { report, unhealthy }: HealthLook): void {
  const { wave } = run.state;
  run.decided({ gate, verdict: report.verdict, looks, report });
  const why = report.findings
    .filter((f) => f.verdict !== 'healthy')
    .slice(0, 3)
    .map((f) => `${f.probe} of ${f.of}: ${f.evidence}`)
    .join('; ');
  if (report.verdict === 'inconclusive') {
    run.pause('holdfast', `the health gate ${gate} wave ${wave} is inconclusive: ${why}`);
  } else if (report.verdict === 'unhealthy' && unhealthy.length === 0) {
    run.stop(`the health gate ${gate} wave ${wave}: ${why}`);
  }
}

async function lookAt(run: FleetRun, hostIds: readonly string[]): Promise<HealthLook> {
  const { health } = run.settings;
  const asked = health.probes.length === 0 ? [] : hostIds;
  const ofFleet = { http: health.http, prometheus: health.prometheus };
  const isMeasured = health.http.length + health.prometheus.length > 0;
  const lookOnce = (part: readonly string[], measured: Pick<Health, 'http' | 'prometheus'>) => {
    run.state.looks += 1;
    return executeChild<typeof checkHealth>('checkHealth', {
      workflowId: fleetChildId('health', run.state.planId, run.state.looks),
      args: [{ hostIds: part, health: { probes: health.probes, ...measured } }],
      staticSummary: `health of ${part.length} hosts of wave ${run.state.wave}`,
    });
  };
  // What is measured of the whole fleet is asked once.
  const looks = await eachBatch(asked, (part, index) =>
    lookOnce(part, index === 0 ? ofFleet : { http: [], prometheus: [] }),
  );
  if (asked.length === 0 && isMeasured) looks.push(await lookOnce([], ofFleet));
  return {
    report: mergedReport(looks.map((look) => look.report)),
    unhealthy: looks.flatMap((look) => look.unhealthy),
  };
}

/** Sleeps, unless the run ends before. */
async function untilEnding(run: FleetRun, until: number): Promise<void> {
  while (run.goesOn() && run.now < until) await run.changed(run.changes, until - run.now);
}
