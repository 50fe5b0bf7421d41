import { HoldfastError } from '../../../contract/failures';
import type { PhysicalFunctionState } from './physical-function';

/** What a VF is promised of the PF's bandwidth when nobody has asked for another share, and a PF's least capacity. */
export const DEFAULT_SHARE_GBPS = 5;
const LEAST_CAPACITY_GBPS = 100;

/** Enough for the default share of so many VFs. */
export const capacityForGbps = (vfs: number): number =>
  Math.max(LEAST_CAPACITY_GBPS, vfs * DEFAULT_SHARE_GBPS);

/** The ledger of a PF's bandwidth: what its VFs are promised never exceeds it. PFs of before it was kept have a derived one. */
export interface Ledger {
  readonly capacityGbps: number;
  readonly allocatedGbps: number;
  readonly freeGbps: number;
}

export const shareGbps = (vf: { readonly bandwidthGbps?: number }): number =>
  vf.bandwidthGbps ?? DEFAULT_SHARE_GBPS;

export function ledgerOf(pf: PhysicalFunctionState): Ledger {
  const capacityGbps = pf.bandwidthGbps ?? capacityForGbps(pf.iovVfCapacity);
  const allocatedGbps = exact(pf.vfs.reduce((sum, vf) => sum + shareGbps(vf), 0));
  return { capacityGbps, allocatedGbps, freeGbps: exact(capacityGbps - allocatedGbps) };
}

/** Promises a VF another share, if the ledger has it. Answers what it had. */
export function reallocateBandwidth(
  pf: PhysicalFunctionState,
  vfId: number,
  bandwidthGbps: number,
): number {
  const vf = pf.vfs.find((one) => one.vfId === vfId);
  if (vf === undefined)
    throw new HoldfastError('Refused', `VF ${String(vfId)} of PF ${pf.pfId} is not allocated.`);
  const before = shareGbps(vf);
  const { capacityGbps, allocatedGbps, freeGbps } = ledgerOf(pf);
  if (exact(bandwidthGbps - before) > freeGbps) {
    throw new HoldfastError(
      'FunctionCapacityExceeded',
      `PF ${pf.pfId} has ${String(capacityGbps)} Gbps, of which ${String(allocatedGbps)} are allocated and ${String(freeGbps)} free: VF ${String(vfId)}, which has ${String(before)}, can get ${String(exact(before + freeGbps))} at most, not ${String(bandwidthGbps)}.`,
      { capacityGbps, allocatedGbps, freeGbps, askedGbps: bandwidthGbps, hasGbps: before },
    );
  }
  vf.bandwidthGbps = bandwidthGbps;
  return before;
}

/** Sums of shares such as 0.1 and 0.2 Gbps, without what binary fractions add to them. */
const exact = (gbps: number): number => Math.round(gbps * 1e6) / 1e6;
