/** `onCannotKeep: "migrate"`: VMs whose VF an update cannot keep go to another host first. */
import { functionsOf } from '../../contract/results';
import { Suite } from '../support/suite';

const EMPTY_HOSTS = 4;
let suite: Suite;
/** Hosts without VMs that no other test has touched. */
let emptyHosts: string[];
beforeAll(async () => {
  suite = await Suite.start('moves-away', {
    hosts: 10 + EMPTY_HOSTS,
    vms: 2,
    emptyHosts: EMPTY_HOSTS,
  });
  emptyHosts = suite.hostIds.slice(-EMPTY_HOSTS);
});
afterAll(() => suite.stop());

function freshEmptyHost(): string {
  const hostId = emptyHosts.shift();
  if (hostId === undefined) throw new Error('all empty hosts are in use: make more');
  return hostId;
}

const hypervisor = { component: 'hypervisor', version: '2.0.0' } as const;
const vmsOf = (hostId: string) => suite.stack.store.host(hostId).vmIds;
const versionOf = (hostId: string) => suite.stack.store.host(hostId).versions.hypervisor;
const runsOn = (hostId: string, vmId: string) => {
  const { facts, dataPath } = suite.vm(hostId, vmId);
  expect({ running: facts.running, dataPath }).toEqual({ running: true, dataPath: 'vf' });
  expect(functionsOf(facts).map(({ identityAfter }) => identityAfter)).not.toContain(null);
};

test.concurrent('a hypervisor is updated once all VMs of its host have left', async () => {
  const hostId = suite.freshHost();
  const toHostId = freshEmptyHost();
  const result = await suite.run('serviceHost', {
    hostId,
    update: hypervisor,
    onCannotKeep: 'migrate',
    migrateTo: [toHostId],
  });
  expect(result).toMatchObject({
    outcome: 'updated',
    versionAfter: '2.0.0',
    vms: [],
    migrated: [
      { vmId: 'vm-01', toHostId, outcome: 'migrated' },
      { vmId: 'vm-02', toHostId, outcome: 'migrated' },
    ],
  });
  expect(vmsOf(hostId)).toEqual([]);
  for (const vmId of ['vm-01', 'vm-02']) runsOn(toHostId, vmId);
});

test.concurrent('each VM goes to the first host that can take it', async () => {
  // The first has VMs of these names already.
  const [hostId, occupied] = suite.freshHosts(2) as [string, string];
  const empty = freshEmptyHost();
  const result = await suite.run('serviceHost', {
    hostId,
    update: hypervisor,
    onCannotKeep: 'migrate',
    migrateTo: [occupied, empty],
  });
  expect(result.outcome).toBe('updated');
  expect(result.migrated?.map(({ toHostId }) => toHostId)).toEqual([empty, empty]);
});

test.concurrent(
  'where none can, the run ends before anything of the update is begun, and says why of each',
  async () => {
    const [hostId, occupied] = suite.freshHosts(2) as [string, string];
    const { type, message } = await suite.fails('serviceHost', {
      hostId,
      update: hypervisor,
      onCannotKeep: 'migrate',
      // Nobody serves the second.
      migrateTo: [occupied, 'host-99'],
    });
    expect(type).toBe('CannotKeep');
    expect(message).toMatch(
      new RegExp(
        `vm-01 can go to none .* ${occupied}: .*VM named vm-01 already.*; host-99: No worker answered`,
      ),
    );
    expect(vmsOf(hostId)).toEqual(['vm-01', 'vm-02']);
    expect(versionOf(hostId)).toBe('1.0.0');
    for (const vmId of ['vm-01', 'vm-02']) runsOn(hostId, vmId);
    expect(suite.stack.store.host(hostId).lease).toBeNull();
  },
);

test.concurrent('without a host to go to, the VMs stay and the run says what to do', async () => {
  const hostId = suite.freshHost();
  const { type, message } = await suite.fails('serviceHost', {
    ...{ hostId, update: hypervisor, onCannotKeep: 'migrate' },
  });
  expect([type, message]).toEqual([
    'CannotKeep',
    expect.stringContaining('migrateTo names no host'),
  ]);
});

test.concurrent('a VM that could be kept is not moved', async () => {
  const hostId = suite.freshHost();
  const result = await suite.run('serviceHost', {
    hostId,
    update: { version: '2.0.0' },
    onCannotKeep: 'migrate',
    migrateTo: [freshEmptyHost()],
  });
  expect(result.migrated).toBeUndefined();
  expect(result.vms.map(({ facts }) => facts.path)).toEqual(['kept', 'kept']);
});

test.concurrent('a host cannot be its own destination', async () => {
  const hostId = suite.freshHost();
  const { type, message } = await suite.fails('serviceHost', {
    ...{ hostId, update: hypervisor, onCannotKeep: 'migrate', migrateTo: [hostId] },
  });
  expect([type, message]).toEqual(['InvalidInput', expect.stringContaining('migrateTo')]);
});

test.concurrent(
  'a fleet: the empty host has its turn first and takes the VMs of the next',
  async () => {
    const hostId = suite.freshHost();
    const empty = freshEmptyHost();
    const result = await suite.run('updateFleet', {
      update: hypervisor,
      hosts: [empty, hostId],
      servicing: { onCannotKeep: 'migrate' },
      strategy: { bakeTime: { giveUpAfter: '0s' } },
    });
    expect(result).toMatchObject({ outcome: 'updated', counts: { planned: 2, updated: 2 } });
    expect(vmsOf(hostId)).toEqual([]);
    expect(vmsOf(empty)).toEqual(['vm-01', 'vm-02']);
    for (const id of [hostId, empty]) expect(versionOf(id)).toBe('2.0.0');
    for (const vmId of ['vm-01', 'vm-02']) runsOn(empty, vmId);
  },
);

test.concurrent('a fleet without room for the VMs touches nothing', async () => {
  const hostId = suite.freshHost();
  const { type, message } = await suite.fails('updateFleet', {
    update: hypervisor,
    hosts: [hostId],
    servicing: { onCannotKeep: 'migrate' },
  });
  expect(type).toBe('NothingPlanned');
  expect(message).toContain('vm-01 has nowhere to go');
  expect(vmsOf(hostId)).toEqual(['vm-01', 'vm-02']);
});
