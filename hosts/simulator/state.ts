import type { FaultKind } from '../../contract/faults';
import type { VirtualFunctionIdentity } from '../../contract/ids';
import type { Path } from '../../contract/results';
import type { CoreHost, CoreObjects, CoreVm, HostObjects } from '../engine/state';
import type { Medium } from './devices/guest-io';
import type { PartitionState } from './devices/hypervisor-partition';
import type { GuestState } from './devices/guest';
import type { FunctionKind, PhysicalFunctionState } from './devices/physical-function';
import type { SavedRecord } from './devices/runtime-repository';
import type { SyntheticAdapterState } from './devices/synthetic-network-adapter';
import type { SwitchNicState } from './devices/vm-switch';
import type { WorkerProcessState } from './devices/vm-worker-process';
import type { MigrationState } from './migration/migration-state';
import type { VpciState } from './devices/vpci-vsp';
import type { Readoption } from './functions/readoption';

/** What can be made ready for the restore while the VM still runs: the next worker process and its adapter. */
export interface Successor {
  readonly workerProcess: WorkerProcessState;
  /** By adapter. */
  vdevs: Record<string, SyntheticAdapterState>;
}

/**
 * One adapter of a VM: a synthetic network adapter with its NIC at the VM switch and, where it wants one, a VF; or an NVMe
 * controller, which is a VF alone and has no NIC and no other path for its I/O.
 */
export interface AdapterState {
  /** Unique in its VM: nic-0, nic-1, nvme-0, … */
  readonly adapterId: string;
  readonly kind: FunctionKind;
  /** The physical function of the host that its VF is of. */
  readonly pfId: string;
  /** Whether it is to have a VF at all. */
  readonly wantsVf: boolean;
  /** Of an NVMe controller: what stands in its place in the identity, as unique as a MAC address. */
  readonly macAddress: string;
  vdev: SyntheticAdapterState;
  nic: SwitchNicState;
  vpci: VpciState;
  guest: GuestState;
  /**
   * The host's own custody of a held VF, a layer of its own above the VSP's hold. `lost`: the VF went without anyone's
   * command, so there is nothing left to guard.
   */
  custody: { readonly vfId: number; lost: boolean } | null;
  /** The same by the intermediary's own account. Absent in hosts of before there was a function policy. */
  heldFunction?: { readonly vfId: number } | null;
  /** The weight an administrator configured, 0–100; the VDEV has its own while it lives (claim 16). */
  readonly configuredIovWeight: number;
  identityBefore: VirtualFunctionIdentity | null;
  /** The state of its VF was restored since the record was claimed. */
  vfStateRestored: boolean;
  /** The held VF was given up on the way back, so the restore goes on without it. */
  vfAbandoned: string | null;
  /** How many guest-visible events and how much outage there were before this operation. */
  before: { events: number; vfOutageMs: number; droppedPackets: number };
  path: Extract<Path, 'kept' | 'reattached' | 'synthetic-only'>;
  pathReason: string | null;
}

export interface VmState extends CoreVm {
  partition: PartitionState;
  workerProcess: WorkerProcessState;
  /** In the order of their ids; a VM may have none. */
  adapters: AdapterState[];
  successor: Successor | null;
  record: SavedRecord | null;
  /** What the function policy authorised when the save began. Absent before the first one. */
  readoption?: Readoption;
  /** The guest answers no heartbeat any more, although its virtual processors run. */
  guestHangs: boolean;
  /** The VM's state was restored since its record was claimed. */
  vmStateRestored: boolean;
  /** The generation that went back to the old stack; absent: none has. */
  retreatedBy?: number;
  /** The generation that gave up VFs on its way back. */
  functionsGivenUpBy: number | null;
  /** The latest migration from or to this host; absent: there was none. */
  migration?: MigrationState;
}

/** What a bad update does when its stack is started. */
export type UpdateDefect = Extract<
  FaultKind,
  'fails-to-start' | 'starts-old-version' | 'fails-verification' | 'cannot-read-record'
>;

export interface HostState extends CoreHost {
  readonly seed: number;
  /** Absent in hosts of before there were fault domains. */
  readonly faultDomain?: string;
  readonly custodyBelowVsp: boolean;
  readonly switchExtensions: readonly {
    readonly extensionId: string;
    readonly dataBytes: number;
  }[];
  nextWorkerProcess: number;
  nextLuid: number;
  /** What is wrong with the update of the run of this generation; absent: nothing is known to be. */
  updateDefect?: { readonly generation: number; readonly kind: UpdateDefect };
}

/** What a command works on: the host, its PFs, and the VM it is for. Fresh copies; written back together. */
export interface Objects extends CoreObjects {
  readonly host: HostState;
  readonly pfs: readonly PhysicalFunctionState[];
  readonly vm: VmState;
  /** What the I/O of a VM that is migrated ends at, by adapter: the wire, or a namespace; null: nobody counts it. */
  media?: Record<string, Medium> | null;
  /** The migration that they were read of. */
  readonly mediaOf?: string | undefined;
}

/** The same for a command that is for one of the VM's adapters. */
export interface AdapterObjects extends Objects {
  readonly adapter: AdapterState;
  /** The physical function that the adapter's VF is of. */
  readonly pf: PhysicalFunctionState;
}

export type SimulatedHost = HostObjects<HostState, VmState>;
