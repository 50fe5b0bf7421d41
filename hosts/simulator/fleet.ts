import { createHash } from 'node:crypto';
import type { NetworkAdapterState } from './devices/network-adapter';
import { capacityForGbps } from './devices/bandwidth';
import { allocateVf, createVPort, moveFilter, startRing } from './devices/network-adapter';
import { hostNowMs } from './clock';
import { ensurePolicy } from './functions/policy-in-force';
import type { HostState, VmState } from './state';
import type { HostStore } from './store';

export interface FleetShape {
  /** Simulated hosts, 1–1000, named host-01, host-02, … */
  readonly hosts: number;
  /** VMs on each, 0–256, named vm-01, … */
  readonly vms: number;
  /** One seed gives the same fleet and the same latencies. */
  readonly seed: number;
  /** Fault domains that the hosts are spread over in turn: fd-1, fd-2, …; default 2. */
  readonly faultDomains?: number;
  /** Whether connection custody lies below the VPCI VSP, so that the VSP can be updated too; default false. */
  readonly custodyBelowVsp?: boolean;
}

const numbered = (prefix: string, n: number) => `${prefix}-${String(n).padStart(2, '0')}`;

/** Makes the hosts that do not exist yet; existing ones are left as they are, with their VMs. Answers all host ids. */
export function createFleet(store: HostStore, shape: FleetShape): string[] {
  ensurePolicy(store);
  const existing = new Set(store.hostIds());
  const hostIds = Array.from({ length: shape.hosts }, (_, h) => numbered('host', h + 1));
  for (const [index, hostId] of hostIds.entries())
    if (!existing.has(hostId)) createHost(store, hostId, index, shape);
  return store.hostIds();
}

function createHost(store: HostStore, hostId: string, index: number, shape: FleetShape): void {
  const nowMs = hostNowMs();
  const digest = (what: string) =>
    createHash('sha256')
      .update(`${String(shape.seed)}/${hostId}/${what}`)
      .digest('hex');
  const vmIds = Array.from({ length: shape.vms }, (_, v) => numbered('vm', v + 1));
  const host: HostState = {
    hostId,
    bootId: digest('boot').slice(0, 12),
    seed: shape.seed,
    faultDomain: `fd-${String((index % (shape.faultDomains ?? 2)) + 1)}`,
    workerName: 'host-worker-1',
    vmIds,
    generation: 0,
    lease: null,
    servicing: null,
    versions: {
      vmWorkerProcess: '1.0.0',
      vpciVsp: '1.0.0',
      vmSwitch: '1.0.0',
      pfDriver: '1.0.0',
      nicFirmware: '1.0.0',
      hypervisor: '1.0.0',
    },
    staged: null,
    previous: null,
    custodyBelowVsp: shape.custodyBelowVsp ?? false,
    switchExtensions: [
      { extensionId: 'forwarding', dataBytes: 96 },
      { extensionId: 'firewall', dataBytes: 1024 },
    ],
    mailbox: null,
    faults: [],
    quarantine: null,
    stranded: [],
    journalSeq: 0,
    commands: { forbidden: 0 },
    invariants: { checked: 0, violations: [] },
    nextWorkerProcess: shape.vms,
    nextLuid: parseInt(digest('luid').slice(0, 5), 16),
  };
  const pf: NetworkAdapterState = {
    pfId: 'pf-0',
    iovVfCapacity: Math.max(64, shape.vms),
    iovVfUsage: 0,
    bandwidthGbps: capacityForGbps(shape.vms),
    vfs: [],
    vports: [],
    filters: [],
    nextVPortId: 1,
    nextSerialNumber: 1,
    mailbox: null,
  };
  const vms = vmIds.map((vmId, place) => createVm(host, pf, vmId, place, digest(vmId), nowMs));
  store.putHost(host, pf, vms);
}

/** A running VM whose guest uses its VF. */
function createVm(
  host: HostState,
  pf: NetworkAdapterState,
  vmId: string,
  index: number,
  digest: string,
  nowMs: number,
): VmState {
  const macAddress = `00:15:5d:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${(index & 255).toString(16).padStart(2, '0')}`;
  pf.filters.push({ macAddress, vportId: 0 });
  const vf = allocateVf(pf, vmId, macAddress, nowMs);
  moveFilter(pf, macAddress, createVPort(pf, vf.vfId).vportId);
  startRing(vf.ring, nowMs);
  host.nextLuid += 1;
  const number = index + 1;
  return {
    vmId,
    macAddress,
    generation: 0,
    lease: null,
    nextLease: null,
    mailbox: null,
    faults: [],
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
    adapter: {
      state: 'Running',
      optimizations: 'enabled',
      vfAssigned: true,
      vfIdAllocated: true,
      iovWeight: 100,
    },
    successor: null,
    nic: { state: 'connected', saving: 'none', nextExtension: 0, blobs: [], restored: [] },
    vpci: {
      device: {
        luid: `00000000:${host.nextLuid.toString(16).padStart(8, '0')}`,
        vfId: vf.vfId,
        ownerVmId: vmId,
        connected: true,
        iommuAttachCount: 1,
        negotiatedVersion: '1.5',
        writesWhileHeld: 0,
      },
      instanceGuid: `${digest.slice(0, 8)}-${digest.slice(8, 12)}-${digest.slice(12, 16)}-${digest.slice(16, 20)}-${digest.slice(20, 32)}`,
      interface: { state: 'active', madeBy: number },
      hold: null,
      deviceResetPending: false,
    },
    guest: {
      dataPath: 'vf',
      dataPathSwitchPending: false,
      vfDriverBound: true,
      ring: { consumed: 0, configEpoch: vf.configEpoch },
      droppedPackets: 0,
      interruptsReplayed: 0,
      vfPathDownSinceMs: null,
      vfOutageMs: 0,
      events: [],
    },
    record: null,
    custody: null,
    configuredIovWeight: 100,
    identityBefore: null,
    pointOfNoReturn: null,
    deadlineMs: null,
    restored: { vfState: false, vmState: false },
    vfAbandoned: null,
    blackoutMs: 0,
    withinBudget: true,
    before: { events: 0, vfOutageMs: 0, droppedPackets: 0 },
    path: 'kept',
    pathReason: null,
    stranded: null,
  };
}
