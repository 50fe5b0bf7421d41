/** The quoted paragraphs of US 2024/0256320, and the flow of its claim 1, as runs of commandFunction leave it on their hosts. */
import type { CommandFunctionInput } from '../../contract/functions';
import { Suite } from '../support/suite';

let suite: Suite;
let first: string;
let second: string;
let third: string;
beforeAll(async () => {
  suite = await Suite.on({ vms: 4, adapters: 'mixed' }, 3);
  [first, second, third] = suite.hostIds as [string, string, string];
});
afterAll(() => suite.stop());

const send = (input: CommandFunctionInput) => suite.run('commandFunction', input);
const journalSeq = (hostId: string) => suite.stack.store.host(hostId).journalSeq;
/** What the intermediary of a host wrote down since this entry. */
const written = (hostId: string, afterSeq: number) =>
  suite
    .journal(hostId)
    .filter(({ seq }) => seq > afterSeq)
    .map(({ command, status, rule }) => ({ command, status, rule }));
const share = (hostId: string, vmId: string, pfId = 'pf-0') =>
  suite.stack.store
    .pfs(hostId)
    .find((pf) => pf.pfId === pfId)
    ?.vfs.find((vf) => vf.ownerVmId === vmId)?.bandwidthGbps;
const reallocate = { operation: 'reallocateVirtualFunction', input: { bandwidthGbps: 6 } } as const;

test('Dawkins ¶43: resources of several devices are shown to a VM as one', async () => {
  const functionId = `local:${first}/all`;
  await send({
    functionId: `local:${first}/controller`,
    operation: 'createCompositeFunction',
    input: {
      name: 'all',
      ownerVmId: 'vm-04',
      parts: [
        { part: 'net', functionId: `local:${first}/epf-vm-04` },
        { part: 'disk', functionId: `local:${first}/epf-vm-04.nvme-pf-0` },
      ],
    },
  });
  const { output } = await send({ functionId, operation: 'describeFunction', vmId: 'vm-04' });
  expect(output).toMatchObject({
    functionId,
    virtualFunctions: [{ part: 'net' }, { part: 'disk' }],
  });
  expect(JSON.stringify(output)).not.toMatch(/pf-\d/);
  await send({
    functionId,
    vmId: 'vm-04',
    ...reallocate,
    input: { part: 'disk', bandwidthGbps: 6 },
  });
  expect(share(first, 'vm-04', 'nvme-pf-0')).toBe(6);
});

test('Dawkins ¶50: what goes to a function is intercepted by its host, and forwarded or filtered', async () => {
  const from = journalSeq(second);
  await suite.run('fastSave', { hostId: second, vmId: 'vm-01' });
  await suite.run('fastRestore', { hostId: second, vmId: 'vm-01' });
  const functionCommands = suite
    .journal(second)
    .filter(
      ({ seq, command }) => seq > from && /^(VPCI|OID_NIC_SWITCH|OID_SRIOV)/.test(command ?? ''),
    );
  expect(functionCommands.length).toBeGreaterThan(5);
  expect(functionCommands.filter(({ rule }) => rule !== 'servicing')).toEqual([]);
});

test('Dawkins ¶56: each VM has a channel of its own, and commands its own function only', async () => {
  const functionId = `local:${second}/epf-vm-02`;
  expect(
    await suite.fails('commandFunction', { functionId, vmId: 'vm-01', ...reallocate }),
  ).toMatchObject({
    type: 'FunctionPolicyDenied',
    message: expect.stringContaining('"not-its-function"'),
  });
  await send({ functionId: `local:${second}/epf-vm-01`, vmId: 'vm-01', ...reallocate });
  expect(share(second, 'vm-01')).toBe(6);
});

test('Dawkins ¶62: remote functions are made, changed and removed by the controller, which polices them', async () => {
  const controller = `local:${first}/controller`;
  const functionId = `remote:${first}/far`;
  const made = { name: 'far', deviceFunctionId: `local:${second}/epf-vm-01`, ownerVmId: 'vm-01' };
  await send({ functionId: controller, operation: 'createRemoteFunction', input: made });
  expect(
    (await send({ functionId, vmId: 'vm-01', ...reallocate, input: { bandwidthGbps: 7 } }))
      .performedAt,
  ).toBe(second);
  await send({
    functionId: controller,
    operation: 'changeRemoteFunction',
    input: { name: 'far', deviceFunctionId: `local:${third}/epf-vm-01` },
  });
  const moved = await send({ functionId, vmId: 'vm-01', ...reallocate });
  expect(moved).toMatchObject({
    performedAt: third,
    decisions: [{}, { rule: 'remote-owner' }],
  });
  await send({ functionId: controller, operation: 'removeRemoteFunction', input: { name: 'far' } });
  expect(await suite.fails('commandFunction', { functionId, ...reallocate })).toMatchObject({
    type: 'UnknownFunction',
  });
});

test('Dawkins ¶68: a function has an entry of its own, whose id tells local from remote at a glance', async () => {
  const { output } = await send({
    functionId: `local:${first}/controller`,
    operation: 'createRemoteFunction',
    input: { name: 'seen', deviceFunctionId: `local:${second}/epf-vm-01`, ownerVmId: 'vm-02' },
  });
  expect(output).toEqual({
    functionId: `remote:${first}/seen`,
    kind: 'remote',
    deviceId: null,
    functionNumber: null,
    ownerVmId: 'vm-02',
    location: { hostId: second, functionId: `local:${second}/epf-vm-01` },
    parts: [],
    allowedOperations: ['describeFunction', 'reallocateVirtualFunction'],
    policy: 'default',
  });
  const listed = await send({
    functionId: `local:${first}/controller`,
    operation: 'listFunctions',
  });
  for (const { functionId, kind } of listed.output?.['functions'] as {
    functionId: string;
    kind: string;
  }[])
    expect(functionId.startsWith('remote:')).toBe(kind === 'remote');
});

test.each([
  ['power-cycling the device', 'powerCycleDevice', 'no-power-cycle'],
  ['allocating an allocated VF', 'allocateVirtualFunction', 'vf-is-allocated'],
  ['what would affect all VFs', 'setAllVirtualFunctions', 'one-function-at-a-time'],
] as const)('Dawkins ¶76: the policy prohibits %s', async (_what, operation, rule) => {
  const from = journalSeq(third);
  const functionId = `local:${third}/epf-vm-01`;
  expect(await suite.fails('commandFunction', { functionId, operation })).toMatchObject({
    type: 'FunctionPolicyDenied',
  });
  expect(written(third, from)).toEqual([{ command: expect.any(String), status: 'denied', rule }]);
});

test('Dawkins ¶78: a command has operation and input, by value or by location, and a place for its output', async () => {
  const { functions } = suite.stack.store;
  const functionId = `local:${third}/epf-vm-01`;
  const operation = 'reallocateVirtualFunction';
  const byValue = await send({ functionId, operation, input: { bandwidthGbps: 6 } });
  expect(byValue.output).toMatchObject({ bandwidthGbps: 6 });
  functions.putBuffer(third, 'vm/vm-01', 'in', { bandwidthGbps: 8 });
  const places = { inputLocation: 'in', outputLocation: 'out' };
  const byLocation = await send({ functionId, operation, vmId: 'vm-01', ...places });
  expect(byLocation.output).toBeNull();
  expect(functions.buffer(third, 'vm/vm-01', 'out')).toMatchObject({ beforeGbps: 6 });
});

test('Dawkins ¶80: it names an emulated function; the VF is a parameter', async () => {
  const input = { vfId: 0, bandwidthGbps: 6 };
  await send({ ...reallocate, functionId: `local:${third}/epf-vm-01`, input });
  expect(
    await suite.fails('commandFunction', {
      ...reallocate,
      functionId: `local:${third}/evf-pf-0-0`,
    }),
  ).toMatchObject({ type: 'FunctionPolicyDenied' });
});

test('Dawkins ¶108: id found local, entry looked up, policy not violated, forwarded to the PF, 5 to 7.5 Gbps', async () => {
  const from = journalSeq(first);
  expect(share(first, 'vm-01')).toBe(5);
  const result = await send({
    functionId: `local:${first}/epf-vm-01`,
    operation: 'reallocateVirtualFunction',
    input: { vfId: 0, bandwidthGbps: 7.5 },
    vmId: 'vm-01',
  });
  expect(result.decisions).toMatchObject([
    { functionId: `local:${first}/epf-vm-01`, rule: 'owner' },
  ]);
  expect(written(first, from)).toEqual([
    { command: 'PF.SetVirtualFunctionBandwidth', status: 'done', rule: 'owner' },
  ]);
  expect(share(first, 'vm-01')).toBe(7.5);
});

test('Dawkins claim 1: a remote function’s command is decided, forwarded, waited for, and its answer returned', async () => {
  const functionId = `remote:${first}/of-vm-03`;
  await send({
    functionId: `local:${first}/controller`,
    operation: 'createRemoteFunction',
    input: { name: 'of-vm-03', deviceFunctionId: `local:${second}/epf-vm-02`, ownerVmId: 'vm-03' },
  });
  const [here, there] = [journalSeq(first), journalSeq(second)];
  const result = await send({ ...reallocate, functionId, vmId: 'vm-03' });
  expect(result).toMatchObject({ performedAt: second, output: { bandwidthGbps: 6 } });
  const command = 'PF.SetVirtualFunctionBandwidth';
  expect(written(first, here)).toEqual([
    { command, status: 'forwarded', rule: 'owner' },
    { command, status: 'returned', rule: undefined },
  ]);
  expect(written(second, there)).toEqual([{ command, status: 'done', rule: 'remote-owner' }]);
});
