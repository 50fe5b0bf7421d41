/** The workflow commandFunction: one policed command to one function of a host, on a real server. */
import type { CommandFunctionInput } from '../../contract/functions';
import { Suite, ending } from '../support/suite';
import { waitedInVainMs } from './unreachable';

let suite: Suite;
/** No command of these tests gets as far as to be performed there. */
let untouched: string;
beforeAll(async () => {
  suite = await Suite.on({ vms: 4, adapters: 'mixed' }, 19);
  untouched = suite.freshHost();
});
afterAll(() => suite.stop());

const of = (hostId: string, vmId = 'vm-01') => `local:${hostId}/epf-${vmId}`;
const controllerOf = (hostId: string) => `local:${hostId}/controller`;

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

test.concurrent('a VM’s VF goes from 5 to 7.5 Gbps, through its own channel', async () => {
  const hostId = suite.freshHost();
  const result = await send(
    command(
      of(hostId),
      'reallocateVirtualFunction',
      { vfId: 0, bandwidthGbps: 7.5 },
      { vmId: 'vm-01' },
    ),
  );
  expect(result).toMatchObject({
    outcome: 'performed',
    performedAt: hostId,
    output: { vfId: 0, beforeGbps: 5, bandwidthGbps: 7.5 },
    decisions: [{ hostId, functionId: of(hostId), rule: 'owner' }],
  });
  expect(sharesOf(hostId)[0]?.[0]).toBe(7.5);
  expect(decided(hostId)).toEqual([{ step: 'commandFunction', status: 'done', rule: 'owner' }]);
});

test.concurrent(
  'over-commitment is refused with the ledger’s numbers, and changes nothing',
  async () => {
    const hostId = suite.freshHost();
    const before = sharesOf(hostId);
    const ended = await suite.fails('commandFunction', reallocate(of(hostId), 500));
    expect(ended).toMatchObject({
      type: 'FunctionCapacityExceeded',
      message: expect.stringMatching(/has 100 Gbps, of which \d+ are allocated and \d+ free/),
    });
    expect(sharesOf(hostId)).toEqual(before);
  },
);

describe('the policy denies, typed and audited:', () => {
  test.concurrent.each<[string, (functionId: string) => CommandFunctionInput, string]>([
    ['power-cycling', (id) => command(id, 'powerCycleDevice'), 'no-power-cycle'],
    [
      'a change of all VFs',
      (id) => command(id, 'setAllVirtualFunctions'),
      'one-function-at-a-time',
    ],
    ['a second VF', (id) => command(id, 'allocateVirtualFunction'), 'vf-is-allocated'],
    ['another VM’s function', (id) => reallocate(id, 6, { vmId: 'vm-02' }), 'not-its-function'],
    [
      'what a VM has no right to',
      (id) => command(id, 'resetVirtualFunction', {}, { vmId: 'vm-01' }),
      'nothing-allows-it',
    ],
  ])('%s', async (_what, input, rule) => {
    const hostId = suite.freshHost();
    const { journalSeq } = suite.stack.store.host(hostId);
    const ended = await suite.fails('commandFunction', input(of(hostId)));
    expect(ended).toMatchObject({
      type: 'FunctionPolicyDenied',
      message: expect.stringContaining(`denied by rule "${rule}"`),
    });
    expect(decided(hostId, journalSeq)).toEqual([
      { step: 'commandFunction', status: 'denied', rule },
    ]);
  });

  test.concurrent(
    'everything that would disturb a held VF; the save knows nothing of it',
    async () => {
      const hostId = suite.freshHost();
      await suite.run('fastSave', { hostId, vmId: 'vm-01' });
      for (const operation of [
        'freeVirtualFunction',
        'resetVirtualFunction',
        'unassignVirtualFunction',
      ] as const)
        expect(await suite.fails('commandFunction', command(of(hostId), operation))).toMatchObject({
          type: 'FunctionPolicyDenied',
          message: expect.stringContaining('"held-vf-stays"'),
        });
      expect(await suite.fails('commandFunction', reallocate(of(hostId), 6))).toMatchObject({
        type: 'FunctionPolicyDenied',
      });
      const restored = await suite.run('fastRestore', { hostId, vmId: 'vm-01' });
      expect(restored.vm).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
    },
  );
});

describe('a remote function', () => {
  /** A function of one host, owned by its vm-01, whose device is at another. */
  async function remoteFunction() {
    const [hostId, deviceHostId] = suite.freshHosts(2) as [string, string];
    await send(
      command(controllerOf(hostId), 'createRemoteFunction', {
        name: 'far',
        deviceFunctionId: of(deviceHostId),
        ownerVmId: 'vm-01',
      }),
    );
    return { hostId, deviceHostId, remote: `remote:${hostId}/far` };
  }

  test.concurrent(
    'is performed at the host of its device, which decides too; the answer comes back by the first',
    async () => {
      const { hostId, deviceHostId, remote } = await remoteFunction();
      const result = await send(reallocate(remote, 9, { vmId: 'vm-01' }));
      expect(result).toMatchObject({
        functionId: remote,
        performedAt: deviceHostId,
        output: { bandwidthGbps: 9 },
        decisions: [
          { hostId, functionId: remote, rule: 'owner' },
          { hostId: deviceHostId, functionId: of(deviceHostId), rule: 'remote-owner' },
        ],
      });
      expect(sharesOf(deviceHostId)[0]?.[0]).toBe(9);
      expect(suite.journal(hostId).at(-1)).toMatchObject({
        step: 'returnRemoteAnswer',
        status: 'returned',
      });
    },
  );

  test.concurrent(
    'is refused by the host of its device where that one has not as much',
    async () => {
      const { hostId, remote } = await remoteFunction();
      expect(await suite.fails('commandFunction', reallocate(remote, 900))).toMatchObject({
        type: 'FunctionCapacityExceeded',
      });
      expect(suite.journal(hostId).at(-1)).toMatchObject({
        step: 'returnRemoteAnswer',
        status: 'failed',
        detail: expect.stringContaining('has 100 Gbps'),
      });
    },
  );

  test.concurrent(
    'by location: input and output are buffers of the caller, at its own host',
    async () => {
      const { hostId, remote } = await remoteFunction();
      const { functions } = suite.stack.store;
      functions.putBuffer(hostId, 'vm/vm-01', 'asked', { bandwidthGbps: 8 });
      const result = await send(
        command(remote, 'reallocateVirtualFunction', undefined, {
          vmId: 'vm-01',
          inputLocation: 'asked',
          outputLocation: 'answer',
        }),
      );
      expect(result).toMatchObject({ output: null, outputLocation: 'answer' });
      expect(functions.buffer(hostId, 'vm/vm-01', 'answer')).toMatchObject({ bandwidthGbps: 8 });
    },
  );

  test.concurrent(
    'whose host nobody serves ends as unreachable, in time, and the first host hears of it',
    async () => {
      const { hostId, remote } = await remoteFunction();
      await send(
        command(controllerOf(hostId), 'changeRemoteFunction', {
          name: 'far',
          deviceFunctionId: 'local:host-99/epf-vm-01',
        }),
      );
      const run = await suite.start('commandFunction', reallocate(remote, 6));
      expect(await ending(run)).toMatchObject({
        type: 'HostUnreachable',
        message: expect.stringContaining('host-99'),
      });
      const [waitedMs, ...more] = await waitedInVainMs(run);
      expect(waitedMs).toBeLessThan(15_000);
      expect(more).toEqual([]);
      expect(suite.journal(hostId).at(-1)).toMatchObject({ status: 'failed' });
    },
  );
});

test.concurrent(
  'a composite function shows a NIC and an NVMe controller as one, and reaches both',
  async () => {
    const hostId = suite.freshHost();
    const all = `local:${hostId}/all`;
    const made = await send(
      command(controllerOf(hostId), 'createCompositeFunction', {
        name: 'all',
        ownerVmId: 'vm-04',
        parts: [
          { part: 'net', functionId: of(hostId, 'vm-04') },
          { part: 'disk', functionId: `${of(hostId, 'vm-04')}.nvme-pf-0` },
        ],
      }),
    );
    expect(made.output).toMatchObject({ functionId: all, kind: 'composite' });
    const seen = await send(command(all, 'describeFunction', {}, { vmId: 'vm-04' }));
    expect(seen.output?.['virtualFunctions']).toMatchObject([{ part: 'net' }, { part: 'disk' }]);
    const done = await send(
      command(
        all,
        'reallocateVirtualFunction',
        { part: 'disk', bandwidthGbps: 6.5 },
        { vmId: 'vm-04' },
      ),
    );
    expect(done.decisions).toHaveLength(2);
    expect(sharesOf(hostId)[2]).toEqual([6.5]);
  },
);

test.concurrent('a lost reply is asked for again, and the effect is there once', async () => {
  const hostId = suite.freshHost();
  const epoch = () => suite.stack.store.pfs(hostId)[0]?.vfs[0]?.configEpoch;
  const result = await send(
    command(of(hostId), 'resetVirtualFunction', undefined, {
      faults: [{ kind: 'fail-after', times: 2 }],
    }),
  );
  expect(result.output).toMatchObject({ configEpoch: 2 });
  expect(epoch()).toBe(2);
  expect(decided(hostId)).toHaveLength(1);
});

describe('bad input ends within seconds, typed, and names what is wrong:', () => {
  test.concurrent.each<[string, (functionId: string) => unknown, string[]]>([
    ['nothing at all', () => undefined, ['input']],
    [
      'an id without its prefix',
      (id) => ({ functionId: id.slice('local:'.length), operation: 'describeFunction' }),
      ['functionId', 'local:'],
    ],
    ['an unknown operation', (id) => ({ functionId: id, operation: 'explode' }), ['operation']],
    [
      'an operation of servicing',
      (id) => ({ functionId: id, operation: 'createVpciBus' }),
      ['operation'],
    ],
    ['no bandwidth', (id) => command(id, 'reallocateVirtualFunction'), ['input.bandwidthGbps']],
    ['a negative one', (id) => reallocate(id, -1), ['input.bandwidthGbps']],
    [
      'a field of another operation',
      (id) => command(id, 'describeFunction', { bandwidthGbps: 1 }),
      ['input'],
    ],
    ['both ways of input', (id) => reallocate(id, 6, { inputLocation: 'b' }), ['inputLocation']],
    [
      'a buffer that is not there',
      (id) => command(id, 'describeFunction', undefined, { inputLocation: 'b' }),
      ['no buffer "b"'],
    ],
  ])('%s', async (_what, input, named) => {
    const ended = await suite.fails('commandFunction', input(of(untouched)));
    expect(ended.type).toBe('InvalidInput');
    for (const text of named) expect(ended.message).toContain(text);
  });

  test.concurrent('a function that the host does not have', async () => {
    expect(
      await suite.fails('commandFunction', command(of(untouched, 'vm-77'), 'describeFunction')),
    ).toMatchObject({
      type: 'UnknownFunction',
      message: expect.stringContaining(of(untouched)),
    });
  });
  test.concurrent('a VM that the host does not have', async () => {
    expect(
      await suite.fails('commandFunction', reallocate(of(untouched), 6, { vmId: 'vm-77' })),
    ).toMatchObject({
      type: 'UnknownVm',
    });
  });
});
