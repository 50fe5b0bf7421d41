/** What each probe makes of what a host says of itself. */
import { findingsAt } from '../../../activities/probes/host-probes';
import { HOST_PROBES, type HostProbe } from '../../../contract/fleet-input';
import type { HostDescription, VmDescription } from '../../../contract/host';
import type { HealthVerdict } from '../../../contract/fleet-results';
import { factsWith, hostWith, vmWith } from '../../planning/descriptions';

const found = (probe: HostProbe, host: HostDescription) => {
  const [finding, ...more] = findingsAt(host, [probe]);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ probe, of: 'host-01' });
  return [finding?.verdict, finding?.evidence];
};
const other = (vm: Partial<VmDescription>) =>
  hostWith({ vms: [vmWith(), vmWith({ vmId: 'vm-02', ...vm })] });
const tooLong = { facts: factsWith({ withinBudget: false, blackoutMs: 12_340 }) };

test.each<[HostProbe, string, HostDescription, HealthVerdict, RegExp]>([
  ['heartbeat', 'all answer', other({}), 'healthy', /2 VMs/],
  [
    'heartbeat',
    'one that runs does not',
    other({ heartbeat: 'lost' }),
    'unhealthy',
    /no heartbeat from vm-02/,
  ],
  [
    'heartbeat',
    'one is stranded',
    other({ phase: 'stranded', heartbeat: 'none' }),
    'unhealthy',
    /vm-02/,
  ],
  [
    'heartbeat',
    'one is saved',
    other({ phase: 'saved', heartbeat: 'none' }),
    'inconclusive',
    /vm-02/,
  ],
  ['heartbeat', 'one is prepared', other({ phase: 'preparing' }), 'inconclusive', /vm-02/],
  ['vfDataPath', 'all on their VF', other({}), 'healthy', /2 VMs/],
  [
    'vfDataPath',
    'one on the synthetic path',
    other({ dataPath: 'synthetic' }),
    'unhealthy',
    /vm-02/,
  ],
  [
    'vfDataPath',
    'one in an operation',
    other({ dataPath: 'synthetic', phase: 'paused' }),
    'inconclusive',
    /vm-02/,
  ],
  ['forbiddenCommands', 'none', hostWith({ forbiddenCommands: 3 }), 'healthy', /^0 forbidden/],
  [
    'forbiddenCommands',
    'one since it was serviced',
    hostWith({ forbiddenSinceServicing: 1 }),
    'unhealthy',
    /^1 forbidden/,
  ],
  [
    'forbiddenCommands',
    'a quarantine',
    hostWith({ quarantine: 'I1 broken' }),
    'unhealthy',
    /I1 broken/,
  ],
  ['blackoutBudget', 'all within it', other({}), 'healthy', /0\.04 s/],
  ['blackoutBudget', 'one beyond it', other(tooLong), 'unhealthy', /vm-02, the longest 12\.34 s/],
])('%s, %s', (probe, _, host, verdict, evidence) => {
  expect(found(probe, host)).toEqual([verdict, expect.stringMatching(evidence)]);
});

test('what is wrong wins over what is under way', () => {
  const vms = [vmWith({ phase: 'paused' }), vmWith({ vmId: 'vm-02', heartbeat: 'lost' })];
  expect(found('heartbeat', hostWith({ vms }))[0]).toBe('unhealthy');
});

test('evidence names five VMs at most', () => {
  const vms = Array.from({ length: 7 }, (_, n) =>
    vmWith({ vmId: `vm-${String(n)}`, heartbeat: 'lost' }),
  );
  expect(found('heartbeat', hostWith({ vms }))[1]).toBe(
    'no heartbeat from vm-0, vm-1, vm-2, vm-3, vm-4 and 2 more',
  );
});

test('every probe of the contract is answered, in the order asked', () => {
  expect(findingsAt(hostWith({ vms: [vmWith()] }), HOST_PROBES).map((f) => f.probe)).toEqual([
    ...HOST_PROBES,
  ]);
});
