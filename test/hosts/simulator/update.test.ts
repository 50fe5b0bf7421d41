/** The commit is one flip, found out when its reply is lost, rolled back only while no VM is back on it. */
import {
  HostRun,
  RESTORE,
  SAVE_TO_MARK,
  SimulatedFleet,
  pairOf,
  prepared,
  settledSoon,
} from './simulated-fleet';

let fleet: SimulatedFleet;
afterEach(() => fleet.close());

const down = async (
  vms = 1,
  arm: Parameters<typeof HostRun.arm>[1] = {},
  profile?: ConstructorParameters<typeof SimulatedFleet>[1],
) => {
  fleet = new SimulatedFleet({ vms, custodyBelowVsp: true }, profile);
  const host = await HostRun.arm(fleet, arm);
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  for (const { save } of pairs.values()) await save.performAll(SAVE_TO_MARK);
  for (const { save } of pairs.values())
    await save.performAll([
      'crossPointOfNoReturn',
      'resetVpciBusInterface',
      'tearDownSyntheticAdapter',
    ]);
  return { host, pairs };
};
const hostFault = (
  step: 'commitUpdate' | 'stageUpdate',
  kind: 'fail-before' | 'fail-after' | 'stuck',
) => [{ step, kind, times: 1, delay: '1s' }];

it('flips once although its reply was lost', async () => {
  const { host, pairs } = await down(1, { faults: hostFault('commitUpdate', 'fail-after') });
  await expect(host.perform('commitUpdate')).rejects.toMatchObject({ type: 'HostStepFailed' });
  const commit = host.perform('commitUpdate');
  await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  expect(await commit).toMatchObject({ status: 'done', attempts: 2 });
  expect(fleet.store.host('host-01')).toMatchObject({
    versions: { vpciVsp: '2.0.0' },
    previous: { version: '1.0.0' },
  });
});

it.each(['fail-before', 'stuck'] as const)(
  'that met %s is done by the next attempt',
  async (kind) => {
    const { host, pairs } = await down(1, { faults: hostFault('commitUpdate', kind) });
    await expect(host.perform('commitUpdate', AbortSignal.timeout(30))).rejects.toMatchObject({
      type: 'HostStepFailed',
    });
    const commit = host.perform('commitUpdate');
    await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
    expect((await commit).evidence).toMatchObject({ flipped: true });
  },
);

it('is rolled back after its commit as long as no VM came back on it', async () => {
  const { host, pairs } = await down();
  const commit = host.perform('commitUpdate');
  await settledSoon(20);
  expect(fleet.store.host('host-01').versions.vpciVsp).toBe('2.0.0');
  await host.perform('rollBackUpdate');
  await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  await commit;
  const { vms, versions } = await fleet.hosts.describe('host-01');
  expect(versions.vpciVsp).toBe('1.0.0');
  expect(vms[0]?.facts).toMatchObject({ path: 'kept', stackVersion: '1.0.0' });
});

it('is not rolled back under a VM that came back on it', async () => {
  const { host, pairs } = await down();
  const commit = host.perform('commitUpdate');
  await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  await commit;
  expect(await host.perform('rollBackUpdate')).toMatchObject({
    status: 'notApplicable',
    reason: expect.stringContaining('vm-01'),
  });
  expect((await fleet.hosts.describe('host-01')).versions.vpciVsp).toBe('2.0.0');
});

it('given up before its commit opens the gates for the old version', async () => {
  const { host, pairs } = await down();
  await host.perform('rollBackUpdate');
  expect(await host.perform('commitUpdate')).toMatchObject({
    status: 'notApplicable',
    reason: 'notUpdated',
  });
  await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  expect((await fleet.facts()).facts).toMatchObject({ path: 'kept', stackVersion: '1.0.0' });
});

it('of a host-wide component flips when every VM is down', async () => {
  const { host, pairs } = await down(2, { update: { component: 'vpciVsp', version: '2.0.0' } });
  const commit = host.perform('commitUpdate');
  await Promise.all(
    [...pairs.values()].map(({ restore }) =>
      restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate'))),
    ),
  );
  await commit;
  expect((await fleet.hosts.describe('host-01')).versions).toMatchObject({
    vpciVsp: '2.0.0',
    vmWorkerProcess: '1.0.0',
  });
});
