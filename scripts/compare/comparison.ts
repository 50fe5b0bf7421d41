import { RING_SIZE } from '../../hosts/open-hosts';
import { spreadOf } from '../report/figures';
import { WAYS, WAY_NAMES, holdsTheVf, type VmFigures, type Way } from './ways';

/** What `npm run compare -- --json` prints. Times in ms. */
export interface Comparison {
  readonly profile: string;
  readonly timeScale: number;
  readonly seed: number;
  readonly packetsPerSecond: number;
  readonly ways: readonly WayFigures[];
}

export interface WayFigures {
  readonly way: Way;
  readonly name: string;
  readonly blackoutMs: Figures;
  readonly vfOutageMs: Figures;
  /** By VM, median. */
  readonly guestVisibleEvents: number;
  readonly packetsLost: Figures;
  readonly steps: number;
  readonly identityKept: boolean;
  readonly vms: readonly (VmFigures & { readonly packetsLost: number })[];
}

interface Figures {
  readonly median: number;
  readonly max: number;
}

/**
 * Packets that arrive while the VM is dark and that nothing keeps. The device of a held VF goes on writing into its ring,
 * which the guest reads when it is back; without one, nothing takes them in for a VM that stands still.
 */
export function packetsLost(way: Way, blackoutMs: number, packetsPerSecond: number): number {
  const arrived = Math.round((blackoutMs / 1_000) * packetsPerSecond);
  return Math.max(0, arrived - (holdsTheVf(way) ? RING_SIZE : 0));
}

export function comparison(
  of: Pick<Comparison, 'profile' | 'timeScale' | 'seed' | 'packetsPerSecond'>,
  measured: ReadonlyMap<Way, readonly VmFigures[]>,
): Comparison {
  const figures = (numbers: readonly number[]): Figures => {
    const spread = spreadOf(numbers.map((ms) => ({ ms })));
    return { median: spread?.median.ms ?? 0, max: spread?.max.ms ?? 0 };
  };
  return {
    ...of,
    ways: WAY_NAMES.map((way) => {
      const vms = (measured.get(way) ?? []).map((vm) => ({
        ...vm,
        packetsLost: packetsLost(way, vm.blackoutMs, of.packetsPerSecond),
      }));
      return {
        way,
        name: WAYS[way],
        blackoutMs: figures(vms.map((vm) => vm.blackoutMs)),
        vfOutageMs: figures(vms.map((vm) => vm.vfOutageMs)),
        guestVisibleEvents: figures(vms.map((vm) => vm.guestVisibleEvents)).median,
        packetsLost: figures(vms.map((vm) => vm.packetsLost)),
        steps: figures(vms.map((vm) => vm.steps)).median,
        identityKept: vms.every((vm) => vm.identityKept),
        vms,
      };
    }),
  };
}

/** What the numbers are, and what they are not. */
export const HONESTY = [
  'Simulated is the host: devices, guests and how long each of their operations takes (the latency profile says from where each figure is, many are inferred). Real are the workflows, the Temporal server, its hand-offs, and every process and disk write between two steps.',
  'A VM of one name draws the same latencies on every host, and each way has hosts of its own; one way runs after the other, with nothing else to do.',
  'A servicing run updates the worker processes of the VMs of its host one by one, each VM dark for its own steps only; a migration moves a VM away and leaves the host as it is. Both make room for an update: of a host, they take different times.',
  'The memory of a VM that migrates is copied while it runs; how long that takes is not simulated, since the VM is not dark. What is left of it when the VM stands still is one latency of the profile (`receiveVm`).',
  'The blackout of a migration is partly by the clock of its run, with the hand-offs between two hosts in it; that of a save and restore is by the host’s clock alone.',
  'Packets lost are computed from each blackout at the rate given, not simulated: a held VF’s device goes on writing into its ring, the other ways have nothing that receives while a VM is dark.',
] as const;
