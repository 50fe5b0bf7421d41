import { HoldfastError } from '../../../contract/failures';
import {
  FUNCTION_INPUTS,
  type FunctionCommandRequest,
  type FunctionInput,
  type FunctionOperation,
  type FunctionSender,
} from '../../../contract/functions';
import { z } from '../../../contract/zod';
import type { SimulatorStore } from '../store';

/** Any operation's input. */
export type CommandInput = Readonly<Record<string, unknown>> & {
  readonly part?: string | undefined;
  readonly vfId?: number | undefined;
};
/** What an operation answers. */
export type Output = Readonly<Record<string, unknown>>;

type Schemas = {
  readonly [Operation in FunctionOperation]: z.ZodMiniType<FunctionInput<Operation>>;
};
const SCHEMAS: Schemas = FUNCTION_INPUTS;

/** A command's input, by value or out of a buffer of its caller, validated for the operation. */
export function readInput(
  store: SimulatorStore,
  { hostId, command, sender }: FunctionCommandRequest,
): CommandInput {
  const { inputLocation, operation } = command;
  const value =
    inputLocation === undefined
      ? (command.input ?? {})
      : store.functions.buffer(hostId, bufferOwner(sender), inputLocation);
  if (value === undefined)
    throw invalid([
      `inputLocation: the caller has no buffer "${String(inputLocation)}" on ${hostId}`,
    ]);
  const parsed = z.safeParse(SCHEMAS[operation], value);
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues.map((i) => `${['input', ...i.path].join('.')}: ${i.message}`));
}

const invalid = (problems: readonly string[]) =>
  new HoldfastError('InvalidInput', `${problems.join('; ')}.`, { problems });

/** The same input once more, with its type. */
export const inputOf = <Operation extends FunctionOperation>(
  operation: Operation,
  input: CommandInput,
): FunctionInput<Operation> => z.parse(SCHEMAS[operation], input);

/** An output by value is the answer; by location it goes there, and the answer is null. */
export function deliver(
  store: SimulatorStore,
  { hostId, command, sender }: Pick<FunctionCommandRequest, 'hostId' | 'command' | 'sender'>,
  output: Output,
): Output | null {
  if (command.outputLocation === undefined) return output;
  store.functions.putBuffer(hostId, bufferOwner(sender), command.outputLocation, output);
  return null;
}

/** Whose buffers a command names: memory of a VM is reached through its own channel only. */
export const bufferOwner = (sender: FunctionSender): string =>
  sender.kind === 'vm' ? `vm/${sender.vmId}` : sender.kind;
