import { CancellationScope } from '@temporalio/workflow';
import {
  FUNCTION_INPUTS,
  addressOf,
  commandFunctionInput,
  type CommandFunctionInput,
  type CommandFunctionResult,
  type FunctionAnswer,
  type FunctionCommandRequest,
  type RemoteAnswer,
} from '../contract/functions';
import { z } from '../contract/zod';
import { endsTyped } from './ends-typed';
import { failure, failureMessage } from './failures';
import { checkFaultsSupported, hostCalls, ping } from './host-steps';
import { thisRun } from './leases';
import { validated } from './validated';
import { showBeginning, showCommanded, showEnd } from './visibility';

const EXAMPLE =
  '{"functionId":"local:host-01/epf-vm-01","operation":"reallocateVirtualFunction","input":{"bandwidthGbps":7.5}}';

type Elsewhere = Extract<FunctionAnswer, { kind: 'elsewhere' }>;
type Performed = Extract<FunctionAnswer, { kind: 'performed' }>;

/**
 * Sends one command to one function of a host (US 2024/0256320). The intermediary of that host finds the function, asks the
 * policy, and forwards the command to its PF or VF. Where the device is at another host, the command goes to that one's
 * intermediary, which asks its own policy, and the answer comes back by way of the first.
 */
export const commandFunction = endsTyped(async function commandFunction(
  raw: CommandFunctionInput,
): Promise<CommandFunctionResult> {
  const { faults, vmId, ...command } = validated(commandFunctionInput, raw, EXAMPLE);
  const { functionId, operation } = command;
  if (command.inputLocation === undefined) {
    const input = FUNCTION_INPUTS[operation];
    validated(z.object({ input: z.prefault(input, {}) }), { input: command.input }, EXAMPLE);
  }
  const { hostId } = addressOf(functionId);
  showBeginning({ HostId: hostId, VmId: vmId ?? null, Phase: 'commanding' });
  checkFaultsSupported(await ping(hostId), faults);

  const request: FunctionCommandRequest = {
    hostId,
    command,
    sender: vmId === undefined ? { kind: 'operator' } : { kind: 'vm', vmId },
    run: thisRun(),
    faults,
  };
  const answer = await hostCalls(hostId).commandFunction(request);
  const { output, decisions } =
    answer.kind === 'performed' ? answer : await performedElsewhere(request, answer);

  const result: CommandFunctionResult = {
    functionId,
    operation,
    outcome: 'performed',
    performedAt: answer.kind === 'performed' ? hostId : answer.hostId,
    output,
    outputLocation: command.outputLocation ?? null,
    decisions,
  };
  showEnd('performed', null);
  showCommanded(result);
  return result;
});

/** The device's own host decides once more, and performs it; whatever comes of it is told to the first. */
async function performedElsewhere(
  request: FunctionCommandRequest,
  { hostId, command, sender, decisions }: Elsewhere,
): Promise<Performed> {
  const { faults: _, ...asked } = request;
  const tell = (outcome: RemoteAnswer['outcome']) =>
    CancellationScope.nonCancellable(() =>
      hostCalls(request.hostId).returnRemoteAnswer({ ...asked, deviceHostId: hostId, outcome }),
    );
  let there: Performed;
  try {
    await ping(hostId);
    there = performedThere(
      await hostCalls(hostId).commandFunction({ ...request, hostId, command, sender }),
      command.functionId,
    );
  } catch (error) {
    await tell({ failure: failureMessage(error) });
    throw error;
  }
  const returned = performedThere(await tell({ output: there.output ?? {} }), command.functionId);
  return { ...returned, decisions: [...decisions, ...there.decisions] };
}

/** A function that is remote at the other host too is not followed: its owner there would not be asked. */
function performedThere(answer: FunctionAnswer, functionId: string): Performed {
  if (answer.kind === 'performed') return answer;
  throw failure(
    'Refused',
    `The device of ${functionId} is not on its host but on ${answer.hostId}`,
  );
}
