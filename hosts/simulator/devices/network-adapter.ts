import { HoldfastError } from '../../../contract/failures';
import type { Intent } from '../state';
import { DEFAULT_SHARE_GBPS, ledgerOf } from './bandwidth';

/** A physical function with its NIC switch: VFs, VPorts, receive filters and the capacity ledger. */
export interface NetworkAdapterState {
  readonly pfId: string;
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

export function findVf(pf: NetworkAdapterState, vfId: number): VirtualFunction | undefined {
  return pf.vfs.find((vf) => vf.vfId === vfId);
}
export const vfOf = (pf: NetworkAdapterState, vmId: string): VirtualFunction | undefined =>
  pf.vfs.find((vf) => vf.ownerVmId === vmId);

function allocatedVf(pf: NetworkAdapterState, oid: string, vfId: number): VirtualFunction {
  const vf = findVf(pf, vfId);
  if (vf === undefined) throw invalidParameter(oid, `VF ${String(vfId)} is not allocated`);
  return vf;
}

/** OID_NIC_SWITCH_ALLOCATE_VF: the lowest free VF ID, with its RID. The stack made the serial number before. */
export function allocateVf(
  pf: NetworkAdapterState,
  ownerVmId: string,
  macAddress: string,
  nowMs: number,
): VirtualFunction {
  if (vfOf(pf, ownerVmId) !== undefined) {
    throw invalidParameter(
      'OID_NIC_SWITCH_ALLOCATE_VF',
      `the adapter of ${ownerVmId} has a VF already`,
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
    rid: `3b:${(2 + (vfId >> 3)).toString(16).padStart(2, '0')}.${String(vfId & 7)}`,
    serialNumber: pf.nextSerialNumber,
    macAddress,
    ownerVmId,
    // Never more than is free: a VF that comes when all is promised gets what is left over.
    bandwidthGbps: Math.max(0, Math.min(DEFAULT_SHARE_GBPS, ledgerOf(pf).freeGbps)),
    configEpoch: 1,
    ring: { active: false, base: 0, sinceMs: nowMs },
  };
  pf.nextSerialNumber += 1;
  pf.iovVfUsage += 1;
  pf.vfs.push(vf);
  return vf;
}

/** OID_NIC_SWITCH_CREATE_VPORT: exactly one non-default VPort for a VF. */
export function createVPort(pf: NetworkAdapterState, vfId: number): VPort {
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
export function moveFilter(pf: NetworkAdapterState, macAddress: string, vportId: number): void {
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
export function deleteVPort(pf: NetworkAdapterState, vfId: number): void {
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

/** OID_SRIOV_RESET_VF: a function level reset. In-flight DMA is lost and the ring starts over. */
export function resetVf(pf: NetworkAdapterState, vfId: number, nowMs: number): void {
  const vf = allocatedVf(pf, 'OID_SRIOV_RESET_VF', vfId);
  vf.configEpoch += 1;
  vf.ring = { active: false, base: 0, sinceMs: nowMs };
}

/** OID_NIC_SWITCH_FREE_VF: refused while a VPort is attached. */
export function freeVf(pf: NetworkAdapterState, vfId: number): void {
  const vf = allocatedVf(pf, 'OID_NIC_SWITCH_FREE_VF', vfId);
  if (pf.vports.some((p) => p.vfId === vfId)) {
    throw invalidParameter('OID_NIC_SWITCH_FREE_VF', `a VPort is attached to VF ${String(vfId)}`);
  }
  pf.vfs = pf.vfs.filter((v) => v !== vf);
  pf.iovVfUsage -= 1;
}

/** The VF is gone without anyone's command: port removal, PF reset, surprise removal. */
export function loseVf(pf: NetworkAdapterState, vf: VirtualFunction): void {
  for (const vport of pf.vports.filter((p) => p.vfId === vf.vfId)) {
    for (const filter of pf.filters) {
      if (filter.vportId === vport.vportId) filter.vportId = DEFAULT_VPORT;
    }
  }
  pf.vports = pf.vports.filter((p) => p.vfId !== vf.vfId);
  pf.vfs = pf.vfs.filter((v) => v !== vf);
  pf.iovVfUsage -= 1;
}
