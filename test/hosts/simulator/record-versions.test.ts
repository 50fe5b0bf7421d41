/** Records of the old stack are restored on the new one and the other way round; what cannot be read is refused. */
import {
  HostRun,
  RESTORE,
  ROLLING,
  SAVE,
  SimulatedFleet,
  VmRun,
  failsAs,
  serviceAll,
} from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

async function update(version: string, runId: string) {
  const host = await HostRun.arm(
    fleet,
    { update: { component: 'vmWorkerProcess', version }, rolling: ROLLING },
    { workflowId: 'service-host/host-01', runId },
  );
  await host.perform('stageUpdate');
  const options = { parent: host.holder, holder: { workflowId: 'vm', runId } };
  const restore = await VmRun.restore(fleet, 'vm-01', options);
  const save = await VmRun.save(fleet, 'vm-01', {
    ...options,
    holder: { workflowId: 'save', runId },
  });
  const { restores } = await serviceAll(host, new Map([['vm-01', { save, restore }]]));
  await fleet.hosts.releaseHost(host.call);
  const steps = restores[0]?.status === 'fulfilled' ? restores[0].value : [];
  const { facts } = await fleet.facts();
  return {
    path: facts.path,
    stackVersion: facts.stackVersion,
    vdevVersion: steps.flatMap(({ evidence }) =>
      'vdevVersion' in evidence ? evidence.vdevVersion : [],
    )[0],
  };
}

it('an update and the way back keep the VM, each reading what the other stack wrote', async () => {
  const before = (await fleet.facts()).identity;
  expect(await update('2.0.0', 'there')).toEqual({
    path: 'kept',
    stackVersion: '2.0.0',
    vdevVersion: 6,
  });
  expect(await update('1.0.0', 'back')).toEqual({
    path: 'kept',
    stackVersion: '1.0.0',
    vdevVersion: 7,
  });
  expect((await fleet.facts()).identity).toEqual(before);
  await fleet.expectUnharmed();
});

it.each([
  ['of an older VDEV than it reads', { vdevVersion: 5 }, /stack 1\.0\.0 .* reads from 6 on/],
  ['for newer readers only', { vdevVersion: 7, oldestReader: 7 }, /for readers from 7 on/],
])('a record %s is refused before anything is touched', async (_, versions, says) => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  fleet.change(({ vm }) => {
    Object.assign(vm.record ?? {}, versions);
  });
  const run = await VmRun.restore(fleet);
  await run.performBefore('powerOnRestore', RESTORE);
  const before = fleet.photograph();
  await expect(run.perform('powerOnRestore')).rejects.toMatchObject(
    failsAs('RecordUnreadable', says),
  );
  expect(fleet.photograph()).toBe(before);
});

it('a host says which record versions all its stacks read', async () => {
  expect((await fleet.hosts.describe('host-01')).capabilities.recordVersions).toEqual([1]);
});
