import {
  CancellationScope,
  condition,
  allHandlersFinished,
  executeChild,
  workflowInfo,
} from '@temporalio/workflow';
import {
  updateFleetInput,
  type UpdateFleetInput,
  type UpdateFleetSettings,
} from '../contract/fleet-input';
import type { PlanSummary, WaveHost } from '../contract/fleet-plan';
import type { FleetDryRun, FleetHost, FleetOutcome, FleetResult } from '../contract/fleet-results';
import type { FailureType } from '../contract/failures';
import type { ServiceHostInput } from '../contract/inputs';
import { fleetChildId } from '../contract/queues';
import { shortReason } from '../planning/fleet-outcomes';
import { endsTyped } from './ends-typed';
import { cancelled, failure } from './failures';
import { eachBatch, fleet } from './fleet/calls';
import { onControls, onProgressAsked } from './fleet/controls';
import { FleetRun } from './fleet/fleet-run';
import type { FleetState } from './fleet/fleet-state';
import { approval, bake, healthAfter, healthBefore } from './fleet/gates';
import { inTurn, serviceOne } from './fleet/hosts-in-turn';
import type { surveyHosts } from './fleet/survey-hosts';
import { showFleet } from './fleet/visibility';
import { validated } from './validated';
import { showAttributes, showBeginning, showEnd } from './visibility';

const EXAMPLE = '{"update":{"version":"2.0.0"},"hosts":["host-01"]}';

/**
 * Updates many hosts in waves: survey → plan → for each wave approval → health → hosts in turn → bake → at the end health
 * again. Each host is a `serviceHost` of its own. Whatever stops it, hosts in flight finish first.
 *
 * `carried` is what an earlier run of the same update hands on when it continues as new; a person starts with one object.
 */
export const updateFleet = endsTyped(async function updateFleet(
  raw: UpdateFleetInput,
  carried?: FleetState,
): Promise<FleetResult | FleetDryRun> {
  const settings = validated(updateFleetInput, raw, EXAMPLE);
  const current: { run?: FleetRun } = {};
  onProgressAsked(() => current.run);
  const run =
    carried === undefined ? await planned(raw, settings) : new FleetRun(raw, settings, carried);
  current.run = run;
  if (settings.dryRun) {
    showEnd('planned', null);
    return { outcome: 'planned', ...(await fleet.readPlan(run.state.planId)) };
  }
  onControls(run);
  const cancelHeard = CancellationScope.current().cancelRequested.catch(() => {
    run.end('cancelled', 'the run was cancelled');
  });
  void cancelHeard;

  // A cancel ends the run like an abort: hosts in flight are let finish.
  return CancellationScope.nonCancellable(async () => {
    if (carried === undefined) run.tell('started', `updates ${run.state.plan.planned} hosts`);
    showAttributes({ Phase: 'updating' });
    run.touch();
    const { waves } = run.state.plan;
    for (let wave = Math.max(1, run.state.wave); wave <= waves.length && run.goesOn(); wave += 1) {
      run.enterWave(wave);
      do {
        if (run.isLong) await run.continueAsNew();
        await run.part('approval', () => approval(run, wave));
        await run.part('before', () => readyWave(run, wave));
        await run.part('update', () => updateWave(run, wave));
        await run.part('bake', () => bake(run));
        if (wave === waves.length) await run.part('after', () => healthAfter(run));
      } while (run.goesOn() && run.state.retry.length > 0);
    }
    if (run.state.ending?.outcome === 'rolledBack') await rollBack(run);
    return ended(run);
  });
});

/** Which hosts, how they are, and when each has its turn. Nothing is touched. */
async function planned(raw: UpdateFleetInput, settings: UpdateFleetSettings): Promise<FleetRun> {
  showBeginning({ Phase: 'planning' });
  const planId = workflowInfo().firstExecutionRunId;
  const hostIds = await fleet.selectHosts(planId, settings);
  await eachBatch(hostIds, (part, index) =>
    executeChild<typeof surveyHosts>('surveyHosts', {
      workflowId: fleetChildId('survey', planId, index + 1),
      args: [{ planId, hostIds: part }],
      staticSummary: `asks ${part.length} hosts how they are`,
    }),
  );
  const plan = await fleet.planFleet(planId, settings);
  if (!settings.dryRun) await refuseIfNothingPlanned(planId, plan);
  return FleetRun.begin(raw, settings, planId, plan);
}

async function refuseIfNothingPlanned(planId: string, plan: PlanSummary): Promise<void> {
  if (plan.planned > 0 || plan.refused === plan.upToDate) return;
  const { refused } = await fleet.readHosts(planId);
  const reasons = refused.map((host) => `${host.hostId}: ${host.reason}`).join('; ');
  throw failure('NothingPlanned', `No host can be updated: ${shortReason(reasons)}`, {
    details: { refused },
  });
}

async function readyWave(run: FleetRun, wave: number): Promise<void> {
  await healthBefore(run, await fleet.readWave(run.state.planId, wave));
}

async function updateWave(run: FleetRun, wave: number): Promise<void> {
  await inTurn(run, {
    hosts: await fleet.readWave(run.state.planId, wave),
    forward: true,
    goesOn: () => run.goesOn(),
    perform: (host) => serviceOne(run, host, hostInput(run, host)),
    settled: (host, done) => run.settled(host, done),
  });
}

/** The same machinery backwards: the host that was updated last is taken back first. */
async function rollBack(run: FleetRun): Promise<void> {
  await run.flush();
  showAttributes({ Phase: 'rollingBack' });
  const hosts = await fleet.readUpdated(run.state.planId);
  const before = new Map(hosts.map((host) => [host.hostId, host.versionBefore]));
  await inTurn(run, {
    hosts,
    forward: false,
    goesOn: () => run.state.ending?.outcome === 'rolledBack',
    perform: async (host) => {
      const version = before.get(host.hostId) ?? '';
      const { component } = run.settings.update;
      return takenBack(
        await serviceOne(run, host, {
          ...run.servicing,
          hostId: host.hostId,
          ...destinations(host),
          update: { component, version },
        }),
      );
    },
    settled: (_host, done) => {
      run.keep(done);
      run.touch();
    },
  });
}

function takenBack(done: FleetHost): FleetHost {
  if (done.outcome === 'updated' || done.outcome === 'degraded') {
    return { ...done, outcome: 'rolledBack' };
  }
  return { ...done, reason: shortReason(`could not be taken back: ${done.reason ?? ''}`) };
}

/** The smallest input that says what this fleet wants: the UI's form may be filled from it. */
function hostInput(run: FleetRun, host: WaveHost): ServiceHostInput {
  const { hostId } = host;
  const { update, blackoutAllowance, faults } = run.settings;
  const { atMost, per } = blackoutAllowance;
  // An exercise is over once a person tries the host again.
  const met = run.state.retried.includes(hostId) ? [] : (faults[hostId] ?? []);
  return {
    ...run.servicing,
    hostId,
    ...destinations(host),
    update,
    blackoutAllowance: { atMost, per },
    ...(met.length === 0 ? {} : { faults: met }),
  };
}

/** Where the plan has found room for VMs that cannot stay. */
const destinations = ({ migrateTo }: WaveHost): Pick<ServiceHostInput, 'migrateTo'> =>
  migrateTo === undefined ? {} : { migrateTo: [...migrateTo] };

const FAILURES_OF: Readonly<Record<'aborted' | 'failed' | 'rolledBack', FailureType>> = {
  aborted: 'FleetAborted',
  failed: 'FleetStopped',
  rolledBack: 'FleetRolledBack',
};

/** How the run ends, with all that is known: only an update that ended by itself is a success. */
async function ended(run: FleetRun): Promise<FleetResult> {
  await run.flush();
  const { state } = run;
  const { counts, hosts, refused, longestBlackoutMs } = await fleet.readHosts(state.planId);
  const { ending } = state;
  const complete = counts.updated === counts.planned && state.plan.refused === state.plan.upToDate;
  const outcome: FleetOutcome =
    ending === null
      ? complete
        ? 'updated'
        : 'incomplete'
      : ending.outcome === 'cancelled'
        ? 'aborted'
        : ending.outcome;
  const summary = `${counts.updated} of ${counts.planned} hosts updated, ${counts.failed} failed, ${state.plan.refused} refused`;
  run.tell('ended', `${outcome}: ${summary}`);
  await run.told();
  await condition(allHandlersFinished);
  const result: FleetResult = {
    outcome,
    update: run.settings.update,
    reason: ending?.reason ?? (complete ? null : summary),
    counts,
    hosts,
    refused,
    decisions: state.decisions,
    interventions: state.interventions,
    undelivered: state.undelivered,
    longestBlackoutMs,
  };
  showFleet(run.progress(), outcome);
  if (ending === null) {
    showEnd(outcome, null);
    return result;
  }
  if (ending.outcome === 'cancelled') throw cancelled(`${summary}; no more were started.`);
  throw failure(FAILURES_OF[ending.outcome], `${ending.reason}; ${summary}`, { details: result });
}
