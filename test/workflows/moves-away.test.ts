/** `onCannotKeep: "migrate"`: VMs whose VF an update cannot keep go to another host first. */
import { functionsOf } from '../../contract/results';
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('moves-away', { hosts: 8, vms: 2, emptyHosts: 3 });
});
afterAll(() => suite.stop());

const hypervisor = { component: 'hypervisor', version: '2.0.0' } as const;
const vmsOf = (hostId: string) => suite.stack.store.host(hostId).vmIds;
const versionOf = (hostId: string) => suite.stack.store.host(hostId).versions.hypervisor;
const runsOn = (hostId: string, vmId: string) => {
  const { facts, dataPath } = suite.vm(hostId, vmId);
  expect({ running: facts.running, dataPath }).toEqual({ running: true, dataPath: 'vf' });
  expect(functionsOf(facts).map(({ identityAfter }) => identityAfter)).not.toContain(null);
};

test('a hypervisor is updated once all VMs of its host have left', async () => {
  const result = await suite.run('serviceHost', {
    hostId: 'host-01',
    update: hypervisor,
    onCannotKeep: 'migrate',
    migrateTo: ['host-06'],
  });
  expect(result).toMatchObject({
    outcome: 'updated',
    versionAfter: '2.0.0',
    vms: [],
    migrated: [
      { vmId: 'vm-01', toHostId: 'host-06', outcome: 'migrated' },
      { vmId: 'vm-02', toHostId: 'host-06', outcome: 'migrated' },
    ],
  });
  expect(vmsOf('host-01')).toEqual([]);
  for (const vmId of ['vm-01', 'vm-02']) runsOn('host-06', vmId);
});

test('each VM goes to the first host that can take it', async () => {
  // host-06 has VMs of these names by now.
  const result = await suite.run('serviceHost', {
    hostId: 'host-02',
    update: hypervisor,
    onCannotKeep: 'migrate',
    migrateTo: ['host-06', 'host-07'],
  });
  expect(result.outcome).toBe('updated');
  expect(result.migrated?.map(({ toHostId }) => toHostId)).toEqual(['host-07', 'host-07']);
});

test('where none can, the run ends before anything of the update is begun, and says why of each', async () => {
  const { type, message } = await suite.fails('serviceHost', {
    hostId: 'host-03',
    update: hypervisor,
    onCannotKeep: 'migrate',
    // Nobody serves the second.
    migrateTo: ['host-06', 'host-99'],
  });
  expect(type).toBe('CannotKeep');
  expect(message).toMatch(
    /vm-01 can go to none .* host-06: .*VM named vm-01 already.*; host-99: No worker answered/,
  );
  expect(vmsOf('host-03')).toEqual(['vm-01', 'vm-02']);
  expect(versionOf('host-03')).toBe('1.0.0');
  for (const vmId of ['vm-01', 'vm-02']) runsOn('host-03', vmId);
  expect(suite.stack.store.host('host-03').lease).toBeNull();
});

test('without a host to go to, the VMs stay and the run says what to do', async () => {
  const { type, message } = await suite.fails('serviceHost', {
    ...{ hostId: 'host-03', update: hypervisor, onCannotKeep: 'migrate' },
  });
  expect([type, message]).toEqual([
    'CannotKeep',
    expect.stringContaining('migrateTo names no host'),
  ]);
});

test('a VM that could be kept is not moved', async () => {
  const result = await suite.run('serviceHost', {
    hostId: 'host-03',
    update: { version: '2.0.0' },
    onCannotKeep: 'migrate',
    migrateTo: ['host-08'],
  });
  expect(result.migrated).toBeUndefined();
  expect(result.vms.map(({ facts }) => facts.path)).toEqual(['kept', 'kept']);
});

test('a host cannot be its own destination', async () => {
  const { type, message } = await suite.fails('serviceHost', {
    ...{ hostId: 'host-03', update: hypervisor, onCannotKeep: 'migrate', migrateTo: ['host-03'] },
  });
  expect([type, message]).toEqual(['InvalidInput', expect.stringContaining('migrateTo')]);
});

test('a fleet: the empty host has its turn first and takes the VMs of the next', async () => {
  const result = await suite.run('updateFleet', {
    update: hypervisor,
    hosts: ['host-08', 'host-04'],
    servicing: { onCannotKeep: 'migrate' },
    strategy: { bakeTime: { giveUpAfter: '0s' } },
  });
  expect(result).toMatchObject({ outcome: 'updated', counts: { planned: 2, updated: 2 } });
  expect(vmsOf('host-04')).toEqual([]);
  expect(vmsOf('host-08')).toEqual(['vm-01', 'vm-02']);
  for (const hostId of ['host-04', 'host-08']) expect(versionOf(hostId)).toBe('2.0.0');
  for (const vmId of ['vm-01', 'vm-02']) runsOn('host-08', vmId);
});

test('a fleet without room for the VMs touches nothing', async () => {
  const { type, message } = await suite.fails('updateFleet', {
    update: hypervisor,
    hosts: ['host-05'],
    servicing: { onCannotKeep: 'migrate' },
  });
  expect(type).toBe('NothingPlanned');
  expect(message).toContain('vm-01 has nowhere to go');
  expect(vmsOf('host-05')).toEqual(['vm-01', 'vm-02']);
});
