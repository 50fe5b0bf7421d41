/** A command on its way through the intermediary of a host: look-up, check, forward to PF or VF, or to where the device is. */
import { controllerOf, emulatedFunctionOf } from '../../../../contract/functions';
import { vfOf } from '../../../../hosts/simulator/devices/physical-function';
import { SAVE, RESTORE, VmRun } from '../simulated-fleet';
import { FunctionFleet, OPERATOR, channelOf } from './function-fleet';

const EPF = emulatedFunctionOf('host-01', 'vm-01');
const CONTROLLER = controllerOf('host-01');

let fleet: FunctionFleet;
beforeEach(() => (fleet = new FunctionFleet({ hosts: 2, vms: 3 })));
afterEach(() => fleet.close());

const ledger = async (functionId = EPF) =>
  (await fleet.output(functionId, 'describeFunction'))?.['ledger'];

describe('bandwidth', () => {
  test('of a VF goes from 5 to 7.5 Gbps, by the VM that has it, and the ledger has it', async () => {
    const answer = await fleet.send(
      EPF,
      'reallocateVirtualFunction',
      { vfId: 0, bandwidthGbps: 7.5 },
      { sender: channelOf('vm-01') },
    );
    expect(answer).toMatchObject({
      kind: 'performed',
      output: { vfId: 0, beforeGbps: 5, bandwidthGbps: 7.5 },
      decisions: [{ hostId: 'host-01', functionId: EPF, rule: 'owner' }],
    });
    expect(await ledger()).toEqual({ capacityGbps: 100, allocatedGbps: 17.5, freeGbps: 82.5 });
    expect(fleet.decisions()[0]).toEqual({
      command: 'PF.SetVirtualFunctionBandwidth',
      status: 'done',
      rule: 'owner',
    });
  });

  test('is never promised twice: over-commitment is refused with the numbers of the ledger', async () => {
    await fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 90 });
    const before = fleet.photograph();
    await expect(
      fleet.send(emulatedFunctionOf('host-01', 'vm-02'), 'reallocateVirtualFunction', {
        bandwidthGbps: 5.1,
      }),
    ).rejects.toMatchObject({
      type: 'FunctionCapacityExceeded',
      message: expect.stringContaining('100 Gbps, of which 100 are allocated and 0 free'),
      facts: { capacityGbps: 100, allocatedGbps: 100, freeGbps: 0, askedGbps: 5.1, hasGbps: 5 },
    });
    expect(fleet.photograph()).toBe(before);
    // To the last of it is no over-commitment.
    await fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 0.1 });
    await fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 90 });
    expect(await ledger()).toMatchObject({ allocatedGbps: 100, freeGbps: 0 });
  });

  test('of a VF that is kept is kept too, over save and restore', async () => {
    await fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 7.5 });
    await (await VmRun.save(fleet)).performAll(SAVE);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect(vfOf(fleet.objects())?.bandwidthGbps).toBe(7.5);
  });

  test('a VF that is allocated when all is promised gets what is left over', async () => {
    const epf2 = emulatedFunctionOf('host-01', 'vm-02');
    const vf = vfOf(fleet.objects('vm-02'));
    fleet.change(({ pf }) => {
      pf.vfs = pf.vfs.filter(({ ownerVmId }) => ownerVmId !== 'vm-02');
      pf.vports = pf.vports.filter(({ vfId }) => vfId !== vf?.vfId);
      for (const filter of pf.filters) if (filter.macAddress === vf?.macAddress) filter.vportId = 0;
      pf.iovVfUsage -= 1;
    });
    await fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 93 });
    const answer = await fleet.output(epf2, 'allocateVirtualFunction');
    expect(answer).toMatchObject({ bandwidthGbps: 2, ledger: { freeGbps: 0 } });
    // No VPort is attached to it, so it can be given back as well.
    expect(await fleet.output(epf2, 'freeVirtualFunction')).toMatchObject({
      ledger: { freeGbps: 2 },
    });
  });
});

describe('a command is denied, audited, and changes nothing:', () => {
  const holdIt = async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
  };
  test.each([
    ['power-cycling the device', EPF, 'powerCycleDevice', {}, 'no-power-cycle', false],
    ['… of the whole host', CONTROLLER, 'powerCycleDevice', {}, 'no-power-cycle', false],
    ['allocating an allocated VF', EPF, 'allocateVirtualFunction', {}, 'vf-is-allocated', false],
    ['what hits all VFs', EPF, 'setAllVirtualFunctions', {}, 'one-function-at-a-time', false],
    ['freeing a held VF', EPF, 'freeVirtualFunction', {}, 'held-vf-stays', true],
    ['resetting one', EPF, 'resetVirtualFunction', {}, 'held-vf-stays', true],
    ['unassigning one', EPF, 'unassignVirtualFunction', {}, 'held-vf-stays', true],
    [
      're-allocating one',
      EPF,
      'reallocateVirtualFunction',
      { bandwidthGbps: 6 },
      'held-vf-stays',
      true,
    ],
  ] as const)('%s', async (_what, functionId, operation, input, rule, held) => {
    if (held) await holdIt();
    const before = fleet.photograph();
    const from = fleet.seq;
    await expect(fleet.send(functionId, operation, input)).rejects.toMatchObject({
      type: 'FunctionPolicyDenied',
      message: expect.stringMatching(
        new RegExp(
          `^${operation} .*${functionId} was denied by rule "${rule}": .*Allowed to this caller now: describeFunction`,
        ),
      ),
    });
    expect(fleet.photograph()).toBe(before);
    expect(fleet.decisions(from)).toEqual([expect.objectContaining({ status: 'denied', rule })]);
    // It was somebody's wish, not a bug of the host.
    expect((await fleet.hosts.describe('host-01')).forbiddenCommands).toBe(0);
  });

  test('a VM commands no function but its own, whatever it says of itself', async () => {
    const denial = { type: 'FunctionPolicyDenied', facts: { rule: 'not-its-function' } };
    await expect(
      fleet.send(EPF, 'describeFunction', {}, { sender: channelOf('vm-02') }),
    ).rejects.toMatchObject(denial);
    await expect(
      fleet.send(EPF, 'describeFunction', { ownerVmId: 'vm-01' }, { sender: channelOf('vm-02') }),
    ).rejects.toMatchObject({ type: 'InvalidInput' });
    await expect(
      fleet.send(EPF, 'describeFunction', {}, { sender: channelOf('vm-09') }),
    ).rejects.toMatchObject({ type: 'UnknownVm' });
  });

  test('nor a VF of another VM through its own function, nor does an operator', async () => {
    for (const sender of [channelOf('vm-01'), OPERATOR])
      await expect(
        fleet.send(EPF, 'reallocateVirtualFunction', { vfId: 1, bandwidthGbps: 6 }, { sender }),
      ).rejects.toMatchObject({ facts: { rule: 'not-its-virtual-function' } });
  });
});

test('a VM sees its own functions only, an operator all', async () => {
  const names = async (sender = OPERATOR) =>
    (
      (await fleet.output(EPF, 'listFunctions', {}, { sender }))?.['functions'] as {
        functionId: string;
      }[]
    ).map(({ functionId }) => functionId);
  expect(await names(channelOf('vm-01'))).toEqual([EPF, 'local:host-01/evf-pf-0-0']);
  expect(await names()).toHaveLength(7);
});

test('a VM that names a function which there is not is told of its own ones only', async () => {
  const sender = channelOf('vm-01');
  await expect(
    fleet.send('local:host-01/epf-vm-77', 'describeFunction', {}, { sender }),
  ).rejects.toMatchObject({
    type: 'UnknownFunction',
    message: expect.stringContaining(`(it has ${EPF}, local:host-01/evf-pf-0-0)`),
  });
});

test('a virtual function is no address of commands: it is named by number', async () => {
  const evf = 'local:host-01/evf-pf-0-0';
  expect(await fleet.output(evf, 'describeFunction')).toMatchObject({ kind: 'virtual' });
  await expect(
    fleet.send(evf, 'reallocateVirtualFunction', { bandwidthGbps: 6 }),
  ).rejects.toMatchObject({ facts: { rule: 'allowed-operations' } });
});

test('while a save or restore is under way, and the VF not yet held, the VM is busy', async () => {
  await VmRun.save(fleet);
  await expect(
    fleet.send(EPF, 'reallocateVirtualFunction', { bandwidthGbps: 6 }),
  ).rejects.toMatchObject({ type: 'VmBusy' });
  await fleet.output(EPF, 'describeFunction');
});

describe('what reaches PF or VF is done there:', () => {
  test('a reset is a new epoch, which the guest’s driver survives', async () => {
    expect(await fleet.output(EPF, 'resetVirtualFunction')).toMatchObject({ configEpoch: 2 });
    await (await VmRun.save(fleet)).performAll(SAVE);
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    await fleet.expectUnharmed();
  });

  test('an unassign takes the VF device, and the guest sees it', async () => {
    await fleet.send(EPF, 'unassignVirtualFunction');
    expect(fleet.objects().adapter.vpci.device).toBeNull();
    expect(fleet.objects().adapter.guest).toMatchObject({ dataPath: 'synthetic' });
    await fleet.expectUnharmed();
  });

  test('what the device itself refuses stays refused: a VF with a VPort is not freed', async () => {
    const before = fleet.photograph();
    await expect(fleet.send(EPF, 'freeVirtualFunction')).rejects.toMatchObject({ type: 'Refused' });
    expect(fleet.photograph()).toBe(before);
    expect(fleet.decisions().at(-1)).toMatchObject({ status: 'refused', rule: 'operator' });
  });
});

describe('by location', () => {
  test('input comes out of the caller’s buffer, output goes into one', async () => {
    fleet.store.functions.putBuffer('host-01', 'vm/vm-01', 'in', { bandwidthGbps: 7.5 });
    const command = { functionId: EPF, operation: 'reallocateVirtualFunction' } as const;
    const answer = await fleet.send(EPF, 'reallocateVirtualFunction', undefined, {
      sender: channelOf('vm-01'),
      command: { ...command, inputLocation: 'in', outputLocation: 'out' },
    });
    expect(answer).toMatchObject({ kind: 'performed', output: null });
    expect(fleet.store.functions.buffer('host-01', 'vm/vm-01', 'out')).toMatchObject({
      bandwidthGbps: 7.5,
    });
  });

  test('a buffer of another caller, or of none, is not there', async () => {
    fleet.store.functions.putBuffer('host-01', 'vm/vm-02', 'in', { bandwidthGbps: 7.5 });
    const command = { functionId: EPF, operation: 'reallocateVirtualFunction' } as const;
    await expect(
      fleet.send(EPF, 'reallocateVirtualFunction', undefined, {
        sender: channelOf('vm-01'),
        command: { ...command, inputLocation: 'in' },
      }),
    ).rejects.toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('no buffer "in" on host-01'),
    });
  });

  test('what is in it is validated like any input', async () => {
    fleet.store.functions.putBuffer('host-01', 'operator', 'in', { bandwidthGbps: -1 });
    const command = { functionId: EPF, operation: 'reallocateVirtualFunction' } as const;
    await expect(
      fleet.send(EPF, 'reallocateVirtualFunction', undefined, {
        command: { ...command, inputLocation: 'in' },
      }),
    ).rejects.toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('input.bandwidthGbps'),
    });
  });
});

describe('at most once', () => {
  const run = { workflowId: 'w', runId: 'r' };

  test('a repeat of the same run is answered as before, and nothing happens again', async () => {
    const first = await fleet.send(EPF, 'resetVirtualFunction', {}, { run });
    const from = fleet.seq;
    expect(await fleet.send(EPF, 'resetVirtualFunction', {}, { run })).toEqual(first);
    expect(fleet.seq).toBe(from);
    expect(vfOf(fleet.objects())?.configEpoch).toBe(2);
    await fleet.send(EPF, 'resetVirtualFunction', {}, { run: { ...run, runId: 'another' } });
    expect(vfOf(fleet.objects())?.configEpoch).toBe(3);
  });

  test('a lost reply is found again; a failure before the effect is none', async () => {
    const faults = [{ kind: 'fail-after', times: 1, delay: '1ms' } as const];
    const again = () => fleet.send(EPF, 'resetVirtualFunction', {}, { run, faults });
    await expect(again()).rejects.toMatchObject({ type: 'HostStepFailed' });
    expect(await again()).toMatchObject({ output: { configEpoch: 2 } });
    const before = [{ kind: 'fail-before', times: 1, delay: '1ms' } as const];
    const other = { run: { ...run, runId: 'other' }, faults: before };
    await expect(fleet.send(EPF, 'resetVirtualFunction', {}, other)).rejects.toMatchObject({
      type: 'HostStepFailed',
    });
    expect(vfOf(fleet.objects())?.configEpoch).toBe(2);
    expect(await fleet.send(EPF, 'resetVirtualFunction', {}, other)).toMatchObject({
      output: { configEpoch: 3 },
    });
  });
});

describe('remote functions', () => {
  const there = emulatedFunctionOf('host-02', 'vm-02');
  const remote = 'remote:host-01/nic';
  const create = (more: object = {}) =>
    fleet.output(CONTROLLER, 'createRemoteFunction', {
      name: 'nic',
      deviceFunctionId: there,
      ownerVmId: 'vm-01',
      ...more,
    });

  test('are made, commanded, changed and removed; the id tells them from local ones', async () => {
    expect(await create()).toMatchObject({ functionId: remote, kind: 'remote' });
    const sender = channelOf('vm-01');
    const elsewhere = await fleet.send(
      remote,
      'reallocateVirtualFunction',
      { bandwidthGbps: 9 },
      { sender },
    );
    expect(elsewhere).toMatchObject({
      kind: 'elsewhere',
      hostId: 'host-02',
      command: { functionId: there, input: { bandwidthGbps: 9 } },
      sender: { kind: 'remoteHost', hostId: 'host-01', vmId: 'vm-01' },
    });
    expect(fleet.decisions().at(-1)).toMatchObject({ status: 'forwarded', rule: 'owner' });

    await fleet.send(CONTROLLER, 'changeRemoteFunction', { name: 'nic', policy: 'read-only' });
    await expect(
      fleet.send(remote, 'reallocateVirtualFunction', { bandwidthGbps: 9 }, { sender }),
    ).rejects.toMatchObject({ type: 'FunctionPolicyDenied' });
    await fleet.send(remote, 'describeFunction', {}, { sender });

    await fleet.send(CONTROLLER, 'removeRemoteFunction', { name: 'nic' });
    await expect(fleet.send(remote, 'describeFunction')).rejects.toMatchObject({
      type: 'UnknownFunction',
    });
  });

  test('the host of the device decides for itself: a remote caller gets what the owner gets', async () => {
    const sender = { kind: 'remoteHost', hostId: 'host-01', vmId: 'vm-01' } as const;
    const at = { hostId: 'host-02', sender };
    expect(
      await fleet.send(there, 'reallocateVirtualFunction', { bandwidthGbps: 9 }, at),
    ).toMatchObject({ output: { bandwidthGbps: 9 }, decisions: [{ rule: 'remote-owner' }] });
    await expect(fleet.send(there, 'resetVirtualFunction', {}, at)).rejects.toMatchObject({
      type: 'FunctionPolicyDenied',
    });
    await expect(
      fleet.send(there, 'reallocateVirtualFunction', { bandwidthGbps: 999 }, at),
    ).rejects.toMatchObject({ type: 'FunctionCapacityExceeded' });
  });

  test('are refused where they make no sense', async () => {
    await expect(create({ deviceFunctionId: EPF })).rejects.toMatchObject({ type: 'Refused' });
    await expect(create({ ownerVmId: 'vm-77' })).rejects.toMatchObject({ type: 'UnknownVm' });
    await expect(create({ policy: 'no-such' })).rejects.toMatchObject({ type: 'Refused' });
    await create();
    await expect(create()).rejects.toMatchObject({ type: 'Refused' });
    await expect(
      fleet.send(CONTROLLER, 'removeRemoteFunction', { name: 'other' }),
    ).rejects.toMatchObject({ type: 'UnknownFunction' });
  });

  test('are for operators to make, not for VMs', async () => {
    await expect(
      fleet.send(
        CONTROLLER,
        'createRemoteFunction',
        { name: 'nic', deviceFunctionId: there },
        { sender: channelOf('vm-01') },
      ),
    ).rejects.toMatchObject({ type: 'FunctionPolicyDenied' });
  });
});

test('an entry is made at the first command, also in a host of before there were any', async () => {
  expect(fleet.store.functions.entries('host-01')).toEqual([]);
  await fleet.send(EPF, 'describeFunction');
  expect(fleet.store.functions.entries('host-01')).toMatchObject([
    { functionId: EPF, kind: 'physical', deviceId: 'pf-0', ownerVmId: 'vm-01', policy: 'default' },
  ]);
});
