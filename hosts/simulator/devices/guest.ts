import { HoldfastError } from '../../../contract/failures';
import type { DataPath } from '../../../contract/results';
import { RING_SIZE, produced, startRing, type VirtualFunction } from './physical-function';

/**
 * The guest's own view: which data path it uses, what it saw happen, and how far it has read the VF's receive ring.
 * Its counter makes a wrong restore visible: a ring that went back, or another device, is a failure.
 */
export interface GuestState {
  dataPath: DataPath;
  /** What it is left with when the VF goes. */
  readonly otherPath: Exclude<DataPath, 'vf'>;
  dataPathSwitchPending: boolean;
  /** The guest's VF driver is loaded and bound. */
  vfDriverBound: boolean;
  ring: { consumed: number; configEpoch: number } | null;
  droppedPackets: number;
  interruptsReplayed: number;
  /** Since when no VF data path is active, by the host's clock; null while it is. */
  vfPathDownSinceMs: number | null;
  vfOutageMs: number;
  events: GuestEvent[];
}
export interface GuestEvent {
  readonly atMs: number;
  readonly kind: 'eject' | 'surpriseRemoval' | 'offer';
}

/** Grace the host gives the guest to eject a VF before it is taken away (rescind). */
export const EJECT_GRACE_MS = 60_000;

const pathDown = (g: GuestState, nowMs: number) => {
  g.vfPathDownSinceMs ??= nowMs;
};
const pathUp = (g: GuestState, nowMs: number) => {
  if (g.vfPathDownSinceMs !== null) g.vfOutageMs += nowMs - g.vfPathDownSinceMs;
  g.vfPathDownSinceMs = null;
};

/** The guest reads the ring up to now. */
function consume(g: GuestState, vf: VirtualFunction, nowMs: number): number {
  const now = produced(vf.ring, nowMs);
  const before = g.ring?.consumed ?? now;
  if (g.ring !== null && (g.ring.configEpoch !== vf.configEpoch || now < before)) {
    throw new HoldfastError(
      'InvariantBreach',
      `The guest's receive ring went back from ${String(before)} to ${String(now)} (epoch ${String(g.ring.configEpoch)} to ${String(vf.configEpoch)}): the device is not the one it was.`,
    );
  }
  g.ring = { consumed: now, configEpoch: vf.configEpoch };
  return now - before;
}

export function guestPaused(g: GuestState, vf: VirtualFunction | undefined, nowMs: number): void {
  if (g.dataPath === 'vf' && vf !== undefined) consume(g, vf, nowMs);
  pathDown(g, nowMs);
}

/** Posted interrupts are replayed and the ring is drained; what did not fit was dropped by the device. */
export function guestResumed(g: GuestState, vf: VirtualFunction | undefined, nowMs: number): void {
  if (g.dataPath !== 'vf') return;
  if (vf === undefined)
    throw new HoldfastError('InvariantBreach', 'The guest resumes on a VF that is gone.');
  const backlog = consume(g, vf, nowMs);
  g.droppedPackets += Math.max(0, backlog - RING_SIZE);
  g.interruptsReplayed += Math.min(backlog, RING_SIZE);
  pathUp(g, nowMs);
}

/** Whether the guest uses, has bound or was offered a VF, so that it notices when that one goes. */
export const guestKnowsVf = (g: GuestState): boolean =>
  g.dataPath === 'vf' || g.vfDriverBound || g.events.at(-1)?.kind === 'offer';

/** The guest removes the VF NIC; traffic fails over to what else it has. */
export function guestLosesVf(
  g: GuestState,
  kind: 'eject' | 'surpriseRemoval',
  nowMs: number,
): void {
  g.events.push({ atMs: nowMs, kind });
  forceOffVf(g, nowMs);
}

/** The host forces the data path off the VF while the guest is paused; the guest finds out when it runs again. */
export function forceOffVf(g: GuestState, nowMs: number): void {
  pathDown(g, nowMs);
  g.dataPath = g.otherPath;
  g.vfDriverBound = false;
  g.ring = null;
}

export function guestOfferedVf(g: GuestState, nowMs: number): void {
  g.events.push({ atMs: nowMs, kind: 'offer' });
}

/** hv_pci probes, the VF driver loads, its rings start. */
export function guestBindsVf(g: GuestState, vf: VirtualFunction, nowMs: number): void {
  startRing(vf.ring, nowMs);
  g.vfDriverBound = true;
}

/** NVSP SWITCH_DATA_PATH to the VF. */
export function guestSwitchesToVf(g: GuestState, vf: VirtualFunction, nowMs: number): void {
  if (!g.vfDriverBound) {
    throw new HoldfastError(
      'Refused',
      'The data path cannot go to a VF whose driver is not bound.',
    );
  }
  g.dataPath = 'vf';
  g.ring = { consumed: produced(vf.ring, nowMs), configEpoch: vf.configEpoch };
  pathUp(g, nowMs);
}

export const vfOutageMs = (g: GuestState, nowMs: number): number =>
  g.vfOutageMs + (g.vfPathDownSinceMs === null ? 0 : nowMs - g.vfPathDownSinceMs);
