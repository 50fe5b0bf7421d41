import type { HostDescription, VmDescription } from '../../contract/host';
import type { VmFacts } from '../../contract/results';

export const factsWith = (facts: Partial<VmFacts> = {}): VmFacts => ({
  running: true,
  path: 'kept',
  pathReason: null,
  identityBefore: null,
  identityAfter: null,
  blackoutMs: 40,
  vfOutageMs: 40,
  guestVisibleEvents: 0,
  droppedPackets: 0,
  withinBudget: true,
  stackVersion: '2.0.0',
  ...facts,
});

export const vmWith = (vm: Partial<VmDescription> = {}): VmDescription => ({
  vmId: 'vm-01',
  phase: 'running',
  holder: null,
  generation: 0,
  crossed: false,
  darkForMs: 0,
  identity: null,
  dataPath: 'vf',
  heartbeat: 'ok',
  blackouts: [],
  stackVersion: '1.0.0',
  adapterClass: 'network',
  facts: factsWith(),
  ...vm,
});

export const hostWith = ({
  custodyBelowVsp = false,
  recordVersions = [1],
  ...host
}: Partial<HostDescription> & {
  readonly custodyBelowVsp?: boolean;
  readonly recordVersions?: readonly number[];
}): HostDescription => ({
  hostId: 'host-01',
  driver: 'simulator',
  bootId: 'boot',
  versions: {
    vmWorkerProcess: '1.0.0',
    vpciVsp: '1.0.0',
    vmSwitch: '1.0.0',
    pfDriver: '1.0.0',
    nicFirmware: '1.0.0',
    hypervisor: '1.0.0',
  },
  faults: true,
  capabilities: { custodyBelowVsp, recordVersions },
  holder: null,
  quarantine: null,
  vms: [],
  journalSeq: 0,
  forbiddenCommands: 0,
  forbiddenSinceServicing: 0,
  describedAtMs: 0,
  invariants: { checked: 0, violated: 0 },
  ...host,
});
