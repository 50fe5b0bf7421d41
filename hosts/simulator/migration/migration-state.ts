import { HoldfastError } from '../../../contract/failures';
import type {
  IoLedger,
  Manifest,
  MovedFunction,
  PassthroughFunction,
  Receipt,
  VmPackage,
} from '../../../contract/migration';
import type { MigrationMethod } from '../../../contract/inputs';
import type { EmulatedState, GuestIo, PathName } from '../devices/guest-io';
import type { HostState, VmState } from '../state';

/** What one end of a migration knows of it. It stays until the next migration of the VM, since replies may be asked for again. */
export interface MigrationState {
  readonly role: 'source' | 'destination';
  readonly migrationId: string;
  readonly method: MigrationMethod;
  /** The other host. */
  readonly peer: string;
  readonly manifest: Manifest;
  readonly drainTimeLimitMs: number;
  functions: FunctionUnderWay[];
  drain: Drain | null;
  /** Of the source: what it suspended. Of the destination: what it received. */
  package: VmPackage | null;
  /** The source's durable word that it never runs the VM again. */
  relinquished: (Receipt & { readonly atMs: number; readonly darkForMs: number }) | null;
  /** The source has nothing of the VM any more; the destination has given back what it had reserved. */
  gone: boolean;
  /** It was verified at the destination, with what was found. */
  over: { readonly ledger: IoLedger; readonly functions: readonly MovedFunction[] } | null;
}

export interface FunctionUnderWay extends PassthroughFunction {
  io: GuestIo;
  /** Paths whose function on this host is ready for the VM's devices. */
  exposed: PathName[];
  /** The emulated device, as it was saved last. */
  saved: EmulatedState | null;
}

export interface Drain {
  readonly startedAtMs: number;
  /** Open on the passthrough path when it began. */
  readonly commands: number;
  drainedAtMs: number | null;
}

/** How much was drained, and how long it took. */
export const drainedOf = (drain: Drain | null) =>
  drain?.drainedAtMs == null
    ? null
    : { commands: drain.commands, ms: drain.drainedAtMs - drain.startedAtMs };

/** The migration that is under way, which nothing else may be done to the VM meanwhile. */
export function underWay({ migration }: VmState): MigrationState | null {
  return migration === undefined || migration.over !== null || migration.gone ? null : migration;
}

export function refuseMigrating(vm: VmState): void {
  const migration = underWay(vm);
  if (migration !== null) throw unfinished(vm.vmId, migration.manifest);
}

export const unfinished = (vmId: string, { fromHostId, toHostId }: Manifest) =>
  new HoldfastError(
    'MigrationUnfinished',
    `The migration of ${vmId} from ${fromHostId} to ${toHostId} is not over.`,
    { fromHostId, toHostId },
  );

/** A VM that has left, or is only on its way here, is none of this host's. */
export function refuseUnlessHere(host: HostState, vm: VmState): void {
  if (host.vmIds.includes(vm.vmId)) return;
  const { migration } = vm;
  const where =
    migration?.relinquished != null
      ? ` (it went to ${migration.peer})`
      : underWay(vm) === null
        ? ''
        : ` (it is on its way here from ${migration?.peer ?? ''})`;
  throw new HoldfastError(
    'UnknownVm',
    `Host ${host.hostId} has no VM "${vm.vmId}"${where}; it has ${host.vmIds.join(', ') || 'none'}.`,
    { hostId: host.hostId, vmId: vm.vmId },
  );
}
