import { setTimeout as delay } from 'node:timers/promises';
import { toMs } from '../../../contract/durations';
import { HoldfastError } from '../../../contract/failures';
import type { FunctionCommandRequest } from '../../../contract/functions';
import type { SimulatorStore } from '../store';
import { keyOf } from './command-function';

/** Lets an attempt meet the faults of its command; the answer loses the reply where that is one of them. */
export async function meetFaults(
  store: SimulatorStore,
  request: FunctionCommandRequest,
): Promise<() => void> {
  const { hostId, command, faults } = request;
  if (faults.length === 0) return () => undefined;
  const attempt = store.functions.nextAttempt(hostId, keyOf(request));
  const met = faults.filter(({ times }) => attempt <= times);
  for (const { kind, delay: time } of met) if (kind === 'slow') await delay(toMs(time));
  const failed = (when: string) =>
    new HoldfastError('HostStepFailed', `${command.operation} of ${command.functionId} ${when}.`);
  if (met.some(({ kind }) => kind === 'fail-before')) throw failed('failed before its effect');
  return () => {
    if (met.some(({ kind }) => kind === 'fail-after')) throw failed('was done, its reply is lost');
  };
}
