import { HoldfastError } from '../../../contract/failures';
import type { FunctionKind } from '../../../contract/migration';
import type { Intent } from '../../engine/state';
import { DEFAULT_SHARE_GBPS, ledgerOf } from './bandwidth';

export type { FunctionKind };

/** A physical function with its VFs and the capacity ledger; of a NIC also its switch: VPorts and receive filters. */
export interface PhysicalFunctionState {
  readonly pfId: string;
  readonly kind: FunctionKind;
  /** PCIe bus and first device of its VFs. */
  readonly bus: string;
  /** Of an NVMe device: the subsystem that its controllers are of. Absent: the storage that all hosts share. */
  readonly subsystemNqn?: string;
  /** IovVfCapacity. */
  readonly iovVfCapacity: number;
  /** IovVfUsage: the ledger, kept apart from the list so that a difference shows (I9). */
  iovVfUsage: number;
  /** What its VFs share, Gbps. Absent in hosts of before it was kept: see `ledgerOf`. */
  readonly bandwidthGbps?: number;
  vfs: VirtualFunction[];
  vports: VPort[];
  filters: ReceiveFilter[];
  nextVPortId: number;
  nextSerialNumber: number;
  /** Requests to one PF serialize. */
  mailbox: Intent | null;
}
export interface VirtualFunction {
  readonly vfId: number;
  readonly rid: string;
  readonly serialNumber: number;
  readonly macAddress: string;
  readonly ownerVmId: string;
  /** What it is promised of the PF's bandwidth, Gbps. */
  bandwidthGbps?: number;
  /** Of the VM's adapters, the one it is for. */
  readonly adapterId: string;
  /** Counts resets and reconfigurations; a saved state of another epoch must not be used. */
  configEpoch: number;
  ring: ReceiveRing;
}
export interface VPort {
  readonly vportId: number;
  readonly vfId: number;
}
export interface ReceiveFilter {
  readonly macAddress: string;
  /** 0 is the default VPort, that is the synthetic path. */
  vportId: number;
}

/**
 * The VF's receive ring: the device writes it by DMA whether or not the guest's processors run. `produced` counts
 * packets since the last reset; it is computed from the clock, so it goes on while every process is down.
 */
export interface ReceiveRing {
  active: boolean;
  base: number;
  sinceMs: number;
}
const PACKETS_PER_MS = 1;
/** Slots; what the guest has not taken when it is full is dropped. */
export const RING_SIZE = 4096;

export const produced = (ring: ReceiveRing, nowMs: number): number =>
  ring.base + (ring.active ? Math.floor((nowMs - ring.sinceMs) * PACKETS_PER_MS) : 0);

export function startRing(ring: ReceiveRing, nowMs: number): void {
  ring.base = produced(ring, nowMs);
  ring.active = true;
  ring.sinceMs = nowMs;
}

export const DEFAULT_VPORT = 0;

const invalidParameter = (oid: string, why: string) =>
  new HoldfastError('Refused', `${oid}: NDIS_STATUS_INVALID_PARAMETER: ${why}.`, { oid });

export function findVf(pf: PhysicalFunctionState, vfId: number): VirtualFunction | undefined {
  return pf.vfs.find((vf) => vf.vfId === vfId);
}
export const isVfOf = (vf: VirtualFunction, { vm, adapter }: Owner): boolean =>
  vf.ownerVmId === vm.vmId && vf.adapterId === adapter.adapterId;
/** The VF that is allocated to an adapter, if one is. */
export const vfOf = (o: Owner & { readonly pf: PhysicalFunctionState }) =>
  o.pf.vfs.find((vf) => isVfOf(vf, o));
interface Owner {
  readonly vm: { readonly vmId: string };
  readonly adapter: { readonly adapterId: string };
}

/**
 * What a device of each kind calls the requests for one of its VFs: NDIS's OIDs, or the commands of NVMe's virtualization
 * enhancements for a secondary controller.
 */
export const FUNCTION_COMMANDS = {
  network: {
    allocate: 'OID_NIC_SWITCH_ALLOCATE_VF',
    reset: 'OID_SRIOV_RESET_VF',
    free: 'OID_NIC_SWITCH_FREE_VF',
  },
  nvme: {
    allocate: 'NVMe.SecondaryController.Online',
    reset: 'NVMe.SecondaryController.Reset',
    free: 'NVMe.SecondaryController.Offline',
  },
} as const satisfies Record<FunctionKind, Record<string, string>>;

function allocatedVf(pf: PhysicalFunctionState, oid: string, vfId: number): VirtualFunction {
  const vf = findVf(pf, vfId);
  if (vf === undefined) throw invalidParameter(oid, `VF ${String(vfId)} is not allocated`);
  return vf;
}

/** The lowest free VF ID, with its RID. The stack made the serial number before. */
export function allocateVf(
  pf: PhysicalFunctionState,
  owner: Owner,
  macAddress: string,
  nowMs: number,
): VirtualFunction {
  const [ownerVmId, { adapterId }] = [owner.vm.vmId, owner.adapter];
  if (vfOf({ ...owner, pf }) !== undefined) {
    throw invalidParameter(
      FUNCTION_COMMANDS[pf.kind].allocate,
      `adapter ${adapterId} of ${ownerVmId} has a VF already`,
    );
  }
  if (pf.vfs.length >= pf.iovVfCapacity) {
    throw new HoldfastError(
      'VirtualFunctionsExhausted',
      `PF ${pf.pfId} has no free VF: ${String(pf.iovVfUsage)} of ${String(pf.iovVfCapacity)} are in use.`,
    );
  }
  let vfId = 0;
  while (findVf(pf, vfId) !== undefined) vfId += 1;
  const vf: VirtualFunction = {
    vfId,
    rid: `${pf.bus}:${(2 + (vfId >> 3)).toString(16).padStart(2, '0')}.${String(vfId & 7)}`,
    serialNumber: pf.nextSerialNumber,
    macAddress,
    ownerVmId,
    // Never more than is free: a VF that comes when all is promised gets what is left over.
    bandwidthGbps: Math.max(0, Math.min(DEFAULT_SHARE_GBPS, ledgerOf(pf).freeGbps)),
    adapterId,
    configEpoch: 1,
    ring: { active: false, base: 0, sinceMs: nowMs },
  };
  pf.nextSerialNumber += 1;
  pf.iovVfUsage += 1;
  pf.vfs.push(vf);
  return vf;
}

/** OID_NIC_SWITCH_CREATE_VPORT: exactly one non-default VPort for a VF. */
export function createVPort(pf: PhysicalFunctionState, vfId: number): VPort {
  allocatedVf(pf, 'OID_NIC_SWITCH_CREATE_VPORT', vfId);
  if (pf.vports.some((p) => p.vfId === vfId)) {
    throw invalidParameter('OID_NIC_SWITCH_CREATE_VPORT', `VF ${String(vfId)} has a VPort already`);
  }
  const vport = { vportId: pf.nextVPortId, vfId };
  pf.nextVPortId += 1;
  pf.vports.push(vport);
  return vport;
}

/** OID_RECEIVE_FILTER_MOVE_FILTER */
export function moveFilter(pf: PhysicalFunctionState, macAddress: string, vportId: number): void {
  const filter = pf.filters.find((f) => f.macAddress === macAddress);
  if (filter === undefined) {
    throw invalidParameter('OID_RECEIVE_FILTER_MOVE_FILTER', `no filter for ${macAddress}`);
  }
  if (vportId !== DEFAULT_VPORT && !pf.vports.some((p) => p.vportId === vportId)) {
    throw invalidParameter('OID_RECEIVE_FILTER_MOVE_FILTER', `no VPort ${String(vportId)}`);
  }
  filter.vportId = vportId;
}

/** OID_NIC_SWITCH_DELETE_VPORT */
export function deleteVPort(pf: PhysicalFunctionState, vfId: number): void {
  const vport = pf.vports.find((p) => p.vfId === vfId);
  if (vport === undefined) {
    throw invalidParameter('OID_NIC_SWITCH_DELETE_VPORT', `VF ${String(vfId)} has no VPort`);
  }
  if (pf.filters.some((f) => f.vportId === vport.vportId)) {
    throw invalidParameter(
      'OID_NIC_SWITCH_DELETE_VPORT',
      `filters still point at VPort ${String(vport.vportId)}`,
    );
  }
  pf.vports = pf.vports.filter((p) => p !== vport);
}

/** A function level reset. In-flight DMA is lost and the ring starts over. */
export function resetVf(pf: PhysicalFunctionState, vfId: number, nowMs: number): void {
  const vf = allocatedVf(pf, FUNCTION_COMMANDS[pf.kind].reset, vfId);
  vf.configEpoch += 1;
  vf.ring = { active: false, base: 0, sinceMs: nowMs };
}

/** Refused while a VPort is attached. */
export function freeVf(pf: PhysicalFunctionState, vfId: number): void {
  const vf = allocatedVf(pf, FUNCTION_COMMANDS[pf.kind].free, vfId);
  if (pf.vports.some((p) => p.vfId === vfId)) {
    throw invalidParameter('OID_NIC_SWITCH_FREE_VF', `a VPort is attached to VF ${String(vfId)}`);
  }
  pf.vfs = pf.vfs.filter((v) => v !== vf);
  pf.iovVfUsage -= 1;
}

/** The VF is gone without anyone's command: port removal, PF reset, surprise removal. */
export function loseVf(pf: PhysicalFunctionState, vf: VirtualFunction): void {
  for (const vport of pf.vports.filter((p) => p.vfId === vf.vfId)) {
    for (const filter of pf.filters) {
      if (filter.vportId === vport.vportId) filter.vportId = DEFAULT_VPORT;
    }
  }
  pf.vports = pf.vports.filter((p) => p.vfId !== vf.vfId);
  pf.vfs = pf.vfs.filter((v) => v !== vf);
  pf.iovVfUsage -= 1;
}
