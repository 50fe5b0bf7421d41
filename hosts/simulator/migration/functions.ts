import type { IoLedger, PassthroughFunction } from '../../../contract/migration';
import type { DestinationFacts } from '../../../contract/migration-fit';
import {
  DEFAULT_VPORT,
  allocateVf,
  createVPort,
  deleteVPort,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
  type VirtualFunction,
} from '../devices/network-adapter';
import {
  advance,
  ledgerOf,
  losePath,
  newMedium,
  sumLedgers,
  type GuestIo,
  type Medium,
  type PathName,
} from '../devices/guest-io';
import { guestBindsVf, guestLosesVf, guestOfferedVf, guestSwitchesToVf } from '../devices/guest';
import * as adapter from '../devices/synthetic-network-adapter';
import {
  assignNewDevice,
  connectDevice,
  createBusInterface,
  resetBusInterface,
  unassignDevice,
} from '../devices/vpci-vsp';
import { identityOf } from '../identity';
import { refused } from '../legal-moves';
import type { CommandRunner } from '../operations/operation';
import type { Objects } from '../state';
import type { FunctionUnderWay, MigrationState } from './migration-state';

/**
 * The functions of a VM, by path: VF0 is passed through to the guest, VF1 is behind the emulated device. This file alone
 * knows where the simulator keeps them.
 */
const owner = (vmId: string, path: PathName) =>
  path === 'passthrough' ? vmId : `${vmId}/emulated`;

export function passthroughFunctions(o: Objects): PassthroughFunction[] {
  const identity = identityOf(o);
  return identity === null
    ? []
    : [{ adapterId: 'nic-0', kind: 'network', identity, namespace: null }];
}

export const functionOf = (o: Objects, path: PathName): VirtualFunction | undefined =>
  vfOf(o.pf, owner(o.vm.vmId, path));

export const hasFunctions = (o: Objects, paths: readonly PathName[]): boolean =>
  paths.every((path) => functionOf(o, path) !== undefined);

/** What was kept here for this VM by an earlier attempt is as good as free for it. */
export function destinationFacts(o: Objects): DestinationFacts {
  const { host, pf } = o;
  const own = (['passthrough', 'emulated'] as const).filter((path) => hasFunctions(o, [path]));
  return {
    hostId: host.hostId,
    stackVersion: host.versions.vmWorkerProcess,
    vmIds: host.vmIds,
    freeFunctions: { network: pf.iovVfCapacity - pf.iovVfUsage + own.length, nvme: 0 },
    namespaces: [],
  };
}

export function allocateFunctions(c: CommandRunner, paths: readonly PathName[]): void {
  for (const path of paths) {
    c.run('OID_NIC_SWITCH_ALLOCATE_VF', (o) => {
      if (functionOf(o, path) !== undefined) return;
      allocateVf(o.pf, owner(o.vm.vmId, path), o.vm.macAddress, o.nowMs);
    });
  }
}

const vportOf = (o: Objects, path: PathName) => {
  const vf = functionOf(o, path);
  return o.pf.vports.find((p) => p.vfId === vf?.vfId);
};

export const areExposed = (o: Objects, paths: readonly PathName[]): boolean =>
  paths.every((path) => vportOf(o, path) !== undefined) &&
  o.pf.filters.some((f) => f.macAddress === o.vm.macAddress);

/** Makes the functions ones that the VM's devices can stand on. */
export function exposeFunctions(c: CommandRunner, paths: readonly PathName[]): void {
  for (const path of paths) {
    c.run('OID_NIC_SWITCH_CREATE_VPORT', (o) => {
      const vf = functionOf(o, path);
      if (vf === undefined) throw refused(`${o.vm.vmId} has no function for the ${path} path.`);
      if (vportOf(o, path) === undefined) createVPort(o.pf, vf.vfId);
    });
  }
  c.run('OID_RECEIVE_FILTER_SET_FILTER', ({ pf, vm }) => {
    if (pf.filters.some((f) => f.macAddress === vm.macAddress)) return;
    pf.filters.push({ macAddress: vm.macAddress, vportId: DEFAULT_VPORT });
  });
}

/** What arrives for the VM goes to the function of this path. */
export function steerTo(o: Objects, path: PathName): void {
  const vport = vportOf(o, path);
  if (vport === undefined) throw refused(`The ${path} path of ${o.vm.vmId} has no VPort.`);
  moveFilter(o.pf, o.vm.macAddress, vport.vportId);
}

/** In the legal order; functions that are not there any more need nothing. */
export function releaseFunctions(c: CommandRunner, paths: readonly PathName[]): void {
  for (const path of paths) {
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
      const vport = vportOf(o, path);
      const used = o.pf.filters.some((f) => vport !== undefined && f.vportId === vport.vportId);
      if (used) moveFilter(o.pf, o.vm.macAddress, DEFAULT_VPORT);
    });
    c.run('OID_NIC_SWITCH_DELETE_VPORT', (o) => {
      const vport = vportOf(o, path);
      if (vport !== undefined) deleteVPort(o.pf, vport.vfId);
    });
    c.run('OID_NIC_SWITCH_FREE_VF', (o) => {
      const vf = functionOf(o, path);
      if (vf !== undefined) freeVf(o.pf, vf.vfId);
    });
  }
}

/** The VM's address leaves this host with it. */
export function dropFilters({ pf, vm }: Objects): void {
  pf.filters = pf.filters.filter((f) => f.macAddress !== vm.macAddress);
}

/** The VM's function is taken off the guest, which has let go of it; it stays allocated, so that it can be given back. */
export function unassignFunction(o: Objects): void {
  const { vm, pf, nowMs } = o;
  unassignDevice(vm.vpci);
  adapter.markUnassigned(vm.adapter);
  const vf = functionOf(o, 'passthrough');
  if (vf !== undefined) resetVf(pf, vf.vfId, nowMs);
  vm.path = 'synthetic-only';
  vm.pathReason = 'its I/O goes by the emulated path';
}
export const isAssigned = ({ vm }: Objects): boolean => vm.vpci.device !== null;
export const isUnassigned = ({ vm }: Objects): boolean => vm.vpci.device === null;

/** Bus, device, connection and flags, as for any VF that a running guest gets. */
export function assignFunction(c: CommandRunner): void {
  c.run('VPCI.CreateBus', ({ vm }) => {
    if (vm.vpci.interface.state === 'none') createBusInterface(vm.vpci, vm.workerProcess.number);
  });
  c.run('VPCI.AssignDevice', (o) => {
    const { vm, host } = o;
    if (vm.vpci.interface.state !== 'created') return;
    const vf = functionOf(o, 'passthrough');
    if (vf === undefined) throw refused(`${vm.vmId} has no function to be assigned.`);
    host.nextLuid += 1;
    const luid = `00000000:${host.nextLuid.toString(16).padStart(8, '0')}`;
    assignNewDevice(vm.vpci, vm.vmId, vf.vfId, luid);
  });
  c.run('VPCI.ConnectDevice', ({ vm }) => {
    if (vm.vpci.interface.state === 'bound') connectDevice(vm.vpci);
  });
  c.run('SyntheticNic.MarkAssigned', ({ vm }) => {
    adapter.markAssigned(vm.adapter, vm.configuredIovWeight);
  });
}

export function offerFunction({ vm, nowMs }: Objects): void {
  guestOfferedVf(vm.guest, nowMs);
}
export function bindFunction(o: Objects): void {
  const vf = functionOf(o, 'passthrough');
  if (vf === undefined) throw refused(`${o.vm.vmId} has no function to be bound.`);
  guestBindsVf(o.vm.guest, vf, o.nowMs);
}
export function useFunction(o: Objects): void {
  const vf = functionOf(o, 'passthrough');
  if (vf === undefined) throw refused(`${o.vm.vmId} has no function to be used.`);
  if (o.vm.guest.dataPath !== 'vf') guestSwitchesToVf(o.vm.guest, vf, o.nowMs);
  o.vm.path = 'reattached';
  o.vm.pathReason = 'it was migrated: its functions are others';
}
export const isUsed = ({ vm }: Objects): boolean => vm.guest.dataPath === 'vf';
export function ejectFunction({ vm, nowMs }: Objects): void {
  if (vm.guest.dataPath === 'vf') guestLosesVf(vm.guest, 'eject', nowMs);
}

/** The guest sees the emulated device come and go as well. */
export function guestSeesEmulated({ vm, nowMs }: Objects, kind: 'offer' | 'eject'): void {
  vm.guest.events.push({ atMs: nowMs, kind });
}

/** A VM as it starts at another host: everything that belongs to the host it came from is new. */
export function arriveWithout(vm: Objects['vm']): void {
  vm.vpci.device = null;
  if (vm.vpci.interface.state !== 'none') resetBusInterface(vm.vpci);
  vm.vpci.hold = null;
  vm.adapter = { ...adapter.createAdapter(), state: 'Paused', optimizations: 'enabled' };
  vm.nic = { state: 'connected', saving: 'none', nextExtension: 0, blobs: [], restored: [] };
  vm.custody = null;
  vm.vfAbandoned = null;
}

export const startMedia = (functions: readonly PassthroughFunction[]): Record<string, Medium> =>
  Object.fromEntries(functions.map(({ adapterId }) => [adapterId, newMedium()]));

/** Each function under way, with what it ends at. */
export function eachIo(
  o: Objects,
  look: (io: GuestIo, medium: Medium, moved: FunctionUnderWay) => void,
): void {
  for (const moved of o.vm.migration?.functions ?? []) {
    const medium = o.media?.[moved.adapterId];
    if (medium === undefined) throw refused(`Nobody counts the I/O of ${moved.adapterId}.`);
    look(moved.io, medium, moved);
  }
}

export const everyIo = ({ functions }: MigrationState, holds: (io: GuestIo) => boolean): boolean =>
  functions.every(({ io }) => holds(io));

export function ledger(o: Objects): IoLedger {
  const ledgers: IoLedger[] = [];
  eachIo(o, (io, medium) => {
    advance(io, medium, o.nowMs);
    ledgers.push(ledgerOf(io, medium));
  });
  return sumLedgers(ledgers);
}

/** A fault: from now on nothing that the passthrough path has is executed. */
export function keepCommands({ vm }: Objects): void {
  for (const { io } of vm.migration?.functions ?? []) {
    if (io.paths.passthrough !== null) io.paths.passthrough.stuck = true;
  }
}

/** The function goes without a word, and what it had under way with it. */
export function losePassthrough(o: Objects): void {
  if (o.media == null) return;
  eachIo(o, (io, medium) => {
    if (io.paths.passthrough !== null) losePath(io, medium, 'passthrough', o.nowMs);
  });
}
