import type { HostProbe } from '../../contract/fleet-input';
import type { Finding, HealthVerdict } from '../../contract/fleet-results';
import type { HostDescription, VmDescription } from '../../contract/host';

type Found = Pick<Finding, 'verdict' | 'evidence'>;

/** VMs that evidence names at most. */
const NAMED = 5;
const named = (vms: readonly VmDescription[]): string =>
  vms.length <= NAMED
    ? vms.map((vm) => vm.vmId).join(', ')
    : `${vms
        .slice(0, NAMED)
        .map((vm) => vm.vmId)
        .join(', ')} and ${String(vms.length - NAMED)} more`;

/** Healthy where no VM is bad; a VM that something is being done with tells nothing. */
function ofVms(
  { vms }: HostDescription,
  isBad: (vm: VmDescription) => boolean,
  bad: (vms: readonly VmDescription[]) => string,
  good: string,
): Found {
  const settled = vms.filter((vm) => vm.phase === 'running' || vm.phase === 'stranded');
  const wrong = settled.filter(isBad);
  if (wrong.length > 0) return { verdict: 'unhealthy', evidence: bad(wrong) };
  const busy = vms.filter((vm) => !settled.includes(vm));
  if (busy.length > 0)
    return { verdict: 'inconclusive', evidence: `something is being done with ${named(busy)}` };
  return { verdict: 'healthy', evidence: `${String(vms.length)} VMs: ${good}` };
}

const usesItsVfs = ({ dataPath, facts: { adapters } }: VmDescription): boolean =>
  adapters === undefined
    ? dataPath === 'vf'
    : adapters.every((adapter) => !adapter.wantsVf || adapter.dataPath === 'vf');

/** What can be asked of a host. Another probe is a name in the contract and an entry here. */
const PROBES: Readonly<Record<HostProbe, (host: HostDescription) => Found>> = {
  heartbeat: (host) =>
    ofVms(
      host,
      (vm) => vm.heartbeat !== 'ok',
      (vms) => `no heartbeat from ${named(vms)}`,
      'every guest answers',
    ),
  vfDataPath: (host) =>
    ofVms(
      host,
      (vm) => !usesItsVfs(vm),
      (vms) => `not on its VF: ${named(vms)}`,
      'every data path is its VF',
    ),
  forbiddenCommands: ({ forbiddenSinceServicing, quarantine }) => {
    const verdict: HealthVerdict =
      forbiddenSinceServicing === 0 && quarantine === null ? 'healthy' : 'unhealthy';
    const count = `${String(forbiddenSinceServicing)} forbidden commands since it was serviced`;
    return {
      verdict,
      evidence: quarantine === null ? count : `${count}; quarantined: ${quarantine}`,
    };
  },
  blackoutBudget: (host) =>
    ofVms(
      host,
      (vm) => !vm.facts.withinBudget,
      (vms) => `beyond their budget: ${named(vms)}, the longest ${longestSeconds(vms)} s`,
      `the longest blackout was ${longestSeconds(host.vms)} s, none beyond its budget`,
    ),
};

const longestSeconds = (vms: readonly VmDescription[]): string =>
  (Math.max(0, ...vms.map((vm) => vm.facts.blackoutMs)) / 1000).toFixed(2);

export const findingsAt = (host: HostDescription, probes: readonly HostProbe[]): Finding[] =>
  probes.map((probe) => ({ probe, of: host.hostId, ...PROBES[probe](host) }));
