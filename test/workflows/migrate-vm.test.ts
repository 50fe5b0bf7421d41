import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('migrations', { hosts: 4, vms: 2, emptyHosts: 2 });
});
afterAll(() => suite.stop());

test('smoke', async () => {
  const result = await suite.run('migrateVm', {
    vmId: 'vm-01',
    fromHostId: 'host-01',
    toHostId: 'host-03',
  });
  console.log(JSON.stringify(result, null, 1));
  const r2 = await suite.run('migrateVm', {
    vmId: 'vm-02',
    fromHostId: 'host-01',
    toHostId: 'host-03', method: 'unplug-replug'
  });
  console.log(JSON.stringify(r2, null, 1));
});
