/** Functions of several physical devices, shown to their VM as one; VMs that have VFs of several PFs. */
import { controllerOf } from '../../../../contract/functions';
import { FunctionFleet, channelOf } from './function-fleet';

const CONTROLLER = controllerOf('host-01');
// The mix gives vm-02 two NICs on two PFs, vm-03 two on one, vm-04 a NIC and an NVMe controller, vm-06 no VF.
const NIC = 'local:host-01/epf-vm-04';
const NVME = 'local:host-01/epf-vm-04.nvme-pf-0';
const BOTH = 'local:host-01/both';
const sender = channelOf('vm-04');

let fleet: FunctionFleet;
beforeEach(async () => {
  fleet = new FunctionFleet({ hosts: 2, vms: 6, adapters: 'mixed' });
  await fleet.send(CONTROLLER, 'createRemoteFunction', {
    name: 'far',
    deviceFunctionId: 'local:host-02/epf-vm-01',
    ownerVmId: 'vm-04',
  });
});
afterEach(() => fleet.close());

const create = (more: object = {}) =>
  fleet.output(CONTROLLER, 'createCompositeFunction', {
    name: 'both',
    ownerVmId: 'vm-04',
    parts: [
      { part: 'net', functionId: NIC },
      { part: 'disk', functionId: NVME },
      { part: 'far', functionId: 'remote:host-01/far' },
    ],
    ...more,
  });

test('a VM sees one function with the VFs of all its parts, and no device', async () => {
  await create();
  const seen = await fleet.output(BOTH, 'describeFunction', {}, { sender });
  expect(seen).toEqual({
    functionId: BOTH,
    kind: 'composite',
    ownerVmId: 'vm-04',
    policy: 'default',
    parts: [
      { part: 'net', where: 'local' },
      { part: 'disk', where: 'local' },
      { part: 'far', where: 'remote' },
    ],
    virtualFunctions: [
      { part: 'net', vfId: expect.any(Number), bandwidthGbps: 5 },
      { part: 'disk', vfId: 0, bandwidthGbps: 5 },
    ],
  });
});

test('a command goes to the part that it names, after both entries were asked', async () => {
  await create();
  const answer = await fleet.send(
    BOTH,
    'reallocateVirtualFunction',
    { part: 'disk', bandwidthGbps: 8 },
    { sender },
  );
  expect(answer).toMatchObject({
    output: { vfId: 0, bandwidthGbps: 8 },
    decisions: [
      { functionId: BOTH, rule: 'owner' },
      { functionId: NVME, rule: 'owner' },
    ],
  });
  expect(fleet.objects('vm-04', 'nvme-0').pf.vfs[0]?.bandwidthGbps).toBe(8);
  expect(await fleet.send(BOTH, 'describeFunction', { part: 'far' }, { sender })).toMatchObject({
    kind: 'elsewhere',
    hostId: 'host-02',
    command: { input: {} },
  });
});

test('of several parts that would do one must be named; the only one need not be', async () => {
  await create();
  const ask = (input: object) =>
    fleet.send(BOTH, 'reallocateVirtualFunction', { bandwidthGbps: 8, ...input }, { sender });
  await expect(ask({})).rejects.toMatchObject({
    type: 'InvalidInput',
    message: expect.stringContaining('name one of net, disk, far'),
  });
  await expect(ask({ part: 'sound' })).rejects.toMatchObject({ type: 'InvalidInput' });
  await fleet.send(CONTROLLER, 'removeCompositeFunction', { name: 'both' });
  await create({ parts: [{ part: 'disk', functionId: NVME }] });
  expect(await ask({})).toMatchObject({ output: { vfId: 0 } });
});

test('the policy of the composite function is asked as well as that of the part', async () => {
  await create({ policy: 'read-only' });
  await expect(
    fleet.send(BOTH, 'reallocateVirtualFunction', { part: 'disk', bandwidthGbps: 8 }, { sender }),
  ).rejects.toMatchObject({ type: 'FunctionPolicyDenied' });
  await expect(
    fleet.send(BOTH, 'describeFunction', {}, { sender: channelOf('vm-01') }),
  ).rejects.toMatchObject({ facts: { rule: 'not-its-function' } });
  // Nor is another VM told what it is made of.
  await expect(
    fleet.send(BOTH, 'describeFunction', { part: 'sound' }, { sender: channelOf('vm-01') }),
  ).rejects.toMatchObject({ facts: { rule: 'not-its-function' } });
});

test.each([
  ['of another VM', { parts: [{ part: 'a', functionId: 'local:host-01/epf-vm-01' }] }],
  ['of another host', { parts: [{ part: 'a', functionId: 'local:host-02/epf-vm-01' }] }],
  ['a virtual one', { parts: [{ part: 'a', functionId: 'local:host-01/evf-pf-0-0' }] }],
  ['twice of one name', { parts: [NIC, NVME].map((functionId) => ({ part: 'a', functionId })) }],
  ['under the name of a device’s function', { name: 'epf-vm-09' }],
])('parts are refused: %s', async (_what, input) => {
  await expect(create(input)).rejects.toMatchObject({ type: 'Refused' });
});

test('a function that is part of another stays until that one is removed', async () => {
  await create();
  await expect(
    fleet.send(CONTROLLER, 'removeRemoteFunction', { name: 'far' }),
  ).rejects.toMatchObject({ type: 'Refused', message: expect.stringContaining(BOTH) });
  await fleet.send(CONTROLLER, 'removeCompositeFunction', { name: 'both' });
  await fleet.send(CONTROLLER, 'removeRemoteFunction', { name: 'far' });
});

describe('a VM with several adapters', () => {
  test('has a function on each of its PFs', async () => {
    expect(await fleet.output(NIC, 'describeFunction')).toMatchObject({ deviceId: 'pf-0' });
    expect(await fleet.output(NVME, 'describeFunction')).toMatchObject({
      deviceId: 'nvme-pf-0',
      virtualFunctions: [{ adapterId: 'nvme-0' }],
    });
  });

  test('names which of two VFs on one PF it means', async () => {
    const epf = 'local:host-01/epf-vm-03';
    const seen = await fleet.output(epf, 'describeFunction');
    const [first, second] = (seen?.['virtualFunctions'] ?? []) as { vfId: number }[];
    await expect(
      fleet.send(epf, 'reallocateVirtualFunction', { bandwidthGbps: 6 }),
    ).rejects.toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining(
        `name one of ${String(first?.vfId)}, ${String(second?.vfId)}`,
      ),
    });
    expect(
      await fleet.output(epf, 'reallocateVirtualFunction', {
        vfId: second?.vfId,
        bandwidthGbps: 6,
      }),
    ).toMatchObject({ vfId: second?.vfId });
  });

  test('whose NIC is to have no VF gets none', async () => {
    await expect(
      fleet.send('local:host-01/epf-vm-06', 'allocateVirtualFunction'),
    ).rejects.toMatchObject({ type: 'Refused' });
  });

  test('resets an NVMe controller by a command of its own', async () => {
    await fleet.send(NVME, 'resetVirtualFunction');
    expect(fleet.decisions().at(-1)).toMatchObject({
      command: 'NVMe.SecondaryController.Reset',
      status: 'done',
    });
  });
});
