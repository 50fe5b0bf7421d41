import {
  allHandlersFinished,
  condition,
  makeContinueAsNewFunc,
  workflowInfo,
} from '@temporalio/workflow';
import { concurrentHosts, toleratedHosts } from '../../contract/amounts';
import type { UpdateFleetInput, UpdateFleetSettings } from '../../contract/fleet-input';
import type { FleetEvent, KeptHost, PlanSummary, WaveHost } from '../../contract/fleet-plan';
import type {
  FleetHost,
  FleetProgress,
  GateDecision,
  Intervention,
  Waiting,
} from '../../contract/fleet-results';
import { isFailed, shortReason } from '../../planning/fleet-outcomes';
import { stopsRun } from '../../planning/fleet-pace';
import { nowIso, nowMs } from '../clock';
import { failureMessage } from '../failures';
import type { updateFleet } from '../update-fleet';
import { fleet, notify } from './calls';
import { NO_BAKE, firstState, type Ending, type FleetState, type Part } from './fleet-state';
import { showFleet, showWaiting } from './visibility';

/** The run itself, where it pauses or stops of its own accord. */
const ITSELF = 'holdfast';
/** Well before the server suggests it (4,096 events) and warns (10,240 events, 10 MB, 2,000 updates). */
const LONG = { events: 1_000, bytes: 2 * 1024 * 1024, updates: 200 };
/** Decisions, interventions and undelivered messages that are carried along; the histories have them all. */
const REMEMBERED = 400;

/** One fleet update: where it stands, what people asked of it, and when it has to continue as new. */
export class FleetRun {
  readonly inFlight = new Map<string, WaveHost>();
  /** Grows with everything that may let the run go on. */
  changes = 0;
  updates = 0;
  waiting: Waiting | null = null;
  readonly #unkept: KeptHost[] = [];
  readonly #telling = new Set<Promise<void>>();

  constructor(
    private readonly raw: UpdateFleetInput,
    readonly settings: UpdateFleetSettings,
    readonly state: FleetState,
  ) {}

  static begin(
    raw: UpdateFleetInput,
    settings: UpdateFleetSettings,
    planId: string,
    plan: PlanSummary,
  ): FleetRun {
    return new FleetRun(raw, settings, firstState(planId, plan));
  }

  /** As the person wrote it, without the defaults: what each host's run is given. */
  get servicing(): NonNullable<UpdateFleetInput['servicing']> {
    return this.raw.servicing ?? {};
  }
  /** Whether the update goes on: false once it was aborted, or has stopped itself for good. */
  goesOn(): boolean {
    return this.state.ending === null;
  }
  get concurrency(): number {
    const { maxConcurrentHosts } = this.settings.strategy;
    return this.state.concurrency ?? concurrentHosts(maxConcurrentHosts, this.state.plan.planned);
  }
  get failureLimit(): number {
    return toleratedHosts(this.settings.strategy.failureLimit, this.state.plan.planned);
  }
  get isLong(): boolean {
    const { continueAsNewSuggested, historyLength, historySize } = workflowInfo();
    return (
      continueAsNewSuggested ||
      historyLength > LONG.events ||
      historySize > LONG.bytes ||
      this.updates > LONG.updates
    );
  }

  enterWave(wave: number): void {
    if (this.state.wave === wave) return;
    Object.assign(this.state, { wave, passed: [], updatedInWave: [], bake: NO_BAKE });
  }

  /** Does a part of the wave unless it is over, then waits while the run is paused. */
  async part(name: Part, perform: () => Promise<void>): Promise<void> {
    if (this.state.passed.includes(name)) return;
    await this.whilePaused();
    if (!this.goesOn()) return;
    await perform();
    await this.whilePaused();
    // What is to be tried again has not passed.
    if (this.goesOn() && this.state.retry.length === 0) this.state.passed.push(name);
  }

  async whilePaused(): Promise<void> {
    while (this.state.paused !== null && this.goesOn()) {
      const seen = this.changes;
      this.wait({
        for: 'operator',
        detail: `paused by ${this.state.paused.by}: ${this.state.paused.reason}`,
      });
      await this.changed(seen);
    }
    this.wait(null);
  }

  /** Something happened that may let the run go on. */
  touch(): void {
    this.changes += 1;
    showFleet(this.progress());
  }

  /** Waits until something has changed since `seen`, at most `ms`. */
  async changed(seen: number, ms?: number): Promise<void> {
    if (ms === undefined) await condition(() => this.changes !== seen);
    else {
      const upTo = Math.max(1, Math.min(ms, LONGEST_TIMER_MS));
      await condition(() => this.changes !== seen, upTo, { summary: this.#waitingLabel() });
    }
  }

  /** For the timer in the UI's timeline; a server takes 400 bytes. */
  #waitingLabel(): string {
    const { waiting } = this;
    if (waiting === null) return 'waits for hosts in flight';
    return `waits for ${waiting.for}: ${waiting.detail}`.slice(0, 100);
  }

  /** Shows what is waited for; told to webhooks only where it is a gate. */
  wait(waiting: Waiting | null): void {
    if (waiting?.for === this.waiting?.for && waiting?.detail === this.waiting?.detail) return;
    const before = this.waiting?.for;
    this.waiting = waiting;
    if (waiting?.for !== before) showWaiting(waiting?.for ?? null);
    if (waiting !== null && waiting.for !== before && waiting.for !== 'operator')
      this.tell('waiting', `waits for ${waiting.for}: ${waiting.detail}`);
    showFleet(this.progress());
  }

  /** A host of the wave is done, one way or another. */
  settled(host: WaveHost, done: FleetHost): void {
    const { state } = this;
    const tally = state.tally[state.wave - 1];
    this.keep(done);
    if (isFailed(done.outcome, this.settings.strategy.onBusy)) {
      if (tally !== undefined) tally.failed += 1;
      this.failed(host, `${done.outcome}: ${done.reason ?? ''}`);
    } else if (done.outcome === 'updated') {
      if (tally !== undefined) tally.updated += 1;
      if (!state.updatedInWave.includes(host.hostId)) state.updatedInWave.push(host.hostId);
    } else if (tally !== undefined) tally.leftOut += 1;
    this.touch();
  }

  /** An updated host that a health gate found unhealthy. */
  unhealthy(host: WaveHost, reason: string): void {
    const { state } = this;
    const tally = state.tally[state.wave - 1];
    if (tally !== undefined && state.updatedInWave.includes(host.hostId)) {
      tally.updated -= 1;
      tally.failed += 1;
    }
    this.failed(host, `unhealthy: ${reason}`);
    this.touch();
  }

  keep(done: FleetHost): void {
    const { state } = this;
    state.finished += 1;
    this.#unkept.push({ ...done, order: state.finished });
    const { longestBlackoutMs } = done;
    if (longestBlackoutMs !== null && longestBlackoutMs > (state.longestBlackoutMs ?? 0))
      state.longestBlackoutMs = longestBlackoutMs;
  }

  /** Puts what became of hosts where it outlives this run's history. */
  async flush(): Promise<void> {
    const hosts = this.#unkept.splice(0);
    if (hosts.length > 0) await fleet.keepHosts(this.state.planId, hosts);
  }

  /** Counts a failure; more of them than allowed stop the run. */
  failed(host: WaveHost, reason: string): void {
    const { state } = this;
    state.failed.push({ ...host, wave: state.wave, reason: shortReason(reason) });
    const counted = state.failed.length - state.accepted;
    const canary = state.plan.waves[state.wave - 1]?.canary === true;
    if (!stopsRun(counted, this.failureLimit, canary)) return;
    const limit = canary ? 'none is allowed in a canary wave' : `the limit is ${this.failureLimit}`;
    this.stop(`${counted} failed (${limit}), at last ${host.hostId}: ${reason}`);
  }

  /** Stops of its own accord, as `onFailure` says; hosts in flight are let finish. */
  stop(reason: string): void {
    const { state, settings } = this;
    if (!this.goesOn() || state.paused?.by === ITSELF) return;
    const { onFailure } = settings.strategy;
    const short = shortReason(reason);
    if (onFailure === 'pause') this.pause(ITSELF, short);
    else state.ending = { outcome: onFailure === 'abort' ? 'failed' : 'rolledBack', reason: short };
    const answer = { pause: 'paused', abort: 'no host starts any more', rollBack: 'rolls back' };
    this.record({ action: 'stop', by: ITSELF, reason: short, answer: answer[onFailure] });
    this.tell('failure', `${short}; ${answer[onFailure]}`);
    this.touch();
  }

  pause(by: string, reason: string): void {
    this.state.paused = { by, reason };
    this.tell('paused', `paused by ${by}: ${reason}`);
    this.touch();
  }

  /** A person goes on after a pause: what failed so far is accepted, and counts no more. */
  resume(): void {
    this.state.paused = null;
    this.state.accepted = this.state.failed.length;
    this.touch();
  }

  /** Failed hosts go back to the queue and count no more; a pause of the run's own ends with that. */
  retryFailed(): readonly string[] {
    const { state } = this;
    const again = state.failed.splice(0);
    state.accepted = 0;
    for (const { wave, reason, ...host } of again) {
      const tally = state.tally[wave - 1];
      if (tally !== undefined) tally.failed -= 1;
      state.retry.push(host);
    }
    state.retried.push(...again.map((host) => host.hostId));
    // They are looked at once more when they are through.
    state.bake = NO_BAKE;
    state.passed = state.passed.filter((part) => part === 'approval' || part === 'before');
    if (state.paused?.by === ITSELF) state.paused = null;
    this.touch();
    return again.map((host) => host.hostId);
  }

  end(outcome: Ending, reason: string): void {
    this.state.ending = { outcome, reason };
    this.state.paused = null;
    this.touch();
  }

  decided(decision: Omit<GateDecision, 'at' | 'wave'>): void {
    const all = [...this.state.decisions, { ...decision, wave: this.state.wave, at: nowIso() }];
    this.state.decisions = all.slice(-REMEMBERED);
  }

  record(intervention: Omit<Intervention, 'at'>): void {
    const all = [...this.state.interventions, { ...intervention, at: nowIso() }];
    this.state.interventions = all.slice(-REMEMBERED);
  }

  /** Tells every webhook; the run does not wait for them, and what cannot be delivered stands in the result. */
  tell(event: FleetEvent['event'], message: string): void {
    const { workflowId, runId } = workflowInfo();
    this.state.told += 1;
    const id = `${workflowInfo().firstExecutionRunId}/${this.state.told}`;
    for (const url of this.settings.notify) {
      const told = notify(url, id, { event, workflowId, runId, message })
        .catch((error: unknown) => {
          const all = [...this.state.undelivered, `${event} to ${url}: ${failureMessage(error)}`];
          this.state.undelivered = all.slice(-REMEMBERED);
        })
        .finally(() => this.#telling.delete(told));
      this.#telling.add(told);
    }
  }

  async told(): Promise<void> {
    await Promise.all(this.#telling);
  }

  /**
   * A new history, when no host is in flight. What a person wrote stays the first argument, the only one that the UI
   * puts into its form; the inventory is in the fleet store by now.
   */
  async continueAsNew(): Promise<never> {
    await this.flush();
    await this.told();
    await condition(allHandlersFinished);
    const { inventory, ...raw } = this.raw;
    return makeContinueAsNewFunc<typeof updateFleet>()(raw, this.state);
  }

  progress(): FleetProgress {
    const { state } = this;
    const ended = state.ending?.outcome;
    return {
      phase: ended === 'rolledBack' ? 'rollingBack' : 'updating',
      waiting: this.waiting,
      paused: state.paused,
      wave: state.wave,
      waves: state.plan.waves.map(({ number, hosts }, index) => ({
        number,
        hosts,
        ...(state.tally[index] ?? { updated: 0, failed: 0, leftOut: 0 }),
      })),
      inFlight: [...this.inFlight.keys()],
      concurrency: this.concurrency,
      failures: state.failed.map(({ hostId, reason }) => ({ hostId, reason })),
      failureLimit: this.failureLimit,
      refused: state.plan.refused,
      longestBlackoutMs: state.longestBlackoutMs,
    };
  }

  get now(): number {
    return nowMs();
  }
}

/** A longer wait is looked at once a day. */
const LONGEST_TIMER_MS = 86_400_000;
