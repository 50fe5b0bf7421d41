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
import { refused } from '../legal-moves';
import type { CommandRunner } from '../operations/operation';
import type { Objects } from '../state';
import {
  assignFunction,
  bindFunction,
  eachIo,
  everyIo,
  functionOf,
  guestSeesEmulated,
  offerFunction,
  releaseFunctions,
  steerTo,
  useFunction,
} from './functions';
import type { MigrationState } from './migration-state';

export function migrationOf({ vm }: Objects): MigrationState {
  if (vm.migration === undefined) throw refused(`${vm.vmId} is not being migrated.`);
  return vm.migration;
}

/** The emulated path is for functions that are passed through, and for the method that is named after it. */
export const byEmulatedPath = ({ vm: { migration } }: Objects): string | undefined =>
  migration?.method !== 'emulated-path'
    ? 'the method has no emulated path'
    : migration.functions.length === 0
      ? 'no function is passed through to the VM'
      : undefined;

export const kindsOf = (c: CommandRunner) =>
  c.run('Hypervisor.ReadFunctions', (o) => [
    ...new Set(migrationOf(o).functions.map((moved) => moved.kind)),
  ]);

/** The same at both ends: a running guest is given its function, and finds a second path. */
export function giveFunction(c: CommandRunner): void {
  c.run('SyntheticNic.DetermineVfAllocated', (o) => {
    if (functionOf(o, 'passthrough') !== undefined) return;
    throw new HoldfastError('VirtualFunctionLost', `${o.vm.vmId} has no function any more.`);
  });
  assignFunction(c);
  c.run('VMBus.Offer', (o) => {
    if (everyIo(migrationOf(o), (io) => io.paths.passthrough === null)) offerFunction(o);
  });
  c.run('Guest.BindVfDriver', (o) => {
    bindFunction(o);
    eachIo(o, (io, medium) => {
      if (io.paths.passthrough === null) plugPath(io, medium, 'passthrough', o.nowMs);
    });
  });
}

export function preferPassthrough(c: CommandRunner): void {
  for (const kind of kindsOf(c)) {
    c.run(kind === 'network' ? 'DeviceMapper.MapPassthrough' : 'NVMe.ChangeAnaState', (o) => {
      eachIo(o, (io, medium, moved) => {
        if (moved.kind === kind) preferPath(io, medium, 'passthrough', o.nowMs);
      });
      if (kind === 'network') steerTo(o, 'passthrough');
    });
  }
  c.run('NVSP.SwitchDataPath', useFunction);
}

/** How often it is looked whether the emulated device has completed what it had; it is our own, so it does. */
const LOOKS = 50;

export async function takeEmulatedAway(c: CommandRunner): Promise<void> {
  for (let look = 1; ; look += 1) {
    const open = c.run('EmulatedDevice.VerifyCompletions', (o) => {
      let left = 0;
      eachIo(o, (io, medium) => {
        advance(io, medium, o.nowMs);
        left += openCommands(io, 'emulated');
      });
      return left;
    });
    if (open === 0) break;
    if (look === LOOKS)
      throw new HoldfastError(
        'HostStepFailed',
        `The emulated path has ${String(open)} open commands.`,
      );
    await c.sleep(SETTLED_MS);
  }
  c.run('EmulatedDevice.Unplug', (o) => {
    eachIo(o, (io, medium) => {
      if (io.paths.emulated === null) return;
      unplugPath(io, medium, 'emulated', o.nowMs);
      guestSeesEmulated(o, 'eject');
    });
  });
  releaseFunctions(c, ['emulated']);
}

/** Without a function to go back to the guest falls back on its own synthetic adapter, if it has one. */
export function giveEmulatedUp(c: CommandRunner): void {
  c.run('EmulatedDevice.Unplug', (o) => {
    eachIo(o, (io, medium) => {
      if (io.paths.emulated === null) return;
      giveUpPath(io, medium, 'emulated', o.nowMs);
      guestSeesEmulated(o, 'eject');
    });
  });
  releaseFunctions(c, ['emulated']);
}
