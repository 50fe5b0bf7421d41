import type { VmStep } from '../../contract/steps';
import { isThisProcess } from './process-identity';
import type { IssuedList, IssuedStep } from './state';
import type { ListId } from './store';

/** The steps that were issued together with this one, in their order, as far as they have arrived. */
export function chainOf(calls: readonly IssuedStep[], step: VmStep): readonly VmStep[] {
  const before = new Map(calls.map(({ step: each, call }) => [each, call.list?.after ?? null]));
  const after = new Map([...before].map(([each, previous]) => [previous, each]));
  const chain = [step];
  for (let at = before.get(step); at != null && before.has(at); at = before.get(at))
    chain.unshift(at);
  for (let at = after.get(step); at !== undefined; at = after.get(at)) chain.push(at);
  return chain;
}

export const keyOf = (
  { vmId, generation, direction }: Omit<ListId, 'hostId'>,
  step: VmStep,
): string => `${vmId}/${generation}/${direction}/${step}`;

export const nameOf = ({ hostId, vmId, generation, direction }: ListId): string =>
  `${hostId}/${vmId}/${generation}/${direction}`;

export const isPerformedHere = ({ performer }: IssuedList) =>
  performer !== null && isThisProcess(performer);
