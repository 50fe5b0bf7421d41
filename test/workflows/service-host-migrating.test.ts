/** An update that keeps no VF: the VMs are migrated first, then the host is updated. */
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('migrating-servicing', { hosts: 6, emptyHosts: 3, vms: 2 });
});
afterAll(() => suite.stop());

const update = { component: 'hypervisor', version: '2.0.0' } as const;
const version = (hostId: string) => suite.stack.store.host(hostId).versions.hypervisor;

test('all VMs go to the first host that takes them, and the empty host is updated', async () => {
  const result = await suite.run('serviceHost', {
    hostId: 'host-01',
    update,
    onCannotKeep: 'migrate',
    // The first has VMs of these names itself.
    migrateTo: ['host-02', 'host-04'],
  });
  expect(result).toMatchObject({
    outcome: 'updated',
    vms: [],
    migrated: [
      { vmId: 'vm-01', toHostId: 'host-04', outcome: 'migrated' },
      { vmId: 'vm-02', toHostId: 'host-04', outcome: 'migrated' },
    ],
  });
  expect(version('host-01')).toBe('2.0.0');
  expect(suite.stack.store.host('host-01').vmIds).toEqual([]);
  for (const vmId of ['vm-01', 'vm-02'])
    expect(suite.vm('host-04', vmId)).toMatchObject({ phase: 'running', dataPath: 'vf' });
});

test('an update that keeps the VFs migrates nobody', async () => {
  const result = await suite.run('serviceHost', {
    hostId: 'host-02',
    update: { version: '2.0.0' },
    onCannotKeep: 'migrate',
    migrateTo: ['host-05'],
  });
  expect(result).toMatchObject({ outcome: 'updated' });
  expect(result.migrated).toBeUndefined();
  expect(result.vms.map(({ facts }) => facts.path)).toEqual(['kept', 'kept']);
});

test('without a host that takes them nothing is updated, and every VM runs where it was', async () => {
  const ended = await suite.fails('serviceHost', {
    hostId: 'host-03',
    update,
    onCannotKeep: 'migrate',
    migrateTo: ['host-02'],
  });
  expect(ended.type).toBe('CannotKeep');
  expect(ended.message).toContain('host-02 cannot take vm-01');
  expect(version('host-03')).toBe('1.0.0');
  for (const vmId of ['vm-01', 'vm-02'])
    expect(suite.vm('host-03', vmId)).toMatchObject({ phase: 'running', holder: null });
  expect(suite.stack.store.host('host-03').lease).toBeNull();
});
