import * as z from 'zod';
import type { Beginning } from '../../contract/host';
import type { PhysicalFunctionState } from './devices/physical-function';
import { BOOT_ID } from '../engine/clock';
import { shiftMoments } from '../engine/moments';
import type { LatencyProfile } from './latency';
import { HOST_MOMENTS, PF_MOMENTS, VM_MOMENTS } from './moments';
import type { HostState, Objects, SimulatedHost, VmState } from './state';
import type { SimulatorStore } from './store';

/** Raised when the state of hosts changes so that an older one means something else. */
const STATE_VERSION = 4;

/** A simulated host as it was at one moment of its clock. */
export interface Simulation {
  readonly stateVersion: number;
  readonly hostTimeMs: number;
  readonly profile: LatencyProfile;
  readonly host: HostState;
  readonly pfs: readonly PhysicalFunctionState[];
  readonly vms: readonly VmState[];
}

/** The host, or one VM of it, as it is now, before the run changes anything. */
export function simulationNow(
  store: SimulatorStore,
  o: Objects | SimulatedHost,
  profile: LatencyProfile,
): Simulation {
  const { host, nowMs } = o;
  const now =
    'vm' in o
      ? { host: { ...host, vmIds: [o.vm.vmId] }, pfs: o.pfs, vms: [o.vm] }
      : { host, pfs: store.pfs(host.hostId), vms: o.vms() };
  return { stateVersion: STATE_VERSION, hostTimeMs: nowMs, profile, ...structuredClone(now) };
}

/** A simulated host cannot be made of what was recorded; the message says why and what to do. */
export class CannotRebuild extends Error {
  override readonly name = 'CannotRebuild';
}

/** What is needed to make the host; all else in it is its own, and is taken as it is. */
const simulation = z.object({
  stateVersion: z.literal(STATE_VERSION),
  hostTimeMs: z.number(),
  profile: z.intersection(z.looseObject({ timeScale: z.number() }), z.custom<LatencyProfile>()),
  host: z.intersection(
    z.looseObject({
      hostId: z.string(),
      seed: z.int(),
      vmIds: z.array(z.string()),
      generation: z.int(),
      journalSeq: z.int(),
    }),
    z.custom<HostState>(),
  ),
  pfs: z.array(
    z.intersection(
      z.looseObject({ pfId: z.string(), vfs: z.array(z.looseObject({ vfId: z.int() })) }),
      z.custom<PhysicalFunctionState>(),
    ),
  ),
  vms: z.array(
    z.intersection(z.looseObject({ vmId: z.string(), generation: z.int() }), z.custom<VmState>()),
  ),
});

/** Reads a beginning that was kept, as it comes out of a file. Fails with `CannotRebuild`. */
export function simulationOf({ simulation: recorded }: Beginning): Simulation {
  if (recorded === null) {
    throw new CannotRebuild(
      'The host was not a simulated one, so no simulated host can be made as it was.',
    );
  }
  const version = z.object({ stateVersion: z.int() }).safeParse(recorded);
  if (version.success && version.data.stateVersion !== STATE_VERSION) {
    throw new CannotRebuild(
      `The state of the host has version ${version.data.stateVersion}, this checkout makes hosts of version ${STATE_VERSION}: use the checkout that recorded it.`,
    );
  }
  const read = simulation.safeParse(recorded);
  if (read.success) return read.data;
  throw new CannotRebuild(
    `The state of the host is damaged: ${z.prettifyError(read.error).replaceAll('\n', ' ')}. Export the run again.`,
  );
}

/** The moment at which a host that was recorded goes on. */
export interface Moment {
  /** By the host's clock, see `hostNowMs`. */
  readonly hostMs: number;
  /** How much later that is than the recorded moment by the wall clock, ms. */
  readonly wallShiftMs: number;
}

/** The recorded host as if it were this moment now: as long to every deadline, and as long since all that was. */
export function goneOn(
  recorded: Simulation,
  { hostMs, wallShiftMs }: Moment,
): Pick<Simulation, 'host' | 'pfs' | 'vms'> {
  const { host, pfs, vms } = structuredClone(recorded);
  const by = { host: hostMs - recorded.hostTimeMs, wall: wallShiftMs };
  shiftMoments(host, HOST_MOMENTS, by);
  for (const pf of pfs) shiftMoments(pf, PF_MOMENTS, by);
  for (const vm of vms) shiftMoments(vm, VM_MOMENTS, by);
  // Nobody here performs what was under way there, whichever process has that number on this machine.
  for (const owner of [host, ...pfs, ...vms])
    if (owner.mailbox !== null) owner.mailbox = { ...owner.mailbox, ended: true };
  return { host: { ...host, bootId: BOOT_ID }, pfs, vms };
}
