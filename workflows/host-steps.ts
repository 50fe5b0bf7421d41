import { ActivityCancellationType } from '@temporalio/workflow';
import type { HostActivities, StepActivity } from '../activities/host-activities';
import type { OrchestratorActivities } from '../activities/orchestrator-activities';
import type { HostRegistration } from '../contract/host';
import type { Mode } from '../contract/inputs';
import { HOLDFAST_QUEUE, hostControlQueue, hostQueue } from '../contract/queues';
import type { StepCall, StepLimits, VmStep } from '../contract/steps';
import { unsupportedSteps } from '../planning/preflight';
import { failure, failureType } from './failures';
import { labelledActivities } from './labelled-activities';

/** What the host answers, it answers for good: only answers that were lost on their way are asked for again. */
const ISSUED_RETRY = { initialInterval: 50, backoffCoefficient: 1.5, maximumInterval: 500 };
const LIGHT_RETRY = {
  initialInterval: 100,
  backoffCoefficient: 2,
  maximumInterval: 2_000,
  maximumAttempts: 8,
};

/** A worker that stops answering is noticed after this time, so that another attempt can begin, ms. */
const HEARTBEAT_TIMEOUT_MS = 1_000;
/** The host goes on with what was issued, whoever waits for it: there it need not be noticed so soon, ms. */
const ISSUED_HEARTBEAT_TIMEOUT_MS = 10_000;
/** The notice may wait for a day, with no VM in the dark: there it need not be noticed so soon, ms. */
const NOTICE_HEARTBEAT_TIMEOUT_MS = 5_000;
/** For the host to begin and end the wait, ms. */
const NOTICE_MARGIN_MS = 60_000;
/** A worker that was killed is back within a few seconds; a queue that nobody polls this long has no worker, ms. */
const SCHEDULE_TO_START_MS = 20_000;
/** In all, for a light step: an eject alone may take its 60 s of grace, an offer as long again, ms. */
const LIGHT_MS = 600_000;

/** All steps, with the answer of the one that is called. */
type Answering<Step extends VmStep> = Record<VmStep, StepActivity<Step>>;
type Whose = Pick<StepCall, 'hostId' | 'vmId' | 'direction'>;

/** A step that is issued by itself, with its VM running; the server tries it again. */
export function lightStep<Step extends VmStep>(
  of: Whose,
  step: Step,
  { attemptMs = LIGHT_MS }: StepLimits,
): StepActivity<Step> {
  const name: VmStep = step;
  return labelledActivities<Answering<Step>>(
    {
      taskQueue: hostQueue(of.hostId),
      startToCloseTimeout: Math.min(attemptMs, LIGHT_MS),
      scheduleToCloseTimeout: LIGHT_MS,
      scheduleToStartTimeout: SCHEDULE_TO_START_MS,
      heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
      retry: LIGHT_RETRY,
    },
    of,
  )[name];
}

/** A step of a list: the host performs it in its turn, tries it again, and answers what it came to within this time. */
export function issuedStep<Step extends VmStep>(
  of: Whose,
  step: Step,
  { withinMs, isAlone }: { readonly withinMs: number; readonly isAlone: boolean },
): StepActivity<Step> {
  const name: VmStep = step;
  return labelledActivities<Answering<Step>>(
    {
      taskQueue: hostQueue(of.hostId),
      scheduleToCloseTimeout: withinMs,
      // Nobody goes on for the run of a step alone: that its worker is gone is to be noticed soon.
      heartbeatTimeout: isAlone ? HEARTBEAT_TIMEOUT_MS : ISSUED_HEARTBEAT_TIMEOUT_MS,
      retry: ISSUED_RETRY,
    },
    of,
  )[name];
}

/** The calls around the steps: leases, descriptions, the servicing run. */
export function hostCalls(hostId: string, vmId?: string) {
  return labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: '10s',
      scheduleToStartTimeout: SCHEDULE_TO_START_MS,
      scheduleToCloseTimeout: '60s',
      retry: LIGHT_RETRY,
    },
    vmId === undefined ? { hostId } : { hostId, vmId },
  );
}

/** Steps of a whole host that take as long as its VMs and the update do. */
export function hostStepCalls(hostId: string) {
  return labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: '15m',
      scheduleToCloseTimeout: '30m',
      heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
      scheduleToStartTimeout: SCHEDULE_TO_START_MS,
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      retry: { ...ISSUED_RETRY, maximumAttempts: 8 },
    },
    { hostId },
  );
}

/**
 * The notice waits for people, for as long as they were promised: neither the number of restarts of the host's worker
 * nor the length of one cuts that short.
 */
export function noticeCalls(hostId: string, waitUpToMs: number) {
  const { initialInterval, backoffCoefficient, maximumInterval } = LIGHT_RETRY;
  return labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: waitUpToMs + NOTICE_MARGIN_MS,
      scheduleToCloseTimeout: waitUpToMs + NOTICE_MARGIN_MS,
      heartbeatTimeout: NOTICE_HEARTBEAT_TIMEOUT_MS,
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      retry: { initialInterval, backoffCoefficient, maximumInterval },
    },
    { hostId },
  );
}

/** The first call of a run: a host that nobody serves is found out soon, before anything is touched. */
export async function ping(hostId: string): Promise<HostRegistration> {
  const { pingHost } = labelledActivities<HostActivities>(
    {
      taskQueue: hostControlQueue(hostId),
      startToCloseTimeout: '10s',
      scheduleToStartTimeout: '10s',
      retry: LIGHT_RETRY,
    },
    { hostId },
  );
  try {
    return await pingHost(hostId);
  } catch (cause) {
    if (failureType(cause) !== 'HostUnreachable') throw cause;
    throw failure(
      'HostUnreachable',
      `No worker answered for host ${hostId} within 10 s (task queue ${hostQueue(hostId)})`,
      {
        cause,
      },
    );
  }
}

/** Faults are for simulated hosts: any other driver refuses a run that names some. */
export function checkFaultsSupported(host: HostRegistration, faults: readonly unknown[]): void {
  if (faults.length > 0 && !host.faults) {
    throw failure('FaultsNotSupported', `Host ${host.hostId} is driven by ${host.driver}.`);
  }
}

/** A host whose driver lacks a step of the save or of its restore is refused before anything is touched. */
export function checkStepsSupported(host: HostRegistration, mode: Mode): void {
  const missing = unsupportedSteps(host, mode);
  if (missing.length === 0) return;
  throw failure(
    'NotSupportedByDriver',
    `Host ${host.hostId} is driven by ${host.driver}, which cannot do ${missing.join(', ')}`,
  );
}

export const orchestrator = labelledActivities<OrchestratorActivities>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '10s',
  scheduleToCloseTimeout: '60s',
});
