import { custodianName } from './devices/vm-worker-process';
import { DEFAULT_VPORT, isVfOf, vfOf } from './devices/physical-function';
import { eachAdapter } from './operations/each-adapter';
import type { AdapterObjects, Objects } from './state';

/** One line for each invariant of the domain reference; `undefined` means that it holds. */
type Invariants<O> = readonly (readonly [id: string, check: (o: O) => string | undefined])[];

const held = ({ adapter }: AdapterObjects) =>
  adapter.custody !== null && !adapter.custody.lost ? adapter.custody : undefined;

/** Checked after every command, of each adapter. */
const ADAPTER_ALWAYS: Invariants<AdapterObjects> = [
  [
    'I1',
    (o) => {
      if (held(o) === undefined) return undefined;
      const { device } = o.adapter.vpci;
      if (vfOf(o) === undefined) return 'the held VF is not allocated';
      if (device === null) return 'the held VF device is not assigned';
      return device.connected ? undefined : 'the held VF device is not connected';
    },
  ],
  [
    'I5',
    (o) =>
      o.pf.vfs.filter((vf) => isVfOf(vf, o)).length > 1
        ? 'the adapter has more than one VF'
        : undefined,
  ],
  [
    'I7',
    ({ pf, adapter }) => {
      if (!pf.vports.every((p) => pf.vfs.some((vf) => vf.vfId === p.vfId)))
        return 'a VPort points at a VF that is not allocated';
      const filter = pf.filters.find((f) => f.macAddress === adapter.macAddress);
      if (
        filter !== undefined &&
        filter.vportId !== DEFAULT_VPORT &&
        !pf.vports.some((p) => p.vportId === filter.vportId)
      )
        return 'a receive filter points at a VPort that does not exist';
      const { interface: bus, device } = adapter.vpci;
      const bound = bus.state === 'bound' || bus.state === 'active';
      return bound && device === null ? 'a bus interface is bound to no VF device' : undefined;
    },
  ],
  [
    'I11',
    (o) => {
      const { device } = o.adapter.vpci;
      if (held(o) === undefined || device === null) return undefined;
      if (device.iommuAttachCount !== 1)
        return `the held device has IOMMU attach count ${String(device.iommuAttachCount)}`;
      if (!o.vm.partition.pagesPinned) return 'guest pages of a held device are not pinned';
      return device.writesWhileHeld === 0 ? undefined : 'a held device was written to';
    },
  ],
];

/** Checked after every command, of the VM and its host. */
const ALWAYS: Invariants<Objects> = [
  [
    'I4',
    ({ vm }) =>
      vm.workerProcess.state === 'exited' &&
      vm.record?.commit == null &&
      vm.partition.state !== 'running' &&
      vm.migration?.relinquished == null
        ? 'the worker process ended without a committed record'
        : undefined,
  ],
  // At most one process has the partition, and opens the VF: a successor only once it has taken the VM over.
  [
    'I12',
    ({ vm: { partition, workerProcess, successor, adapters } }) => {
      if (partition.state === 'gone') return undefined;
      if (workerProcess.state === 'exited' && partition.custodian === custodianName(workerProcess))
        return 'a worker process that has ended still has the partition';
      if (successor === null) return undefined;
      const next = successor.workerProcess;
      if (next.state === 'running') return 'a prepared successor runs beside the worker process';
      if (partition.custodian === custodianName(next))
        return 'a prepared successor has the partition already';
      return adapters.some(({ vpci }) => vpci.interface.madeBy === next.number)
        ? 'a prepared successor has opened a bus interface already'
        : undefined;
    },
  ],
  // Exactly one host runs a migrated VM: never again the one that has relinquished it.
  [
    'M1',
    ({ vm }) =>
      vm.migration?.relinquished != null && vm.partition.state === 'running'
        ? `it runs here although it was relinquished to ${vm.migration.peer}`
        : undefined,
  ],
  [
    'I9',
    ({ pfs }) => {
      const wrong = pfs.find(
        (pf) => pf.vfs.length !== pf.iovVfUsage || pf.iovVfUsage > pf.iovVfCapacity,
      );
      return wrong === undefined
        ? undefined
        : `the VF ledger says ${String(wrong.iovVfUsage)} of ${String(wrong.iovVfCapacity)}, ${String(wrong.vfs.length)} are allocated`;
    },
  ],
];

/** Checked when a step is over and the VM runs: in between, flags and assignment change one after the other. */
const ADAPTER_AT_REST: Invariants<AdapterObjects> = [
  [
    'I6',
    ({ vm, adapter: { vdev, vpci } }) => {
      if (vm.partition.state !== 'running' || vdev.state !== 'Running') return undefined;
      const flags = vdev.vfAssigned && vdev.vfIdAllocated && vdev.iovWeight > 0;
      const assigned = vpci.device !== null && vpci.interface.state === 'active';
      return flags === assigned
        ? undefined
        : `flags and IOV weight say ${flags ? 'assigned' : 'not assigned'}, the VF device is ${assigned ? '' : 'not '}assigned`;
    },
  ],
  [
    'I5',
    ({ vm, adapter: { guest, vpci } }) =>
      vm.partition.state === 'running' &&
      guest.dataPath === 'vf' &&
      vpci.interface.state !== 'active'
        ? `the guest uses a VF whose bus interface is ${vpci.interface.state}`
        : undefined,
  ],
];

/** Checks, counts and answers the breaches, worded for people. */
export function checkInvariants(o: Objects, when: 'command' | 'result'): string[] {
  const ofAdapter = when === 'result' ? [...ADAPTER_ALWAYS, ...ADAPTER_AT_REST] : ADAPTER_ALWAYS;
  const breaches: string[] = [];
  const check = <T>(invariants: Invariants<T>, objects: T, name: string) => {
    o.host.invariants.checked += invariants.length;
    for (const [id, holds] of invariants) {
      const breach = holds(objects);
      if (breach !== undefined) breaches.push(`${id}: ${breach} (${name})`);
    }
  };
  const { vmId, adapters } = o.vm;
  for (const of of eachAdapter(o))
    check(ofAdapter, of, adapters.length === 1 ? vmId : `${vmId}, ${of.adapter.adapterId}`);
  check(ALWAYS, o, vmId);
  return breaches;
}
