import { ApplicationFailure } from '@temporalio/common';
import { isFailureType } from '../../contract/failures';
import {
  HOST_STEP_NAMES,
  VM_STEPS,
  VM_STEP_NAMES,
  type AnyStep,
  type HostStep,
  type HostStepCall,
  type StepCall,
  type StepOutcome,
  type VmStep,
} from '../../contract/steps';
import type { HostActivities, HostStepActivities, VmStepActivities } from '../host-activities';
import type { Instruments } from './instruments';
import type { KnownOperations } from './operations';

/**
 * The same activities, each step of them measured, and the leases noted on the way: records of some µs each, and nothing
 * that waits.
 */
export function measuredActivities(
  activities: HostActivities,
  instruments: Instruments,
  operations: KnownOperations,
): HostActivities {
  const noted: HostActivities = {
    ...activities,
    beginSave: async (request) => {
      const operation = await activities.beginSave(request);
      operations.begun(request.hostId, request.vmId, 'save', operation);
      return operation;
    },
    beginRestore: async (request) => {
      const operation = await activities.beginRestore(request);
      operations.begun(request.hostId, request.vmId, 'restore', operation);
      return operation;
    },
    fenceOperation: async (hostId, vmId, holder) => {
      const operation = await activities.fenceOperation(hostId, vmId, holder);
      operations.fenced(hostId, vmId, operation);
      return operation;
    },
    withdrawUnlessCrossed: async (hostId, vmId, holder) => {
      const operation = await activities.withdrawUnlessCrossed(hostId, vmId, holder);
      operations.fenced(hostId, vmId, operation);
      return operation;
    },
    resumeVm: async (call) => {
      const outcome = await activities.resumeVm(call);
      if (outcome.status === 'done' || outcome.status === 'alreadyDone')
        operations.resumed(call.hostId, call.vmId, outcome.evidence.blackoutMs ?? null);
      return outcome;
    },
  };
  const [ofVms, ofHosts]: [VmStepActivities, HostStepActivities] = [noted, noted];
  const measureVm = <Step extends VmStep>(step: Step) =>
    (ofVms[step] = measured(step, ofVms[step], instruments));
  const measureHost = <Step extends HostStep>(step: Step) =>
    (ofHosts[step] = measured(step, ofHosts[step], instruments));
  VM_STEP_NAMES.forEach(measureVm);
  HOST_STEP_NAMES.forEach(measureHost);
  return noted;
}

type Call = StepCall | HostStepCall;

function measured<C extends Call, Outcome extends StepOutcome>(
  step: AnyStep,
  perform: (call: C) => Promise<Outcome>,
  instruments: Instruments,
): (call: C) => Promise<Outcome> {
  const alone = measuredAlone(step, perform, instruments);
  const inList = measuredInList(step, perform, instruments);
  return (call) => ('list' in call ? inList(call) : alone(call));
}

/** Each call is one attempt; the server makes the next one. */
function measuredAlone<C extends Call, Outcome extends StepOutcome>(
  step: AnyStep,
  perform: (call: C) => Promise<Outcome>,
  { stepAttempts, stepDuration, stepFailures }: Instruments,
): (call: C) => Promise<Outcome> {
  const kind = kindOf(step);
  return async (call) => {
    // At its begin, so that an attempt that never ends is counted too.
    stepAttempts.add(1, { step });
    const from = performance.now();
    try {
      const outcome = await perform(call);
      stepDuration.record(outcome.ms / 1000, { step, kind, status: outcome.status });
      return outcome;
    } catch (error) {
      stepDuration.record((performance.now() - from) / 1000, { step, kind, status: 'failed' });
      stepFailures.add(1, { step, failure: typeOf(error) });
      throw error;
    }
  };
}

/**
 * The host makes the attempts, and the call, which waits for its turn and for the answer, is none: what the host says at
 * the end is counted. Of a step that failed it does not say how long it took.
 */
function measuredInList<C extends Call, Outcome extends StepOutcome>(
  step: AnyStep,
  perform: (call: C) => Promise<Outcome>,
  { stepAttempts, stepDuration, stepFailures }: Instruments,
): (call: C) => Promise<Outcome> {
  const kind = kindOf(step);
  return async (call) => {
    try {
      const outcome = await perform(call);
      const { status, attempts, ms } = outcome;
      if (status === 'notReached') return outcome;
      stepAttempts.add(attempts, { step });
      if (attempts > 1) stepFailures.add(attempts - 1, { step, failure: 'retried' });
      stepDuration.record(ms / 1000, { step, kind, status });
      return outcome;
    } catch (error) {
      const attempts = attemptsForGood(error);
      if (attempts !== null) {
        stepAttempts.add(attempts, { step });
        stepFailures.add(attempts, { step, failure: typeOf(error) });
      }
      throw error;
    }
  };
}

const kindOf = (step: AnyStep): string =>
  step in VM_STEPS ? VM_STEPS[step as VmStep].kind : 'host';

/** How often the host tried a step that it has given up; null: the call ended without an answer, and is asked again. */
function attemptsForGood(error: unknown): number | null {
  if (!(error instanceof ApplicationFailure) || error.nonRetryable !== true) return null;
  const facts: unknown = error.details?.[0];
  const isThere = typeof facts === 'object' && facts !== null && 'attempt' in facts;
  return isThere && typeof facts.attempt === 'number' ? facts.attempt : 1;
}

/** One of our failure types; anything else, such as a bug, is `other`, so that the label stays one of a known few. */
const typeOf = (error: unknown): string =>
  error instanceof ApplicationFailure && isFailureType(error.type) ? error.type : 'other';
