import { createHash } from 'node:crypto';
import {
  allocateVf,
  createVPort,
  moveFilter,
  startRing,
  type FunctionKind,
  type PhysicalFunctionState,
} from './devices/physical-function';
import { capacityForGbps } from './devices/bandwidth';
import { hostNowMs } from '../engine/clock';
import { newCoreHost, newCoreVm } from '../engine/core';
import { ensurePolicy } from './functions/policy-in-force';
import type { AdapterState, HostState, VmState } from './state';
import type { SimulatorStore } from './store';

export interface FleetShape {
  /** Simulated hosts, 1–1000, named host-01, host-02, … */
  readonly hosts: number;
  /** VMs on each, 0–256, named vm-01, … */
  readonly vms: number;
  /** Of the hosts, the last ones, that have no VMs: others can be migrated to them. Default 0. */
  readonly emptyHosts?: number;
  /** One seed gives the same fleet and the same latencies. */
  readonly seed: number;
  /** Fault domains that the hosts are spread over in turn: fd-1, fd-2, …; default 2. */
  readonly faultDomains?: number;
  /** Whether connection custody lies below the VPCI VSP, so that the VSP can be updated too; default false. */
  readonly custodyBelowVsp?: boolean;
  /** `one`: each VM has one NIC with a VF (default); `mixed`: the VMs have, in turn, what `MIXED` says. */
  readonly adapters?: (typeof ADAPTER_MIXES)[number];
}
export const ADAPTER_MIXES = ['one', 'mixed'] as const;

type AdapterPlan = Pick<AdapterState, 'adapterId' | 'kind' | 'pfId' | 'wantsVf'>;
const nic = (n: number, pfId = 'pf-0', wantsVf = true): AdapterPlan => ({
  adapterId: `nic-${String(n)}`,
  kind: 'network',
  pfId,
  wantsVf,
});
const nvme = (n: number): AdapterPlan => ({
  adapterId: `nvme-${String(n)}`,
  kind: 'nvme',
  pfId: 'nvme-pf-0',
  wantsVf: true,
});
const ONE: readonly AdapterPlan[] = [nic(0)];
/** One NIC; two NICs on two PFs; two on one PF; a NIC and an NVMe controller; a NIC without a VF beside one with; no VF. */
const MIXED: readonly (readonly AdapterPlan[])[] = [
  ONE,
  [nic(0), nic(1, 'pf-1')],
  [nic(0), nic(1)],
  [nic(0), nvme(0)],
  [nic(0, 'pf-0', false), nic(1, 'pf-1')],
  [nic(0, 'pf-0', false)],
];
const planOf = ({ adapters = 'one' }: FleetShape, index: number): readonly AdapterPlan[] =>
  adapters === 'one' ? ONE : (MIXED[index % MIXED.length] ?? ONE);

const numbered = (prefix: string, n: number) => `${prefix}-${String(n).padStart(2, '0')}`;

/** The VMs of a new host that has so many. */
export const vmIdsOf = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => numbered('vm', index + 1));

/** Makes the hosts that do not exist yet; existing ones are left as they are, with their VMs. Answers all host ids. */
export function createFleet(store: SimulatorStore, shape: FleetShape): string[] {
  ensurePolicy(store);
  const existing = new Set(store.hostIds());
  const hostIds = Array.from({ length: shape.hosts }, (_, h) => numbered('host', h + 1));
  for (const [index, hostId] of hostIds.entries())
    if (!existing.has(hostId)) createHost(store, hostId, index, shape);
  return store.hostIds();
}

function createHost(store: SimulatorStore, hostId: string, index: number, shape: FleetShape): void {
  const nowMs = hostNowMs();
  const digest = (what: string) =>
    createHash('sha256')
      .update(`${String(shape.seed)}/${hostId}/${what}`)
      .digest('hex');
  const isEmpty = index >= shape.hosts - (shape.emptyHosts ?? 0);
  const vmIds = vmIdsOf(isEmpty ? 0 : shape.vms);
  const host: HostState = {
    ...newCoreHost(hostId, vmIds, '1.0.0'),
    seed: shape.seed,
    faultDomain: `fd-${String((index % (shape.faultDomains ?? 2)) + 1)}`,
    custodyBelowVsp: shape.custodyBelowVsp ?? false,
    switchExtensions: [
      { extensionId: 'forwarding', dataBytes: 96 },
      { extensionId: 'firewall', dataBytes: 1024 },
    ],
    nextWorkerProcess: shape.vms,
    nextLuid: parseInt(digest('luid').slice(0, 5), 16),
  };
  const plans = vmIds.map((_vmId, index) => planOf(shape, index));
  const planned = plans.flat().length;
  const pfs =
    shape.adapters === 'mixed'
      ? [
          physicalFunction('pf-0', 'network', '3b', planned),
          physicalFunction('pf-1', 'network', '5e', planned),
          physicalFunction('nvme-pf-0', 'nvme', '86', planned),
        ]
      : [physicalFunction('pf-0', 'network', '3b', planned)];
  const vms = vmIds.map((vmId, index) =>
    createVm(host, pfs, { vmId, index, plan: plans[index] ?? ONE, digest: digest(vmId) }, nowMs),
  );
  store.putHost(host, pfs, vms);
}

const physicalFunction = (
  pfId: string,
  kind: FunctionKind,
  bus: string,
  planned: number,
): PhysicalFunctionState => ({
  pfId,
  kind,
  bus,
  iovVfCapacity: Math.max(64, planned),
  iovVfUsage: 0,
  bandwidthGbps: capacityForGbps(planned),
  vfs: [],
  vports: [],
  filters: [],
  nextVPortId: 1,
  nextSerialNumber: 1,
  mailbox: null,
});

interface NewVm {
  readonly vmId: string;
  readonly index: number;
  readonly plan: readonly AdapterPlan[];
  readonly digest: string;
}

/** A running VM whose guest uses its VFs. */
function createVm(
  host: HostState,
  pfs: readonly PhysicalFunctionState[],
  { vmId, index, plan, digest }: NewVm,
  nowMs: number,
): VmState {
  const number = index + 1;
  return {
    ...newCoreVm(vmId),
    partition: {
      state: 'running',
      custodian: `vmwp#${String(number)}`,
      pagesPinned: true,
      pausedAtMs: null,
      guestClockLagMs: 0,
    },
    workerProcess: {
      number,
      state: 'running',
      version: host.versions.vmWorkerProcess,
      exitDetail: null,
    },
    adapters: plan.map((adapter, place) => {
      const pf = pfs.find(({ pfId }) => pfId === adapter.pfId);
      if (pf === undefined) throw new TypeError(`There is no PF ${adapter.pfId}.`);
      const own = place === 0 ? digest : digest.slice(place) + digest.slice(0, place);
      return createAdapter(host, pf, { vmId, index, adapter, number, digest: own }, nowMs);
    }),
    successor: null,
    record: null,
    guestHangs: false,
    vmStateRestored: false,
    functionsGivenUpBy: null,
  };
}

interface NewAdapter {
  readonly vmId: string;
  readonly index: number;
  readonly adapter: AdapterPlan;
  /** Of the worker process that the VM has. */
  readonly number: number;
  readonly digest: string;
}

function createAdapter(
  host: HostState,
  pf: PhysicalFunctionState,
  { vmId, index, adapter, number, digest }: NewAdapter,
  nowMs: number,
): AdapterState {
  const macAddress = `00:15:5d:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${(index & 255).toString(16).padStart(2, '0')}`;
  const { kind, wantsVf } = adapter;
  if (kind === 'network') pf.filters.push({ macAddress, vportId: 0 });
  const vf = wantsVf ? allocateVf(pf, { vm: { vmId }, adapter }, macAddress, nowMs) : null;
  if (vf !== null) {
    if (kind === 'network') moveFilter(pf, macAddress, createVPort(pf, vf.vfId).vportId);
    startRing(vf.ring, nowMs);
    host.nextLuid += 1;
  }
  const otherPath = kind === 'network' ? 'synthetic' : 'none';
  return {
    ...adapter,
    macAddress,
    vdev: {
      state: 'Running',
      optimizations: 'enabled',
      vfAssigned: wantsVf,
      vfIdAllocated: wantsVf,
      iovWeight: wantsVf ? 100 : 0,
    },
    nic: { state: 'connected', saving: 'none', nextExtension: 0, blobs: [], restored: [] },
    vpci: {
      device:
        vf === null
          ? null
          : {
              luid: `00000000:${host.nextLuid.toString(16).padStart(8, '0')}`,
              vfId: vf.vfId,
              ownerVmId: vmId,
              connected: true,
              iommuAttachCount: 1,
              negotiatedVersion: '1.5',
              writesWhileHeld: 0,
            },
      instanceGuid: `${digest.slice(0, 8)}-${digest.slice(8, 12)}-${digest.slice(12, 16)}-${digest.slice(16, 20)}-${digest.slice(20, 32)}`,
      interface:
        vf === null ? { state: 'none', madeBy: null } : { state: 'active', madeBy: number },
      hold: null,
      deviceResetPending: false,
    },
    guest: {
      dataPath: vf === null ? otherPath : 'vf',
      otherPath,
      dataPathSwitchPending: false,
      vfDriverBound: vf !== null,
      ring: vf === null ? null : { consumed: 0, configEpoch: vf.configEpoch },
      droppedPackets: 0,
      interruptsReplayed: 0,
      vfPathDownSinceMs: null,
      vfOutageMs: 0,
      events: [],
    },
    custody: null,
    configuredIovWeight: wantsVf ? 100 : 0,
    identityBefore: null,
    vfStateRestored: false,
    vfAbandoned: null,
    before: { events: 0, vfOutageMs: 0, droppedPackets: 0 },
    path: 'kept',
    pathReason: null,
  };
}
