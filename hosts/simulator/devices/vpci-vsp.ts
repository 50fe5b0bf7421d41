import { HoldfastError } from '../../../contract/failures';
import type { HoldMode } from '../../../contract/inputs';
import { refused } from '../../engine/refused';
import { move, type LegalMoves } from '../legal-moves';

/**
 * The VPCI VSP's view of one VM: the VF device (LUID, assigned or not), the bus *connection* (IOMMU attach, MMIO,
 * interrupts) and the bus *interface*, through which the connection was made. A modified save keeps the first two.
 */
export interface VpciState {
  device: VfDevice | null;
  /** Stable over re-adds: the guest derives its PCI domain from it. */
  readonly instanceGuid: string;
  interface: { state: InterfacePhase; madeBy: number | null };
  /** What the VSP was told: skip unassign and release, refuse them, or nothing at all (`omit`). */
  hold: HoldMode | null;
  deviceResetPending: boolean;
}
export interface VfDevice {
  readonly luid: string;
  readonly vfId: number;
  readonly ownerVmId: string;
  connected: boolean;
  iommuAttachCount: number;
  negotiatedVersion: string;
  /** Host writes to the device while it is held; must stay 0 (I11). */
  writesWhileHeld: number;
}
type InterfacePhase = 'none' | 'created' | 'bound' | 'active';

const MOVES: LegalMoves<InterfacePhase> = {
  none: ['created'],
  created: ['bound', 'none'],
  bound: ['active', 'none'],
  active: ['none'],
};
const moveInterface = (v: VpciState, to: InterfacePhase) => {
  v.interface.state = move('VPCI bus interface', MOVES, v.interface.state, to);
};

/** First phase of bus creation: the bus object. A leftover one makes the device's D0 entry fail (c0370048). */
export function createBusInterface(v: VpciState, workerProcess: number): void {
  if (v.interface.state !== 'none') {
    throw refused(
      `A VPCI bus interface cannot be created over one that is ${v.interface.state}: reset it first.`,
    );
  }
  moveInterface(v, 'created');
  v.interface.madeBy = workerProcess;
}

/** Binds the VF device to the bus. Adopting keeps the device as it is; another owner's is refused (claim 12). */
export function adoptDevice(v: VpciState, vmId: string, vfId: number, luid: string): void {
  const device = v.device;
  if (device === null) {
    throw new HoldfastError(
      'VirtualFunctionLost',
      `VF device ${luid} of ${vmId} is not assigned any more.`,
    );
  }
  if (device.ownerVmId !== vmId || device.vfId !== vfId || device.luid !== luid) {
    throw new HoldfastError(
      'IdentityMismatch',
      `${vmId} was saved with VF ${String(vfId)}, LUID ${luid}, but the VSP has VF ${String(device.vfId)}, LUID ${device.luid} of ${device.ownerVmId}.`,
    );
  }
  moveInterface(v, 'bound');
}

export function assignNewDevice(v: VpciState, vmId: string, vfId: number, luid: string): void {
  if (v.device !== null) throw refused(`${vmId} has VF device ${v.device.luid} already.`);
  moveInterface(v, 'bound');
  v.device = {
    luid,
    vfId,
    ownerVmId: vmId,
    connected: false,
    iommuAttachCount: 0,
    negotiatedVersion: '1.5',
    writesWhileHeld: 0,
  };
}

/** The tail of bus creation, after assignment (claim 13): re-binds a kept connection, or attaches a new device. */
export function connectDevice(v: VpciState): void {
  if (v.device === null || v.interface.state !== 'bound') {
    throw refused(
      `A VF device cannot be connected on an interface that is ${v.interface.state}: bind it first.`,
    );
  }
  moveInterface(v, 'active');
  if (!v.device.connected) {
    v.device.connected = true;
    v.device.iommuAttachCount += 1;
  }
}

/** Claim 7: the interface goes, connection, assignment and device stay; no FLR. */
export function resetBusInterface(v: VpciState): void {
  moveInterface(v, 'none');
  v.interface.madeBy = null;
}

export function setHold(v: VpciState, mode: HoldMode): void {
  v.hold = mode;
  if (v.device !== null) v.device.writesWhileHeld = 0;
}
export const releaseHold = (v: VpciState): void => {
  v.hold = null;
};

/**
 * Takes the VF device from the VM. The three hold modes differ here: told to skip, it does nothing; told to block, it
 * refuses; told nothing (`omit`) it obeys, and only the host's custody guard stands before it.
 */
export function unassignDevice(v: VpciState): 'done' | 'skipped' {
  if (v.hold === 'instruct-skip') return 'skipped';
  if (v.hold === 'block') throw refused('The VPCI VSP refuses to unassign a held VF device.');
  if (v.interface.state !== 'none') resetBusInterface(v);
  v.device = null;
  return 'done';
}
