import { HoldfastError } from '../../../contract/failures';
import {
  SETTLED_MS,
  advance,
  giveUpPath,
  openCommands,
  plugPath,
  preferPath,
  unplugPath,
} from '../devices/guest-io';
import { refused } from '../../engine/refused';
import type { AdapterCommandRunner } from '../operations/operation';
import type { AdapterObjects, Objects } from '../state';
import {
  assignFunction,
  bindFunction,
  functionOf,
  guestSeesEmulated,
  ioOf,
  movedOf,
  offerFunction,
  releaseFunction,
  steerTo,
  useFunction,
} from './functions';
import type { MigrationState } from './migration-state';

export function migrationOf({ vm }: Objects): MigrationState {
  if (vm.migration === undefined) throw refused(`${vm.vmId} is not being migrated.`);
  return vm.migration;
}

/** The emulated path is for functions that are passed through, and for the method that is named after it. */
export const notByEmulatedPath = (o: AdapterObjects): string | undefined =>
  movedOf(o) === undefined ? 'no function is passed through' : hasNoEmulatedPath(o);
export const hasNoEmulatedPath = ({ vm: { migration } }: Objects): string | undefined =>
  migration?.method !== 'emulated-path'
    ? 'the method has no emulated path'
    : migration.functions.length === 0
      ? 'no function is passed through to the VM'
      : undefined;

/** The same at both ends: a running guest is given its function, and finds a second path. */
export function giveFunction(c: AdapterCommandRunner): void {
  const { allocated } = c.run('SyntheticNic.DetermineVfAllocated', (o) => ({
    allocated: functionOf(o, 'passthrough') !== undefined,
  }));
  if (!allocated)
    throw new HoldfastError('VirtualFunctionLost', 'The VM has no function any more.');
  assignFunction(c);
  c.run('VMBus.Offer', (o) => {
    const [io] = ioOf(o);
    if (io.paths.passthrough === null && !o.adapter.guest.vfDriverBound) offerFunction(o);
  });
  c.run('Guest.BindVfDriver', (o) => {
    const [io, medium] = ioOf(o);
    if (io.paths.passthrough !== null) return;
    bindFunction(o);
    plugPath(io, medium, 'passthrough', o.nowMs);
  });
}

/** What is open on the emulated path is done first, so that every queue keeps its order. */
export function preferPassthrough(c: AdapterCommandRunner): void {
  const flip = c.kind === 'network' ? 'DeviceMapper.MapPassthrough' : 'NVMe.ChangeAnaState';
  c.run(flip, (o) => {
    const [io, medium] = ioOf(o);
    preferPath(io, medium, 'passthrough', o.nowMs);
    steerTo(o, 'passthrough');
  });
  c.run(c.kind === 'network' ? 'NVSP.SwitchDataPath' : 'Guest.UseController', useFunction);
}

/** How often it is looked whether the emulated device has completed what it had; it is our own, so it does. */
const LOOKS = 50;

export async function takeEmulatedAway(c: AdapterCommandRunner): Promise<void> {
  for (let look = 1; ; look += 1) {
    const open = c.run('EmulatedDevice.VerifyCompletions', (o) => {
      const [io, medium] = ioOf(o);
      advance(io, medium, o.nowMs);
      return openCommands(io, 'emulated');
    });
    if (open === 0) break;
    if (look === LOOKS) {
      const what = `The emulated path has ${String(open)} open commands.`;
      throw new HoldfastError('HostStepFailed', what);
    }
    await c.sleep(SETTLED_MS);
  }
  c.run('EmulatedDevice.Unplug', (o) => {
    const [io, medium] = ioOf(o);
    if (io.paths.emulated === null) return;
    unplugPath(io, medium, 'emulated', o.nowMs);
    guestSeesEmulated(o, 'eject');
  });
  releaseFunction(c, 'emulated');
}

/** Without a function to go back to the guest falls back on what else it has. */
export function giveEmulatedUp(c: AdapterCommandRunner): void {
  c.run('EmulatedDevice.Unplug', (o) => {
    const [io, medium] = ioOf(o);
    if (io.paths.emulated === null) return;
    giveUpPath(io, medium, 'emulated', o.nowMs);
    guestSeesEmulated(o, 'eject');
  });
  releaseFunction(c, 'emulated');
}
