import { InvalidArgumentError, Option } from 'commander';
import { parseFault, type FaultInput } from '../contract/faults';
import { fastSaveInput } from '../contract/inputs';
import { z } from '../contract/zod';
import { ADAPTER_MIXES, type FleetShape } from '../hosts/open-hosts';

export type AdapterMix = NonNullable<FleetShape['adapters']>;

/** A whole number within bounds, or a message that names them. */
export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(
        `must be a whole number from ${String(min)} to ${String(max)}`,
      );
    }
    return value;
  };

export const positiveNumber = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('must be a number above 0');
  return value;
};

/** A blackout budget as the workflows take it, or a message that says what they take. */
export function blackoutBudget(text: string): string {
  const { error } = z.safeParse(fastSaveInput.shape.blackoutBudget, text);
  if (error !== undefined)
    throw new InvalidArgumentError(error.issues[0]?.message ?? error.message);
  return text;
}

/** `--adapters one|mixed`: what the VMs of a simulated fleet have. */
export const adaptersOption = (): Option =>
  new Option('--adapters <which>', 'what the VMs have: one NIC with a VF, or a mix of all kinds')
    .choices(ADAPTER_MIXES)
    .default('one');

/** Collects `--fault <vmId>:<step>:<kind>[:<times>]`, which may be given more than once. */
export function faultOption(text: string, earlier: FaultInput[] = []): FaultInput[] {
  try {
    return [...earlier, parseFault(text)];
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
