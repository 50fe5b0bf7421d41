import { ApplicationFailure } from '@temporalio/common';
import { isFailureType } from '../../contract/failures';
import {
  HOST_STEP_NAMES,
  VM_STEP_NAMES,
  type HostStep,
  type StepOutcome,
  type VmStep,
} from '../../contract/steps';
import type { HostActivities, HostStepActivities, VmStepActivities } from '../host-activities';
import type { Instruments } from './instruments';
import type { KnownOperations } from './operations';

/**
 * The same activities, each step of them measured, and the leases noted on the way. Runs inside blackouts: two records
 * of some µs each for a step, and nothing that waits.
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
    resumeVm: async (call) => {
      const outcome = await activities.resumeVm(call);
      if (outcome.status !== 'notApplicable')
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

function measured<Call, Outcome extends Pick<StepOutcome, 'ms' | 'status'>>(
  step: string,
  perform: (call: Call) => Promise<Outcome>,
  { stepAttempts, stepDuration, stepFailures }: Instruments,
): (call: Call) => Promise<Outcome> {
  return async (call) => {
    // At its begin, so that an attempt that never ends is counted too.
    stepAttempts.add(1, { step });
    const from = performance.now();
    try {
      const outcome = await perform(call);
      stepDuration.record(outcome.ms / 1000, { step, status: outcome.status });
      return outcome;
    } catch (error) {
      stepDuration.record((performance.now() - from) / 1000, { step, status: 'failed' });
      stepFailures.add(1, { step, failure: typeOf(error) });
      throw error;
    }
  };
}

/** One of our failure types; anything else, such as a bug, is `other`, so that the label stays one of a known few. */
const typeOf = (error: unknown): string =>
  error instanceof ApplicationFailure && isFailureType(error.type) ? error.type : 'other';
