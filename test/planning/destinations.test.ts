/** Where VMs go that an update cannot keep where they are. */
import * as z from 'zod/mini';
import { updateFleetInput, type UpdateFleetInput } from '../../contract/fleet-input';
import type { Surveyed } from '../../contract/fleet-plan';
import type { HostSurvey } from '../../contract/host';
import type { NeededFunction } from '../../contract/migration';
import { planFleet } from '../../planning/fleet-plan';
import { hostWith, vmWith } from './descriptions';

const NIC: NeededFunction = { adapterId: 'nic-0', kind: 'network', namespace: null };
const NVME: NeededFunction = {
  adapterId: 'nvme-0',
  kind: 'nvme',
  namespace: { subsystemNqn: 'nqn.a', nsid: 1, nguid: 'a' },
};
const vm = (vmId: string, passthrough: readonly NeededFunction[] = [NIC]) =>
  vmWith({ vmId, passthrough });
const nics = (free: number) => ({
  ...{ pfId: 'pf-0', kind: 'network' as const, free, subsystemNqn: null },
});

interface HostSays {
  readonly vms?: readonly ReturnType<typeof vm>[];
  readonly free?: number;
  readonly domain?: string;
  readonly more?: Partial<HostSurvey>;
}

/** Hosts by name; each stands in a fault domain of its own unless it says otherwise. */
function plan(says: Readonly<Record<string, HostSays>>, more: Partial<UpdateFleetInput> = {}) {
  const hosts = Object.entries(says).map(([hostId, { domain = `of-${hostId}` }]) => ({
    ...{ hostId, faultDomain: domain, availabilityGroups: [], labels: {} },
    ...{ vms: [], custodyBelowVsp: false },
  }));
  const surveys = new Map<string, Surveyed>(
    Object.entries(says).map(([hostId, { vms = [], free = 10, more: other = {} }]) => [
      hostId,
      { ...hostWith({ hostId, vms }), physicalFunctions: [nics(free)], ...other },
    ]),
  );
  const settings = z.parse(updateFleetInput, {
    update: { component: 'hypervisor', version: '2.0.0' },
    hosts: Object.keys(says),
    servicing: { onCannotKeep: 'migrate' },
    strategy: { canary: 1, waves: [1] },
    ...more,
  });
  return planFleet(hosts, surveys, settings);
}
const destinations = ({ waves }: ReturnType<typeof plan>) =>
  Object.fromEntries(
    waves.flatMap(({ hosts }) => hosts.map(({ hostId, migrateTo }) => [hostId, migrateTo])),
  );

test('an empty host has its turn too, and takes the VMs of the next', () => {
  const result = plan({ spare: {}, h1: { vms: [vm('vm-1'), vm('vm-2')] } });
  expect(destinations(result)).toEqual({ spare: undefined, h1: ['spare'] });
  expect(result.waves[1]?.hosts[0]?.vms.map(({ verdict }) => verdict)).toEqual([
    'migrate',
    'migrate',
  ]);
});

test('a host that is updated by then goes before one whose turn is still to come', () => {
  const all = { h1: { vms: [vm('vm-1')] }, h2: { vms: [vm('vm-2')] }, h3: { vms: [vm('vm-3')] } };
  // The first has no choice; the VMs of the others find it updated.
  expect(destinations(plan(all))).toEqual({ h1: ['h2'], h2: ['h1'], h3: ['h1'] });
});

test('one that runs the version already is the best of all', () => {
  const versions = { ...hostWith({}).versions, hypervisor: '2.0.0' };
  const result = plan({
    h1: { vms: [vm('vm-1')] },
    later: { vms: [vm('vm-2')], free: 50 },
    done: { more: { versions } },
  });
  expect(destinations(result)['h1']).toEqual(['done']);
});

test('never a host of the same wave', () => {
  const result = plan(
    { h1: { vms: [vm('vm-1')] }, h2: { vms: [vm('vm-2')] }, h3: { vms: [vm('vm-3')] } },
    { strategy: { canary: 0, waves: [2, 1] } },
  );
  expect(destinations(result)).toEqual({ h1: ['h3'], h2: ['h3'], h3: ['h1'] });
});

test('another fault domain before its own, and the one with more free functions', () => {
  const spare = (domain: string, free: number) => ({ domain, free });
  const result = plan({
    near: spare('fd-1', 50),
    far: spare('fd-2', 4),
    roomy: spare('fd-2', 20),
    h1: { vms: [vm('vm-1')], domain: 'fd-1' },
  });
  expect(destinations(result)['h1']).toEqual(['roomy']);
});

test('what one VM takes is not there for the next', () => {
  const result = plan({
    small: { free: 3 },
    other: { free: 2 },
    h1: { vms: [vm('vm-1'), vm('vm-2')] },
  });
  expect(destinations(result)['h1']).toEqual(['small', 'other']);
});

test.each<[string, HostSays, RegExp]>([
  ['has no room', { free: 1 }, /spare: nic-0 needs 2 network functions .* has 1 free/],
  ['has a VM of that name', { vms: [vm('vm-1')] }, /a VM named vm-1 already/],
  ['is quarantined', { more: { quarantine: 'a breach' } }, /no host of another wave can be asked/],
  [
    'is of before, and says nothing of its functions',
    { more: { physicalFunctions: undefined as never } },
    /no host of another wave can be asked/,
  ],
])('a host is left out if the only other one %s', (_what, spare, says) => {
  const result = plan({ h1: { vms: [vm('vm-1')] }, spare });
  const refused = result.refused.find(({ hostId }) => hostId === 'h1');
  expect(refused).toMatchObject({ why: 'blocked', vms: [{ verdict: 'migrate' }] });
  expect(refused?.reason).toMatch(/^vm-1 has nowhere to go: /);
  expect(refused?.reason).toMatch(says);
});

test('a device that does not reach the namespace of an NVMe function does not do', () => {
  const result = plan({ spare: {}, h1: { vms: [vm('vm-1', [NIC, NVME])] } });
  expect(result.refused).toMatchObject([{ hostId: 'h1', why: 'blocked' }]);
  expect(result.refused[0]?.reason).toContain('none of its NVMe devices reaches namespace 1');
});

test('the others close up where a host lost its place', () => {
  const result = plan({
    spare: { free: 2 },
    h1: { vms: [vm('vm-1'), vm('vm-2')], free: 0 },
    h2: { vms: [vm('vm-3')], free: 0 },
  });
  expect(result.refused.map(({ hostId }) => hostId)).toEqual(['h1']);
  expect(result.waves.map(({ number, hosts }) => [number, hosts.map((h) => h.hostId)])).toEqual([
    [1, ['spare']],
    [2, ['h2']],
  ]);
  expect(destinations(result)['h2']).toEqual(['spare']);
});

test('without "migrate" nothing is looked for, and empty hosts are left out', () => {
  const result = plan({ spare: {}, h1: { vms: [vm('vm-1')] } }, { servicing: {} });
  expect(result.refused.map(({ hostId, why }) => [hostId, why])).toEqual([
    ['spare', 'empty'],
    ['h1', 'blocked'],
  ]);
});

test('what a VM runs decides where it may go, not what its host has by default', () => {
  const ahead = { ...vm('vm-1'), stackVersion: '2.0.0' };
  const { refused } = plan({ h1: { vms: [ahead] }, spare: {} });
  expect(refused).toMatchObject([
    {
      hostId: 'h1',
      reason: expect.stringContaining('cannot read the state of a VM that runs on 2.0.0'),
    },
  ]);
});
