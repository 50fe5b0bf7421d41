/** One run of each workflow, for `npm run test:quick`. What each of them does in all its cases is in the files beside this one. */
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('each-workflow', { hosts: 6, emptyHosts: 1, vms: 2 });
});
afterAll(() => suite.stop());

const update = { version: '2.0.0' };

test.concurrent('fastSave and fastRestore keep the VF of a VM', async () => {
  const vm = { hostId: suite.freshHost(), vmId: 'vm-01' };
  const { identity } = await suite.run('fastSave', vm);
  const restored = await suite.run('fastRestore', vm);
  expect(restored.vm).toMatchObject({ path: 'kept', running: true, identityAfter: identity });
});

test.concurrent('serviceHost updates a host and keeps the VF of each VM', async () => {
  const result = await suite.run('serviceHost', { hostId: suite.freshHost(), update });
  expect(result).toMatchObject({ outcome: 'updated', invariants: { violated: 0 } });
  expect(result.vms.map(({ facts }) => facts.path)).toEqual(['kept', 'kept']);
});

test.concurrent('updateFleet updates a fleet of one host', async () => {
  const hosts = [suite.freshHost()];
  const strategy = { bakeTime: { giveUpAfter: '0s' } };
  const result = await suite.run('updateFleet', { update, hosts, strategy });
  expect(result).toMatchObject({ outcome: 'updated', counts: { planned: 1, updated: 1 } });
});

test.concurrent('migrateVm moves a VM to another host', async () => {
  const fromHostId = suite.freshHost();
  const toHostId = suite.hostIds.at(-1) ?? '';
  const result = await suite.run('migrateVm', { vmId: 'vm-01', fromHostId, toHostId });
  expect(result.outcome).toBe('migrated');
});

test.concurrent('commandFunction answers what a function is', async () => {
  const functionId = `local:${suite.freshHost()}/epf-vm-01`;
  const result = await suite.run('commandFunction', { functionId, operation: 'describeFunction' });
  expect(result).toMatchObject({ functionId });
});
