import { ApplicationFailure } from '@temporalio/common';
import { isFailureType } from '../../contract/failures';
import { HOST_STEPS, VM_STEP_NAMES, type StepOutcome } from '../../contract/steps';
import type { HostActivities } from '../host-activities';
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
      const ms = outcome.evidence['blackoutMs'];
      if (outcome.status !== 'notApplicable')
        operations.resumed(call.hostId, call.vmId, typeof ms === 'number' ? ms : null);
      return outcome;
    },
  };
  for (const step of VM_STEP_NAMES) noted[step] = measured(step, noted[step], instruments);
  for (const step of HOST_STEPS) noted[step] = measured(step, noted[step], instruments);
  return noted;
}

function measured<Call>(
  step: string,
  perform: (call: Call) => Promise<StepOutcome>,
  { stepAttempts, stepDuration, stepFailures }: Instruments,
): (call: Call) => Promise<StepOutcome> {
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
