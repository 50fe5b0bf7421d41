import type { FunctionKind, Manifest, NeededFunction } from './migration';

/** What of a host counts when a VM is to come to it. */
export interface DestinationFacts {
  readonly hostId: string;
  readonly stackVersion: string;
  readonly vmIds: readonly string[];
  readonly physicalFunctions: readonly PhysicalFunctionFacts[];
}
export interface PhysicalFunctionFacts {
  readonly pfId: string;
  readonly kind: FunctionKind;
  /** Virtual functions that can still be allocated. */
  readonly free: number;
  /** Of an NVMe device: the subsystem whose namespaces its controllers reach. */
  readonly subsystemNqn: string | null;
}

type Vm = Pick<Manifest, 'vmId' | 'method' | 'stackVersion'> & {
  readonly functions: readonly NeededFunction[];
};

/** How a VM fits on a host: the PF for each of its functions, and all that keeps it from fitting, worded for people. */
export interface Fit {
  readonly reasons: readonly string[];
  /** By adapter. */
  readonly pfIds: Readonly<Record<string, string>>;
}

export function fit(facts: DestinationFacts, vm: Vm): Fit {
  const reasons: string[] = [];
  if (facts.vmIds.includes(vm.vmId)) reasons.push(`it has a VM named ${vm.vmId} already`);
  if (major(facts.stackVersion) < major(vm.stackVersion)) {
    reasons.push(
      `its stack ${facts.stackVersion} cannot read the state of a VM that runs on ${vm.stackVersion}`,
    );
  }
  const left = new Map(facts.physicalFunctions.map((pf) => [pf.pfId, pf.free]));
  const pfIds: Record<string, string> = {};
  const needed = functionsFor(vm.method);
  for (const each of vm.functions) {
    const reaching = facts.physicalFunctions.filter((pf) => corresponds(pf, each));
    const pf = reaching.find(({ pfId }) => (left.get(pfId) ?? 0) >= needed);
    if (pf === undefined) {
      reasons.push(reaching.length === 0 ? without(each) : full(each, needed, reaching, left));
      continue;
    }
    left.set(pf.pfId, (left.get(pf.pfId) ?? 0) - needed);
    pfIds[each.adapterId] = pf.pfId;
  }
  return { reasons, pfIds };
}

/** An emulated path needs a second function beside the one that is passed through. */
const functionsFor = (method: Vm['method']): number => (method === 'emulated-path' ? 2 : 1);

/** Of the same kind, and of the same subsystem: by it and the namespace's ids a guest tells paths to the same namespace. */
const corresponds = (pf: PhysicalFunctionFacts, { kind, namespace }: NeededFunction) =>
  pf.kind === kind && (namespace === null || pf.subsystemNqn === namespace.subsystemNqn);

const without = ({ adapterId, kind, namespace }: NeededFunction): string =>
  namespace === null
    ? `it has no ${kind} device for ${adapterId}`
    : `none of its NVMe devices reaches namespace ${namespace.nsid} (${namespace.nguid}) of ${namespace.subsystemNqn}, which ${adapterId} uses`;

const full = (
  { adapterId, kind }: NeededFunction,
  needed: number,
  pfs: readonly PhysicalFunctionFacts[],
  left: ReadonlyMap<string, number>,
): string =>
  `${adapterId} needs ${needed} ${kind} functions of one device, and ${pfs.map(({ pfId }) => `${pfId} has ${left.get(pfId) ?? 0} free`).join(', ')}`;

/** State goes to a stack of the same major version or a later one, never back. */
const major = (version: string): number => Number.parseInt(version, 10) || 0;
