import type { Answered } from '../../../contract/steps';
import type { Operation } from '../../engine/operation';
import { refused } from '../../engine/refused';
import type { AdapterObjects, Objects } from '../state';
import type { AdapterCommandRunner, CommandRunner } from './operation';

/** How a step is performed on one adapter of the VM. */
export interface AdapterOperation<Evidence = object> {
  /** Why there is nothing to do for this adapter, if so. */
  notApplicable?(o: AdapterObjects, generation: number): string | undefined;
  inPlace(o: AdapterObjects, generation: number): boolean;
  observed?(o: AdapterObjects): Evidence;
  effect(c: AdapterCommandRunner): Evidence | Promise<Evidence>;
}

export function objectsOf(o: Objects, adapterId: string): AdapterObjects {
  const adapter = o.vm.adapters.find((a) => a.adapterId === adapterId);
  const pf = o.pfs.find(({ pfId }) => pfId === adapter?.pfId);
  if (adapter === undefined || pf === undefined)
    throw refused(`${o.vm.vmId} has no adapter ${adapterId}, or the host no PF for it.`);
  return { ...o, adapter, pf };
}

export const eachAdapter = (o: Objects): AdapterObjects[] =>
  o.vm.adapters.map(({ adapterId }) => objectsOf(o, adapterId));

/** What is still to be done: the step does apply to the adapter, and is not in place there. */
const isDue = (operation: AdapterOperation, o: AdapterObjects, generation: number): boolean =>
  operation.notApplicable?.(o, generation) === undefined && !operation.inPlace(o, generation);

/**
 * One step for all adapters of a VM, one after the other: a VM with two NICs needs no more hops than one with one. An
 * attempt that died half-way goes on with the adapters that are left.
 */
export function ofEachAdapter<Evidence extends object>(operation: AdapterOperation<Evidence>) {
  return {
    notApplicable: (o, generation) => {
      const why = eachAdapter(o).map((a) => operation.notApplicable?.(a, generation));
      if (why.length === 0) return 'the VM has no adapter';
      return why.includes(undefined) ? undefined : why[0];
    },
    inPlace: (o, generation) => !eachAdapter(o).some((a) => isDue(operation, a, generation)),
    observed: (o) => evidenceOf(eachAdapter(o).map((a) => [a, operation.observed?.(a) ?? {}])),
    effect: async (c) => {
      const seen: [AdapterObjects, Partial<Evidence>][] = [];
      for (const { adapter } of c.look(eachAdapter)) {
        const of = c.ofAdapter(adapter);
        const o = of.look((now) => now);
        if (operation.notApplicable?.(o, c.generation) !== undefined) continue;
        const isThere = operation.inPlace(o, c.generation);
        seen.push([o, isThere ? (operation.observed?.(o) ?? {}) : await operation.effect(of)]);
      }
      return evidenceOf(seen);
    },
  } as const satisfies Operation<Objects, Answered<Evidence>, CommandRunner>;
}

/** Of the only adapter as it is; of several by adapter, with what the first has to say of each at the top. */
function evidenceOf<Evidence>(
  seen: readonly (readonly [AdapterObjects, Partial<Evidence>])[],
): Answered<Evidence> {
  const [first] = seen;
  if (first === undefined) return {};
  if (seen.length === 1 && first[0].vm.adapters.length === 1) return first[1];
  const said: Partial<Evidence> = {};
  for (const [, evidence] of seen) for (const name in evidence) said[name] ??= evidence[name];
  return {
    ...said,
    adapters: Object.fromEntries(seen.map(([o, evidence]) => [o.adapter.adapterId, evidence])),
  };
}

/** The same command on each adapter, whatever its state. */
export function runOnEach(
  c: CommandRunner,
  command: string,
  apply: (o: AdapterObjects) => void,
): void {
  for (const adapter of c.look(({ vm }) => vm.adapters)) c.ofAdapter(adapter).run(command, apply);
}
