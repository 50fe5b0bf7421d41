import { ParentClosePolicy, startChild } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { WaveHost, WindowState } from '../../contract/fleet-plan';
import type { FleetHost, Waiting } from '../../contract/fleet-results';
import type { ServiceHostInput } from '../../contract/inputs';
import { HOLDFAST_QUEUE, serviceHostId } from '../../contract/queues';
import type { ServiceHostResult } from '../../contract/results';
import {
  budgetBreach,
  outcomeOf,
  servicedHost,
  unservicedHost,
} from '../../planning/fleet-outcomes';
import { startable } from '../../planning/fleet-pace';
import { failureFacts, failureMessage, failureType, isCancellation } from '../failures';
import type { serviceHost } from '../service-host';
import { fleet } from './calls';
import type { FleetRun } from './fleet-run';

/** How long a host that another run holds is left alone before it is asked again, ms. */
const BUSY_AGAIN_MS = 10_000;

/** Which hosts have their turn, and what is done with each. */
export interface Turn {
  readonly hosts: readonly WaveHost[];
  /** False: no more are started. */
  goesOn(): boolean;
  /** Whether maintenance windows, the ramp and retries apply; a roll-back does not wait. */
  readonly forward: boolean;
  perform(host: WaveHost): Promise<FleetHost>;
  settled(host: WaveHost, done: FleetHost): void;
}

/** What keeps hosts from being started, and when it is over if that is known, ms since 1970. */
interface Held {
  readonly waiting: Waiting | null;
  readonly untilMs?: number;
}

/** Starts one host after the other as fast as the strategy allows, until all are done or no more may start. */
export async function inTurn(run: FleetRun, turn: Turn): Promise<void> {
  const window = new Window(run);
  let waiting: WaveHost[] = [...turn.hosts];
  const settle = (host: WaveHost, done: FleetHost) => {
    run.inFlight.delete(host.hostId);
    if (done.outcome === 'busy' && run.settings.strategy.onBusy === 'wait') {
      waiting.push({ ...host, notBeforeMs: run.now + BUSY_AGAIN_MS });
      run.touch();
    } else turn.settled(host, done);
  };
  for (;;) {
    const seen = run.changes;
    if (turn.forward) {
      waiting.push(...run.state.retry.splice(0));
      waiting = leaveOutSkipped(run, turn, waiting);
    }
    const held = await whatHolds(run, turn, waiting, window);
    if (turn.goesOn() && held.waiting === null && !run.isLong && run.changes === seen) {
      for (const host of next(run, turn, waiting)) {
        waiting.splice(waiting.indexOf(host), 1);
        run.inFlight.set(host.hostId, host);
        void turn.perform(host).then((done) => {
          settle(host, done);
        });
      }
    }
    if (run.inFlight.size === 0) {
      const over =
        waiting.length === 0 && run.state.paused === null && run.state.retry.length === 0;
      if (over || !turn.goesOn()) break;
      if (run.isLong) await run.continueAsNew();
    }
    run.wait(held.waiting);
    await run.changed(seen, held.untilMs === undefined ? undefined : held.untilMs - run.now);
  }
  run.wait(null);
  await run.flush();
}

function next(run: FleetRun, turn: Turn, waiting: readonly WaveHost[]): WaveHost[] {
  const { ramp, perFaultDomain, perAvailabilityGroup } = run.settings.strategy;
  return startable(waiting, [...run.inFlight.values()], {
    concurrency: run.concurrency,
    ramp: ramp && turn.forward,
    succeeded: run.state.updatedInWave.length,
    perFaultDomain,
    perAvailabilityGroup,
    nowMs: run.now,
  });
}

function leaveOutSkipped(run: FleetRun, turn: Turn, waiting: readonly WaveHost[]): WaveHost[] {
  const { skips, wave } = run.state;
  return waiting.filter((host) => {
    if (!skips.includes(host.hostId)) return true;
    turn.settled(host, unservicedHost(host.hostId, wave, 'skipped', 'a person said so'));
    return false;
  });
}

async function whatHolds(
  run: FleetRun,
  turn: Turn,
  waiting: readonly WaveHost[],
  window: Window,
): Promise<Held> {
  const { paused } = run.state;
  if (!turn.goesOn()) return { waiting: null };
  if (paused !== null) {
    return { waiting: { for: 'operator', detail: `paused by ${paused.by}: ${paused.reason}` } };
  }
  if (waiting.length === 0) return { waiting: null };
  if (turn.forward) {
    const state = await window.now();
    if (state !== null && !state.open) {
      return { waiting: { for: 'window', detail: state.detail }, untilMs: state.untilMs };
    }
  }
  const soonestMs = Math.min(...waiting.map((host) => host.notBeforeMs ?? 0));
  if (soonestMs <= run.now) return { waiting: null };
  // Someone may still be in flight; what is left has to wait for its own moment.
  if (run.inFlight.size > 0) return { waiting: null, untilMs: soonestMs };
  const at = new Date(soonestMs).toISOString();
  return {
    waiting:
      run.settings.strategy.onBusy === 'wait' && soonestMs - run.now <= BUSY_AGAIN_MS
        ? { for: 'busyHost', detail: `other runs hold what is left; asked again at ${at}` }
        : {
            for: 'allowance',
            detail: `the blackout allowance of what is left is spent until ${at}`,
          },
    untilMs: soonestMs,
  };
}

/** The maintenance window, asked for again only when the last answer is no good any more. */
class Window {
  #state: WindowState | null = null;
  constructor(private readonly run: FleetRun) {}

  async now(): Promise<WindowState | null> {
    const { maintenanceWindow } = this.run.settings;
    if (maintenanceWindow === undefined) return null;
    if (this.#state === null || this.#state.untilMs <= this.run.now)
      this.#state = await fleet.checkWindow(maintenanceWindow);
    return this.#state;
  }
}

/** Services one host; every end of its run is an answer. A host run outlives a fleet run that is terminated. */
export async function serviceOne(
  run: FleetRun,
  { hostId }: WaveHost,
  input: ServiceHostInput,
): Promise<FleetHost> {
  const { wave } = run.state;
  try {
    const child = await startChild<typeof serviceHost>('serviceHost', {
      workflowId: serviceHostId(hostId),
      taskQueue: HOLDFAST_QUEUE,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      args: [input],
      staticSummary: `update ${input.update.component ?? 'vmWorkerProcess'} of ${hostId} to ${input.update.version}`,
    });
    const result = await child.result();
    const breach = budgetBreach(result);
    if (breach !== null) run.stop(breach);
    return servicedHost(wave, result, result.reason);
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      const reason = `another run services it: ${serviceHostId(hostId)}`;
      return unservicedHost(hostId, wave, 'busy', reason);
    }
    const reason = failureMessage(error);
    const facts: Partial<ServiceHostResult> = failureFacts(error);
    if (isServiced(facts)) {
      const breach = budgetBreach(facts);
      if (breach !== null) run.stop(breach);
      return servicedHost(wave, facts, reason);
    }
    const outcome = isCancellation(error) ? 'notUpdated' : outcomeOf(failureType(error));
    return unservicedHost(hostId, wave, outcome, reason);
  }
}

const isServiced = (facts: Partial<ServiceHostResult>): facts is ServiceHostResult =>
  facts.vms !== undefined && facts.outcome !== undefined;
