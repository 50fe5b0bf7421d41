/** A bad update is taken back by the host itself, inside the blackout; the VMs come back from the very same records. */
import type { FaultKind } from '../../../contract/faults';
import {
  HostRun,
  RESTORE,
  SimulatedFleet,
  failsAs,
  pairOf,
  prepared,
  serviceAll,
  settledSoon,
  IN_SERVICING_SAVE,
  type Pair,
} from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet({ vms: 2, custodyBelowVsp: true })));
afterEach(async () => {
  jest.restoreAllMocks();
  await fleet.close();
});

const BAD = [
  ['fails-to-start', /vpciVsp 2\.0\.0 did not start/],
  ['starts-old-version', /says that it is vpciVsp 1\.0\.0, not 2\.0\.0/],
  ['fails-verification', /vpciVsp 2\.0\.0 started, but its own checks failed/],
] as const;

const arm = (
  kind: FaultKind,
  { times = 1, ...order }: Parameters<typeof HostRun.arm>[1] & { times?: number } = {},
) =>
  HostRun.arm(fleet, {
    faults: [{ step: kind === 'slow' ? 'commitUpdate' : 'stageUpdate', kind, times, delay: '1s' }],
    ...order,
  });

/** A run with every VM down, so that only the commit and the restores are left. */
async function down(
  kind: FaultKind,
  more: { times?: number } = {},
): Promise<{ host: HostRun; pairs: Map<string, Pair> }> {
  const host = await arm(kind, more);
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  const stages = IN_SERVICING_SAVE.filter((s) => s !== 'awaitPause');
  const [toMark, fromMark] = [
    stages.slice(0, stages.indexOf('crossPointOfNoReturn')),
    stages.slice(stages.indexOf('crossPointOfNoReturn')),
  ];
  for (const { save } of pairs.values()) await save.performAll(toMark);
  for (const { save } of pairs.values()) await save.performAll(fromMark);
  return { host, pairs };
}
const restoreAll = (pairs: Map<string, Pair>) =>
  Promise.all(
    [...pairs.values()].map(({ restore }) =>
      restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate'))),
    ),
  );
const hostCommands = async () =>
  (await fleet.hosts.readJournal('host-01'))
    .filter((e) => e.vmId === null && e.kind === 'command')
    .map((e) => [e.command, e.status, e.detail]);
const versions = () => fleet.store.host('host-01').versions;
async function expectKeptOnTheOldVersion(): Promise<void> {
  expect(versions().vpciVsp).toBe('1.0.0');
  for (const vmId of fleet.vmIds) {
    const { phase, facts } = await fleet.facts(vmId);
    expect(phase).toBe('running');
    expect(facts).toMatchObject({ path: 'kept', stackVersion: '1.0.0', guestVisibleEvents: 0 });
    expect(facts.identityAfter).toEqual(facts.identityBefore);
  }
  await fleet.expectUnharmed();
}

it.each(BAD)(
  '%s: every VM is kept on the old version, and the failure says why',
  async (kind, says) => {
    const host = await arm(kind);
    await host.perform('stageUpdate');
    const pairs = await host.beginAll();
    const ended = await serviceAll(host, pairs);
    expect([...ended.saves, ...ended.restores].map((e) => e.status)).toEqual(
      Array.from({ length: 4 }, () => 'fulfilled'),
    );
    expect(ended.commit).toMatchObject([
      { status: 'rejected', reason: failsAs('UpdateFailed', says) },
    ]);
    await expectKeptOnTheOldVersion();
    expect(await hostCommands()).toEqual([
      ['Stack.Stage', 'done', null],
      ['Servicing.OpenGate', 'done', null],
      ['Stack.Flip', 'done', 'vpciVsp 2.0.0'],
      ['Stack.Start', 'failed', expect.stringMatching(says)],
      ['Stack.FlipBack', 'done', 'vpciVsp 1.0.0'],
    ]);
    // What the workflow does after a failed commit finds nothing left to do.
    expect((await host.perform('rollBackUpdate')).evidence).toEqual({});
    expect((await host.perform('verifyHost')).evidence).toEqual({
      notRunning: [],
      update: 'notUpdated',
    });
  },
);

it('a good update says that its stack started', async () => {
  const host = await HostRun.arm(fleet);
  await host.perform('stageUpdate');
  await serviceAll(host, await host.beginAll());
  expect((await hostCommands()).map(([command, status]) => [command, status])).toEqual([
    ['Stack.Stage', 'done'],
    ['Servicing.OpenGate', 'done'],
    ['Stack.Flip', 'done'],
    ['Stack.Start', 'done'],
  ]);
});

it('of a host-wide component is taken back too', async () => {
  const host = await arm('fails-to-start', { update: { component: 'vpciVsp', version: '2.0.0' } });
  await host.perform('stageUpdate');
  const ended = await serviceAll(host, await host.beginAll());
  expect(ended.commit).toMatchObject([{ reason: failsAs('UpdateFailed', /vpciVsp 2\.0\.0/) }]);
  expect(versions().vpciVsp).toBe('1.0.0');
  await expectKeptOnTheOldVersion();
});

it('the failure waits until the VMs run again: nobody needs it in the blackout', async () => {
  const { host, pairs } = await down('fails-to-start');
  const failed = jest.fn();
  const commit = host.perform('commitUpdate').catch(failed);
  await settledSoon(100);
  // The gates are open already, for the old stack.
  expect(fleet.store.host('host-01').servicing?.update).toBe('notUpdated');
  expect(failed).not.toHaveBeenCalled();
  await restoreAll(pairs);
  await commit;
  expect(failed).toHaveBeenCalledWith(expect.objectContaining({ type: 'UpdateFailed' }));
  await expectKeptOnTheOldVersion();
});

it('a repeat, after the answer was lost, fails in the same way', async () => {
  const { host, pairs } = await down('starts-old-version');
  await expect(host.perform('commitUpdate', AbortSignal.timeout(50))).rejects.toMatchObject({
    type: 'UpdateFailed',
  });
  await expect(host.perform('commitUpdate')).rejects.toMatchObject(
    failsAs('UpdateFailed', /says that it is vpciVsp 1\.0\.0/),
  );
  await restoreAll(pairs);
  await expectKeptOnTheOldVersion();
});

/** The process dies between the flip and the look at what started: both its writes after the flip are lost. */
async function dieAfterFlip(host: HostRun): Promise<void> {
  const update = fleet.store.updateHost.bind(fleet.store);
  jest.spyOn(fleet.store, 'updateHost').mockImplementation((hostId, change) => {
    if (versions().vpciVsp === '2.0.0') throw new Error('killed');
    return update(hostId, change);
  });
  await expect(host.perform('commitUpdate')).rejects.toThrow('killed');
  jest.restoreAllMocks();
  expect(versions().vpciVsp).toBe('2.0.0');
  expect(fleet.store.host('host-01').servicing?.update).toBe('committing');
}

it('a process that dies between the flip and the look leaves the gates shut, and the next one looks', async () => {
  const { host, pairs } = await down('fails-verification');
  await dieAfterFlip(host);
  const commit = host.perform('commitUpdate');
  commit.catch(() => undefined);
  await restoreAll(pairs);
  await expect(commit).rejects.toMatchObject({ type: 'UpdateFailed' });
  await expectKeptOnTheOldVersion();
});

it.each([
  ['the dead-man', () => Promise.resolve(fleet.hosts.giveUpUpdate('host-01'))],
  [
    'a run that takes the host over',
    async (host: HostRun) => {
      await fleet.hosts.acquireHost('host-01', { workflowId: 'x', runId: 'y' }, host.holder);
    },
  ],
])('%s that gives the update up in between flips it back', async (_, giveUp) => {
  const { host, pairs } = await down('slow');
  await dieAfterFlip(host);
  await giveUp(host);
  expect(versions().vpciVsp).toBe('1.0.0');
  await restoreAll(pairs);
  await expectKeptOnTheOldVersion();
});

it('a VM that has waited too long in between comes back on the old version', async () => {
  const { host, pairs } = await down('slow');
  await dieAfterFlip(host);
  fleet.change(({ vm, nowMs }) => {
    vm.deadlineMs = nowMs + 1_000;
  });
  await pairOf(pairs, 'vm-01').restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')));
  await restoreAll(new Map([['vm-02', pairOf(pairs, 'vm-02')]]));
  await expectKeptOnTheOldVersion();
});
