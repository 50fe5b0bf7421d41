import type { Operation, VmDescription } from './host';
import type { Holder, VirtualFunctionIdentity } from './ids';
import type { Fault } from './faults';
import type { MigrationMethod } from './inputs';
import type { MigrateVmResult } from './results';

/** What a passthrough function is to its guest: a network interface, or a controller of an NVMe subsystem. */
export type FunctionKind = 'network' | 'nvme';

/** By what two controllers are recognised as paths to the same namespace: guests and destinations must find both equal. */
export interface Namespace {
  readonly subsystemNqn: string;
  readonly nsid: number;
  readonly nguid: string;
}

/** What the destination must have a corresponding function for. */
export interface NeededFunction {
  readonly adapterId: string;
  readonly kind: FunctionKind;
  /** Of an NVMe function. */
  readonly namespace: Namespace | null;
}

/** One passthrough function of a VM. */
export interface PassthroughFunction extends NeededFunction {
  /** The one that is moved; null if the VM has none at present. */
  readonly identity: VirtualFunctionIdentity | null;
}

/** A function of the VM before and after its move. It is another VF of another PF: its identity is not kept. */
export interface MovedFunction {
  readonly adapterId: string;
  readonly kind: FunctionKind;
  readonly before: VirtualFunctionIdentity | null;
  /** Null if the VM runs without it at the destination. */
  readonly after: VirtualFunctionIdentity | null;
  readonly identityKept: boolean;
}

/** What a destination must have for a VM. */
export interface Manifest {
  /** Of this move of this VM; another attempt has another. */
  readonly migrationId: string;
  readonly vmId: string;
  readonly fromHostId: string;
  readonly toHostId: string;
  readonly method: MigrationMethod;
  readonly functions: readonly PassthroughFunction[];
  /** Of the stack that runs the VM. */
  readonly stackVersion: string;
  /** What else the destination's driver needs to prepare, in the driver's own terms. */
  readonly content: string;
}

/**
 * A suspended VM as its source hands it over: everything that is neither on shared storage nor in a function. The content is
 * the driver's own: the state itself where it is small, as the simulator's is, or a ticket by which the destination gets it
 * from the source. The checksum is over the state, whichever way it comes.
 */
export interface VmPackage {
  readonly migrationId: string;
  readonly checksum: string;
  readonly content: string;
}

/** That the destination has a whole package; without it the source does not relinquish. */
export interface Receipt {
  readonly migrationId: string;
  readonly checksum: string;
}

/** That the source will never run the VM again; without it the destination does not resume it. */
export interface RelinquishProof {
  readonly migrationId: string;
  readonly checksum: string;
  readonly toHostId: string;
}

/** What one end of a migration hands the other, by way of the run. */
export interface Handed {
  readonly package?: VmPackage;
  readonly receipt?: Receipt;
  readonly proof?: RelinquishProof;
}

/**
 * Where one end of a migration stands. Source: `new`, `underWay` (an earlier run got no further: undo it first),
 * `relinquished`, `released`. Destination: `reserved`, `resumed`, `over`.
 */
export type MigrationStage =
  'new' | 'underWay' | 'relinquished' | 'released' | 'reserved' | 'resumed' | 'over';

/** The lease of one end of a migration. */
export interface MigrationOperation extends Operation {
  readonly stage: MigrationStage;
  readonly manifest: Manifest;
}

/** A request for the lease of a VM at the source of a migration; repeating it with the same holder changes nothing. */
export interface MigrationRequest {
  /** The host that is asked. */
  readonly hostId: string;
  readonly toHostId: string;
  readonly vmId: string;
  readonly method: MigrationMethod;
  readonly drainTimeLimitMs: number;
  readonly blackoutBudgetMs: number;
  readonly holder: Holder;
  readonly parent: Holder | null;
  readonly faults: readonly Fault[];
  readonly takeOverFrom?: Holder;
}

/** A request to the destination: check everything, then keep a place for the VM. */
export interface ReceptionRequest extends Pick<
  MigrationRequest,
  'hostId' | 'vmId' | 'blackoutBudgetMs' | 'holder' | 'parent' | 'faults' | 'takeOverFrom'
> {
  readonly manifest: Manifest;
}

/** Commands of the guest since the migration began, over all queues of all its functions. */
export interface IoLedger {
  readonly submitted: number;
  readonly executed: number;
  readonly completed: number;
  readonly lost: number;
  readonly executedTwice: number;
  readonly outOfOrder: number;
}

/** What `verifyMigration` answers. */
export interface VerifiedMigration {
  readonly vm: VmDescription;
  readonly ledger: IoLedger;
  readonly functions: readonly MovedFunction[];
  readonly drain: MigrateVmResult['drain'];
}
