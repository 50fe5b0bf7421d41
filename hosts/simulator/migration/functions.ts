import type { IoLedger, Namespace, PassthroughFunction } from '../../../contract/migration';
import type { DestinationFacts, PhysicalFunctionFacts } from '../../../contract/migration-fit';
import {
  forceOffVf,
  guestBindsVf,
  guestLosesVf,
  guestOfferedVf,
  guestSwitchesToVf,
} from '../devices/guest';
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
import {
  DEFAULT_VPORT,
  FUNCTION_COMMANDS,
  allocateVf,
  createVPort,
  deleteVPort,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
  type PhysicalFunctionState,
  type VirtualFunction,
} from '../devices/physical-function';
import * as vdev from '../devices/synthetic-network-adapter';
import {
  assignNewDevice,
  connectDevice,
  createBusInterface,
  resetBusInterface,
  unassignDevice,
} from '../devices/vpci-vsp';
import { identityOf } from '../identity';
import { refused } from '../../engine/refused';
import { eachAdapter } from '../operations/each-adapter';
import type { AdapterCommandRunner } from '../operations/operation';
import type { AdapterObjects, AdapterState, HostState, Objects, VmState } from '../state';
import type { FunctionUnderWay } from './migration-state';

/**
 * The functions of a VM's adapter, by path: VF0 is passed through to the guest; VF1, which is behind the emulated device, has
 * that device as its owner.
 */
const ownerOf = (o: AdapterObjects, path: PathName) =>
  path === 'passthrough' ? o : { ...o, adapter: { adapterId: `${o.adapter.adapterId}/emulated` } };

export const functionOf = (o: AdapterObjects, path: PathName): VirtualFunction | undefined =>
  vfOf(ownerOf(o, path));

/** Where the hosts of a fleet find the namespaces of their VMs, unless a device is said to reach another storage. */
const SHARED_STORAGE = 'nqn.2014-08.org.nvmexpress:holdfast:shared-storage';
const subsystemOf = ({ kind, subsystemNqn }: PhysicalFunctionState): string | null =>
  kind === 'nvme' ? (subsystemNqn ?? SHARED_STORAGE) : null;

/** Each NVMe controller of a VM is for a namespace of its own, which is the VM's wherever it runs. */
function namespaceOf({ adapter, pf, vm }: AdapterObjects): Namespace | null {
  const subsystemNqn = subsystemOf(pf);
  if (subsystemNqn === null) return null;
  const nvmes = vm.adapters.filter(({ kind }) => kind === 'nvme');
  const nguid = adapter.vpci.instanceGuid.replaceAll('-', '');
  return { subsystemNqn, nsid: nvmes.indexOf(adapter) + 1, nguid };
}

export const passthroughFunctions = (o: Objects): PassthroughFunction[] =>
  eachAdapter(o).flatMap((of) => {
    const identity = identityOf(of);
    const { adapterId, kind } = of.adapter;
    return identity === null ? [] : [{ adapterId, kind, identity, namespace: namespaceOf(of) }];
  });

export function destinationFacts(
  host: HostState,
  pfs: readonly PhysicalFunctionState[],
  vmId: string,
): DestinationFacts {
  // What an earlier attempt has kept for this VM is as good as free for it.
  const isKept = (vf: VirtualFunction) => vf.ownerVmId === vmId && !host.vmIds.includes(vmId);
  return {
    hostId: host.hostId,
    stackVersion: host.versions.vmWorkerProcess,
    vmIds: host.vmIds,
    physicalFunctions: freeFunctions(pfs, isKept),
  };
}

/** What VMs that come can get. */
export const freeFunctions = (
  pfs: readonly PhysicalFunctionState[],
  isAsGoodAsFree: (vf: VirtualFunction) => boolean = () => false,
): PhysicalFunctionFacts[] =>
  pfs.map((pf) => ({
    pfId: pf.pfId,
    kind: pf.kind,
    free: pf.iovVfCapacity - pf.iovVfUsage + pf.vfs.filter(isAsGoodAsFree).length,
    subsystemNqn: subsystemOf(pf),
  }));

export const movedOf = ({ vm, adapter }: AdapterObjects): FunctionUnderWay | undefined =>
  vm.migration?.functions.find(({ adapterId }) => adapterId === adapter.adapterId);

/** The I/O of an adapter's function, and what it ends at. */
export function ioOf(o: AdapterObjects): readonly [GuestIo, Medium] {
  const moved = movedOf(o);
  const medium = o.media?.[o.adapter.adapterId];
  if (moved === undefined || medium === undefined)
    throw refused(`Nobody counts the I/O of ${o.adapter.adapterId} of ${o.vm.vmId}.`);
  return [moved.io, medium];
}

export function allocateFunction(c: AdapterCommandRunner, path: PathName): void {
  // To ask for one that is there already would be denied.
  if (c.look((o) => functionOf(o, path) !== undefined)) return;
  c.run(FUNCTION_COMMANDS[c.kind].allocate, (o) => {
    allocateVf(o.pf, ownerOf(o, path), o.adapter.macAddress, o.nowMs);
  });
}

const vportOf = (o: AdapterObjects, path: PathName) => {
  const vf = functionOf(o, path);
  return o.pf.vports.find((p) => p.vfId === vf?.vfId);
};

export const isExposed = (o: AdapterObjects, path: PathName): boolean =>
  functionOf(o, path) !== undefined && movedOf(o)?.exposed.includes(path) === true;

/** Makes a function one that a device of the VM can stand on: with a port at the switch, or with the VM's namespace. */
export function exposeFunction(c: AdapterCommandRunner, path: PathName): void {
  const expose = c.kind === 'network' ? 'OID_NIC_SWITCH_CREATE_VPORT' : 'NVMe.AttachNamespace';
  c.run(expose, (o) => {
    const vf = functionOf(o, path);
    if (vf === undefined) throw refused(`${o.vm.vmId} has no function for the ${path} path.`);
    if (c.kind === 'network' && vportOf(o, path) === undefined) createVPort(o.pf, vf.vfId);
    const moved = movedOf(o);
    if (moved?.exposed.includes(path) === false) moved.exposed.push(path);
  });
}

/** What arrives for a NIC goes to the function of this path. */
export function steerTo(o: AdapterObjects, path: PathName): void {
  if (o.adapter.kind !== 'network') return;
  const vport = vportOf(o, path);
  if (vport === undefined) throw refused(`The ${path} path of ${o.vm.vmId} has no VPort.`);
  moveFilter(o.pf, o.adapter.macAddress, vport.vportId);
}

/** The addresses of the VM are known at the switch of the host that it is to run on, and only there. */
export function addFilter({ pf, adapter }: AdapterObjects): void {
  if (pf.filters.some((f) => f.macAddress === adapter.macAddress)) return;
  pf.filters.push({ macAddress: adapter.macAddress, vportId: DEFAULT_VPORT });
}
export function dropFilter({ pf, adapter }: AdapterObjects): void {
  pf.filters = pf.filters.filter((f) => f.macAddress !== adapter.macAddress);
}

/** In the legal order; functions that are not there any more need nothing. */
export function releaseFunction(c: AdapterCommandRunner, path: PathName): void {
  if (c.look((o) => functionOf(o, path)) === undefined) return;
  if (c.kind === 'network') {
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
      const vport = vportOf(o, path);
      const used = o.pf.filters.some((f) => vport !== undefined && f.vportId === vport.vportId);
      if (used) moveFilter(o.pf, o.adapter.macAddress, DEFAULT_VPORT);
    });
    c.run('OID_NIC_SWITCH_DELETE_VPORT', (o) => {
      const vport = vportOf(o, path);
      if (vport !== undefined) deleteVPort(o.pf, vport.vfId);
    });
  }
  c.run(FUNCTION_COMMANDS[c.kind].free, (o) => {
    const vf = functionOf(o, path);
    if (vf !== undefined) freeVf(o.pf, vf.vfId);
  });
}

/** The function is taken off the guest, which has let go of it; it stays allocated, so that it can be given back. */
export function unassignFunction(o: AdapterObjects): void {
  const { adapter, pf, nowMs } = o;
  unassignDevice(adapter.vpci);
  vdev.markUnassigned(adapter.vdev);
  const vf = functionOf(o, 'passthrough');
  if (vf !== undefined) resetVf(pf, vf.vfId, nowMs);
  adapter.path = 'synthetic-only';
  adapter.pathReason = 'its I/O goes by the emulated path';
}
export const isAssigned = ({ adapter }: AdapterObjects): boolean => adapter.vpci.device !== null;

/** Bus, device, connection and flags, as for any VF that a running guest gets. */
export function assignFunction(c: AdapterCommandRunner): void {
  c.run('VPCI.CreateBus', ({ vm, adapter: { vpci } }) => {
    if (vpci.interface.state === 'none') createBusInterface(vpci, vm.workerProcess.number);
  });
  c.run('VPCI.AssignDevice', (o) => {
    const { vpci } = o.adapter;
    if (vpci.interface.state !== 'created') return;
    const vf = functionOf(o, 'passthrough');
    if (vf === undefined) throw refused(`${o.vm.vmId} has no function to be assigned.`);
    o.host.nextLuid += 1;
    const luid = `00000000:${o.host.nextLuid.toString(16).padStart(8, '0')}`;
    assignNewDevice(vpci, o.vm.vmId, vf.vfId, luid);
  });
  c.run('VPCI.ConnectDevice', ({ adapter: { vpci } }) => {
    if (vpci.interface.state === 'bound') connectDevice(vpci);
  });
  c.run('SyntheticNic.MarkAssigned', ({ adapter }) => {
    vdev.markAssigned(adapter.vdev, adapter.configuredIovWeight);
  });
}

export function offerFunction({ adapter, nowMs }: AdapterObjects): void {
  guestOfferedVf(adapter.guest, nowMs);
}
export function bindFunction(o: AdapterObjects): void {
  const vf = functionOf(o, 'passthrough');
  if (vf === undefined) throw refused(`${o.vm.vmId} has no function to be bound.`);
  guestBindsVf(o.adapter.guest, vf, o.nowMs);
}
export function useFunction(o: AdapterObjects): void {
  const { adapter, nowMs } = o;
  const vf = functionOf(o, 'passthrough');
  if (vf === undefined) throw refused(`${o.vm.vmId} has no function to be used.`);
  if (adapter.guest.dataPath !== 'vf') guestSwitchesToVf(adapter.guest, vf, nowMs);
  adapter.path = 'reattached';
  adapter.pathReason = 'it was migrated: its function is another one';
}
export const isUsed = ({ adapter }: AdapterObjects): boolean => adapter.guest.dataPath === 'vf';
export function ejectFunction({ adapter: { guest }, nowMs }: AdapterObjects): void {
  if (guest.dataPath === 'vf') guestLosesVf(guest, 'eject', nowMs);
  guest.dataPath = 'emulated';
}

/** The guest sees the emulated device come and go as well. */
export function guestSeesEmulated(o: AdapterObjects, kind: 'offer' | 'eject'): void {
  const { guest } = o.adapter;
  guest.events.push({ atMs: o.nowMs, kind });
  if (kind === 'eject' && guest.dataPath === 'emulated') forceOffVf(guest, o.nowMs);
}

/** An adapter of a VM that comes from elsewhere: all of it that belonged to the other host is new. */
export function arriveWithout(adapter: AdapterState, pfId: string): AdapterState {
  const vpci = { ...adapter.vpci, device: null, hold: null };
  if (vpci.interface.state !== 'none') resetBusInterface(vpci);
  return {
    ...adapter,
    pfId,
    vpci,
    vdev: { ...vdev.createAdapter(), state: 'Paused', optimizations: 'enabled' },
    nic: { state: 'connected', saving: 'none', nextExtension: 0, blobs: [], restored: [] },
    custody: null,
    vfAbandoned: null,
  };
}

export const startMedia = (functions: readonly PassthroughFunction[]): Record<string, Medium> =>
  Object.fromEntries(functions.map(({ adapterId }) => [adapterId, newMedium()]));

/** The VM's adapters whose functions are moved. */
export const eachMoved = (o: Objects): AdapterObjects[] =>
  eachAdapter(o).filter((of) => movedOf(of) !== undefined);

export const everyIo = (vm: VmState, holds: (io: GuestIo) => boolean): boolean =>
  (vm.migration?.functions ?? []).every(({ io }) => holds(io));

export function ledger(o: Objects): IoLedger {
  return sumLedgers(
    eachMoved(o).map((of) => {
      const [io, medium] = ioOf(of);
      advance(io, medium, o.nowMs);
      return ledgerOf(io, medium);
    }),
  );
}

/** A fault: from now on nothing that the passthrough paths have is executed. */
export function keepCommands({ vm }: Objects): void {
  for (const { io } of vm.migration?.functions ?? [])
    if (io.paths.passthrough !== null) io.paths.passthrough.stuck = true;
}

/** The function goes without a word, and what it had under way with it. */
export function losePassthrough(o: AdapterObjects): void {
  if (movedOf(o) === undefined || o.media == null) return;
  const [io, medium] = ioOf(o);
  if (io.paths.passthrough !== null) losePath(io, medium, 'passthrough', o.nowMs);
}
