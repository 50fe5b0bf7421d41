import type { FunctionKind, Manifest, Namespace } from './migration';

/** What of a host counts when a VM is to come to it. */
export interface DestinationFacts {
  readonly hostId: string;
  readonly stackVersion: string;
  readonly vmIds: readonly string[];
  /** Free virtual functions of each kind, with what is kept for this very VM already. */
  readonly freeFunctions: Readonly<Record<FunctionKind, number>>;
  /** That its controllers reach. */
  readonly namespaces: readonly Namespace[];
}

/** An emulated path needs a second function beside the one that is passed through. */
const perFunction = ({ method }: Pick<Manifest, 'method'>) => (method === 'emulated-path' ? 2 : 1);

/** All that keeps a host from taking a VM, worded for people; nothing if it can. */
export function unfit(
  facts: DestinationFacts,
  vm: Pick<Manifest, 'vmId' | 'method' | 'functions' | 'stackVersion'>,
): string[] {
  const reasons: string[] = [];
  if (facts.vmIds.includes(vm.vmId)) {
    reasons.push(`it has a VM named ${vm.vmId} already`);
  }
  if (major(facts.stackVersion) < major(vm.stackVersion)) {
    reasons.push(
      `its stack ${facts.stackVersion} cannot read the state of a VM that runs on ${vm.stackVersion}`,
    );
  }
  for (const kind of ['network', 'nvme'] as const) {
    const functions = vm.functions.filter((each) => each.kind === kind);
    const needed = functions.length * perFunction(vm);
    if (needed > facts.freeFunctions[kind]) {
      reasons.push(
        `it has ${facts.freeFunctions[kind]} free ${kind} functions of the ${needed} that correspond to those of the VM`,
      );
    }
  }
  for (const { adapterId, namespace } of vm.functions) {
    if (namespace !== null && !facts.namespaces.some((one) => isSame(one, namespace))) {
      reasons.push(
        `its controllers do not reach namespace ${namespace.nsid} (${namespace.nguid}) of ${namespace.subsystemNqn}, which ${adapterId} uses`,
      );
    }
  }
  return reasons;
}

/** By both, guests tell that two controllers are paths to one namespace. */
const isSame = (a: Namespace, b: Namespace): boolean =>
  a.subsystemNqn === b.subsystemNqn && a.nsid === b.nsid && a.nguid === b.nguid;

/** State goes to a stack of the same major version or a later one, never back. */
const major = (version: string): number => Number.parseInt(version, 10) || 0;
