/** The workflow commandFunction: one policed command to one function of a host, on a real server. */
import type { CommandFunctionInput } from '../../contract/functions';
import { Suite } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('commands', { hosts: 4, vms: 4, adapters: 'mixed' });
});
afterAll(() => suite.stop());

const of = (hostId: string, vmId = 'vm-01') => `local:${hostId}/epf-${vmId}`;
const controller = 'local:host-01/controller';

/** The input of one command. */
const command = (
  functionId: string,
  operation: CommandFunctionInput['operation'],
  input?: CommandFunctionInput['input'],
  more: Partial<CommandFunctionInput> = {},
): CommandFunctionInput => ({
  functionId,
  operation,
  ...(input === undefined ? {} : { input }),
  ...more,
});
const reallocate = (
  functionId: string,
  bandwidthGbps: number,
  more: Partial<CommandFunctionInput> = {},
) => command(functionId, 'reallocateVirtualFunction', { bandwidthGbps }, more);

const send = (input: CommandFunctionInput) => suite.run('commandFunction', input);
const sharesOf = (hostId: string) =>
  suite.stack.store.pfs(hostId).map(({ vfs }) => vfs.map((vf) => vf.bandwidthGbps));
const decided = (hostId: string, afterSeq = 0) =>
  suite
    .journal(hostId)
    .filter(({ seq, rule }) => seq > afterSeq && rule !== undefined)
    .map(({ step, status, rule }) => ({ step, status, rule }));

test('a VM’s VF goes from 5 to 7.5 Gbps, through its own channel', async () => {
  const result = await send(
    command(
      of('host-01'),
      'reallocateVirtualFunction',
      { vfId: 0, bandwidthGbps: 7.5 },
      { vmId: 'vm-01' },
    ),
  );
  expect(result).toMatchObject({
    outcome: 'performed',
    performedAt: 'host-01',
    output: { vfId: 0, beforeGbps: 5, bandwidthGbps: 7.5 },
    decisions: [{ hostId: 'host-01', functionId: of('host-01'), rule: 'owner' }],
  });
  expect(sharesOf('host-01')[0]?.[0]).toBe(7.5);
  expect(decided('host-01')).toEqual([{ step: 'commandFunction', status: 'done', rule: 'owner' }]);
});

test('over-commitment is refused with the ledger’s numbers, and changes nothing', async () => {
  const before = sharesOf('host-02');
  const ended = await suite.fails('commandFunction', reallocate(of('host-02'), 500));
  expect(ended).toMatchObject({
    type: 'FunctionCapacityExceeded',
    message: expect.stringMatching(/has 100 Gbps, of which \d+ are allocated and \d+ free/),
  });
  expect(sharesOf('host-02')).toEqual(before);
});

describe('the policy denies, typed and audited:', () => {
  test.each([
    ['power-cycling', command(of('host-02'), 'powerCycleDevice'), 'no-power-cycle'],
    [
      'a change of all VFs',
      command(of('host-02'), 'setAllVirtualFunctions'),
      'one-function-at-a-time',
    ],
    ['a second VF', command(of('host-02'), 'allocateVirtualFunction'), 'vf-is-allocated'],
    ['another VM’s function', reallocate(of('host-02'), 6, { vmId: 'vm-02' }), 'not-its-function'],
    [
      'what a VM has no right to',
      command(of('host-02'), 'resetVirtualFunction', {}, { vmId: 'vm-01' }),
      'nothing-allows-it',
    ],
  ])('%s', async (_what, input, rule) => {
    const { journalSeq } = suite.stack.store.host('host-02');
    const ended = await suite.fails('commandFunction', input);
    expect(ended).toMatchObject({
      type: 'FunctionPolicyDenied',
      message: expect.stringContaining(`denied by rule "${rule}"`),
    });
    expect(decided('host-02', journalSeq)).toEqual([
      { step: 'commandFunction', status: 'denied', rule },
    ]);
  });

  test('everything that would disturb a held VF; the save knows nothing of it', async () => {
    await suite.run('fastSave', { hostId: 'host-02', vmId: 'vm-01' });
    for (const operation of [
      'freeVirtualFunction',
      'resetVirtualFunction',
      'unassignVirtualFunction',
    ] as const)
      expect(await suite.fails('commandFunction', command(of('host-02'), operation))).toMatchObject(
        {
          type: 'FunctionPolicyDenied',
          message: expect.stringContaining('"held-vf-stays"'),
        },
      );
    expect(await suite.fails('commandFunction', reallocate(of('host-02'), 6))).toMatchObject({
      type: 'FunctionPolicyDenied',
    });
    const restored = await suite.run('fastRestore', { hostId: 'host-02', vmId: 'vm-01' });
    expect(restored.vm).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
  });
});

describe('a remote function', () => {
  const remote = 'remote:host-01/far';
  beforeAll(() =>
    send(
      command(controller, 'createRemoteFunction', {
        name: 'far',
        deviceFunctionId: of('host-03'),
        ownerVmId: 'vm-01',
      }),
    ),
  );

  test('is performed at the host of its device, which decides too; the answer comes back by the first', async () => {
    const result = await send(reallocate(remote, 9, { vmId: 'vm-01' }));
    expect(result).toMatchObject({
      functionId: remote,
      performedAt: 'host-03',
      output: { bandwidthGbps: 9 },
      decisions: [
        { hostId: 'host-01', functionId: remote, rule: 'owner' },
        { hostId: 'host-03', functionId: of('host-03'), rule: 'remote-owner' },
      ],
    });
    expect(sharesOf('host-03')[0]?.[0]).toBe(9);
    expect(suite.journal('host-01').at(-1)).toMatchObject({
      step: 'returnRemoteAnswer',
      status: 'returned',
    });
  });

  test('is refused by the host of its device where that one has not as much', async () => {
    expect(await suite.fails('commandFunction', reallocate(remote, 900))).toMatchObject({
      type: 'FunctionCapacityExceeded',
    });
    expect(suite.journal('host-01').at(-1)).toMatchObject({
      step: 'returnRemoteAnswer',
      status: 'failed',
      detail: expect.stringContaining('has 100 Gbps'),
    });
  });

  test('by location: input and output are buffers of the caller, at its own host', async () => {
    const { functions } = suite.stack.store;
    functions.putBuffer('host-01', 'vm/vm-01', 'asked', { bandwidthGbps: 8 });
    const result = await send(
      command(remote, 'reallocateVirtualFunction', undefined, {
        vmId: 'vm-01',
        inputLocation: 'asked',
        outputLocation: 'answer',
      }),
    );
    expect(result).toMatchObject({ output: null, outputLocation: 'answer' });
    expect(functions.buffer('host-01', 'vm/vm-01', 'answer')).toMatchObject({ bandwidthGbps: 8 });
  });

  test('whose host nobody serves ends as unreachable, in time, and the first host is told', async () => {
    await send(
      command(controller, 'changeRemoteFunction', {
        name: 'far',
        deviceFunctionId: 'local:host-99/epf-vm-01',
      }),
    );
    const startedAt = Date.now();
    expect(await suite.fails('commandFunction', reallocate(remote, 6))).toMatchObject({
      type: 'HostUnreachable',
      message: expect.stringContaining('host-99'),
    });
    expect(Date.now() - startedAt).toBeLessThan(15_000);
    expect(suite.journal('host-01').at(-1)).toMatchObject({ status: 'failed' });
  });
});

test('a composite function shows a NIC and an NVMe controller as one, and reaches both', async () => {
  const made = await send(
    command(controller, 'createCompositeFunction', {
      name: 'all',
      ownerVmId: 'vm-04',
      parts: [
        { part: 'net', functionId: of('host-01', 'vm-04') },
        { part: 'disk', functionId: `${of('host-01', 'vm-04')}.nvme-pf-0` },
      ],
    }),
  );
  expect(made.output).toMatchObject({ functionId: 'local:host-01/all', kind: 'composite' });
  const seen = await send(command('local:host-01/all', 'describeFunction', {}, { vmId: 'vm-04' }));
  expect(seen.output?.['virtualFunctions']).toMatchObject([{ part: 'net' }, { part: 'disk' }]);
  const done = await send(
    command(
      'local:host-01/all',
      'reallocateVirtualFunction',
      { part: 'disk', bandwidthGbps: 6.5 },
      { vmId: 'vm-04' },
    ),
  );
  expect(done.decisions).toHaveLength(2);
  expect(sharesOf('host-01')[2]).toEqual([6.5]);
});

test('a lost reply is asked for again, and the effect is there once', async () => {
  const epoch = () => suite.stack.store.pfs('host-04')[0]?.vfs[0]?.configEpoch;
  const result = await send(
    command(of('host-04'), 'resetVirtualFunction', undefined, {
      faults: [{ kind: 'fail-after', times: 2 }],
    }),
  );
  expect(result.output).toMatchObject({ configEpoch: 2 });
  expect(epoch()).toBe(2);
  expect(decided('host-04')).toHaveLength(1);
});

describe('bad input ends within seconds, typed, and names what is wrong:', () => {
  test.each<[string, unknown, string[]]>([
    ['nothing at all', undefined, ['input']],
    [
      'an id without its prefix',
      { functionId: 'host-01/epf-vm-01', operation: 'describeFunction' },
      ['functionId', 'local:'],
    ],
    ['an unknown operation', { functionId: of('host-01'), operation: 'explode' }, ['operation']],
    [
      'an operation of servicing',
      { functionId: of('host-01'), operation: 'createVpciBus' },
      ['operation'],
    ],
    ['no bandwidth', command(of('host-01'), 'reallocateVirtualFunction'), ['input.bandwidthGbps']],
    ['a negative one', reallocate(of('host-01'), -1), ['input.bandwidthGbps']],
    [
      'a field of another operation',
      command(of('host-01'), 'describeFunction', { bandwidthGbps: 1 }),
      ['input'],
    ],
    ['both ways of input', reallocate(of('host-01'), 6, { inputLocation: 'b' }), ['inputLocation']],
    [
      'a buffer that is not there',
      command(of('host-01'), 'describeFunction', undefined, { inputLocation: 'b' }),
      ['no buffer "b"'],
    ],
  ])('%s', async (_what, input, named) => {
    const ended = await suite.fails('commandFunction', input);
    expect(ended.type).toBe('InvalidInput');
    for (const text of named) expect(ended.message).toContain(text);
  });

  test('a function that the host does not have', async () => {
    expect(
      await suite.fails('commandFunction', command(of('host-01', 'vm-77'), 'describeFunction')),
    ).toMatchObject({
      type: 'UnknownFunction',
      message: expect.stringContaining('local:host-01/epf-vm-01'),
    });
  });
  test('a VM that the host does not have', async () => {
    expect(
      await suite.fails('commandFunction', reallocate(of('host-01'), 6, { vmId: 'vm-77' })),
    ).toMatchObject({
      type: 'UnknownVm',
    });
  });
});
