import { DEFAULT_VPORT, vfOf } from './devices/network-adapter';
import type { HostState, Objects } from './state';

/** One line for each invariant of the domain reference; `undefined` means that it holds. */
type Invariant = (o: Objects) => string | undefined;

const held = ({ vm }: Objects) => vm.custody !== null;

/** Checked after every command. */
const ALWAYS: Readonly<Record<string, Invariant>> = {
  I1: (o) => {
    if (!held(o) || o.vm.custody?.lost === true) return undefined;
    const vf = vfOf(o.pf, o.vm.vmId);
    if (vf === undefined) return 'the held VF is not allocated';
    if (o.vm.vpci.device === null) return 'the held VF device is not assigned';
    return o.vm.vpci.device.connected ? undefined : 'the held VF device is not connected';
  },
  I4: ({ vm }) =>
    vm.workerProcess.state === 'exited' &&
    vm.record?.commit == null &&
    vm.partition.state !== 'running' &&
    vm.migration?.relinquished == null
      ? 'the worker process ended without a committed record'
      : undefined,
  // Exactly one host runs a migrated VM: never again the one that has relinquished it.
  M1: ({ vm }) =>
    vm.migration?.relinquished != null && vm.partition.state === 'running'
      ? `it runs here although it was relinquished to ${vm.migration.peer}`
      : undefined,
  I5: ({ pf, vm }) =>
    pf.vfs.filter((vf) => vf.ownerVmId === vm.vmId).length > 1
      ? 'the adapter has more than one VF'
      : undefined,
  I7: ({ pf, vm }) => {
    if (!pf.vports.every((p) => pf.vfs.some((vf) => vf.vfId === p.vfId))) {
      return 'a VPort points at a VF that is not allocated';
    }
    const filter = pf.filters.find((f) => f.macAddress === vm.macAddress);
    if (
      filter !== undefined &&
      filter.vportId !== DEFAULT_VPORT &&
      !pf.vports.some((p) => p.vportId === filter.vportId)
    ) {
      return 'a receive filter points at a VPort that does not exist';
    }
    const bound = vm.vpci.interface.state === 'bound' || vm.vpci.interface.state === 'active';
    return bound && vm.vpci.device === null
      ? 'a bus interface is bound to no VF device'
      : undefined;
  },
  I9: ({ pf }) =>
    pf.vfs.length === pf.iovVfUsage && pf.iovVfUsage <= pf.iovVfCapacity
      ? undefined
      : `the VF ledger says ${String(pf.iovVfUsage)} of ${String(pf.iovVfCapacity)}, ${String(pf.vfs.length)} are allocated`,
  I11: (o) => {
    const device = o.vm.vpci.device;
    if (!held(o) || device === null || o.vm.custody?.lost === true) return undefined;
    if (device.iommuAttachCount !== 1) {
      return `the held device has IOMMU attach count ${String(device.iommuAttachCount)}`;
    }
    if (!o.vm.partition.pagesPinned) return 'guest pages of a held device are not pinned';
    return device.writesWhileHeld === 0 ? undefined : 'a held device was written to';
  },
};

/** Checked when a step is over and the VM runs: in between, flags and assignment change one after the other. */
const AT_REST: Readonly<Record<string, Invariant>> = {
  I6: ({ vm }) => {
    if (vm.partition.state !== 'running' || vm.adapter.state !== 'Running') return undefined;
    const flags = vm.adapter.vfAssigned && vm.adapter.vfIdAllocated && vm.adapter.iovWeight > 0;
    const assigned = vm.vpci.device !== null && vm.vpci.interface.state === 'active';
    return flags === assigned
      ? undefined
      : `flags and IOV weight say ${flags ? 'assigned' : 'not assigned'}, the VF device is ${assigned ? '' : 'not '}assigned`;
  },
  I5: ({ vm }) =>
    vm.partition.state === 'running' &&
    vm.guest.dataPath === 'vf' &&
    vm.vpci.interface.state !== 'active'
      ? `the guest uses a VF whose bus interface is ${vm.vpci.interface.state}`
      : undefined,
};

/** Checks, counts and answers the breaches, worded for people. */
export function checkInvariants(o: Objects, when: 'command' | 'result'): string[] {
  const checks = [...Object.entries(ALWAYS), ...(when === 'result' ? Object.entries(AT_REST) : [])];
  o.host.invariants.checked += checks.length;
  const breaches = checks.flatMap(([id, check]) => {
    const breach = check(o);
    return breach === undefined ? [] : [`${id}: ${breach} (${o.vm.vmId})`];
  });
  recordBreaches(o.host, breaches);
  return breaches;
}

/** A breach quarantines the host. */
export function recordBreaches(host: HostState, breaches: readonly string[]): void {
  if (breaches.length === 0) return;
  host.invariants.violations.push(...breaches);
  host.quarantine ??= `invariant breach: ${breaches.join('; ')}`;
}
