/** A step that waits hears of all that concerns it, in time, and costs next to nothing meanwhile. */
import { spawn } from 'node:child_process';
import { hostNowMs } from '../../../hosts/engine/clock';
import { newIntent } from '../../../hosts/engine/mailbox';
import { processOf } from '../../../hosts/engine/process-identity';
import { SimulatorStore } from '../../../hosts/simulator/store';
import { FROM, Move, TwoHosts } from './migration/two-hosts';
import {
  HOST,
  HostRun,
  IN_SERVICING_SAVE,
  RESTORE,
  SAVE_TO_MARK,
  SimulatedFleet,
  VmRun,
  fault,
  pairOf,
  prepared,
  settledSoon,
} from './simulated-fleet';

let fleet: SimulatedFleet;
afterEach(() => fleet.close());

test('behind a device whose user has died, although nobody writes that it did', async () => {
  fleet = new SimulatedFleet();
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const intent = newIntent('vm-02/1/forward/deleteVPort', 'deleteVPort', hostNowMs(), null);
  fleet.change(({ pf }) => {
    pf.mailbox = { ...intent, owner: processOf(child.pid ?? 0) };
  });
  const save = await VmRun.save(fleet, 'vm-01', { settings: { mode: 'conventional' } });
  let isDone = false;
  const waiting = save.perform('moveFiltersToDefaultVPort').catch(() => undefined);
  void waiting.then(() => (isDone = true));
  await settledSoon(150);
  expect(isDone).toBe(false);
  child.kill('SIGKILL');
  await waiting;
});

test('at a gate, when its share of the blackout is over: it says so by itself', async () => {
  fleet = new SimulatedFleet({ vms: 2 });
  const { save } = pairOf(await (await HostRun.arm(fleet)).beginAll(), 'vm-01');
  await save.performAll(SAVE_TO_MARK);
  const { darkForMs } = await fleet.facts();
  const { generation } = save.lease;
  const call = { hostId: HOST, vmId: 'vm-01', generation, direction: 'forward' } as const;
  const latestDarkMs = darkForMs + 100;
  await expect(
    fleet.hosts.perform(
      'crossPointOfNoReturn',
      { ...call, latestDarkMs },
      AbortSignal.timeout(20_000),
    ),
  ).rejects.toMatchObject({ type: 'BlackoutBudgetSpent' });
  expect((await fleet.facts()).darkForMs).toBeGreaterThan(latestDarkMs);
});

test('for its turn after the update was due, without looking all the time', async () => {
  fleet = new SimulatedFleet({ vms: 3 });
  const host = await HostRun.arm(fleet, { parallelism: 1, settings: { blackoutBudgetMs: 1_000 } });
  await host.perform('stageUpdate');
  const pairs = await host.beginAll();
  await prepared(pairs);
  const stop = new AbortController();
  const waiting: Promise<unknown>[] = [...pairs.values()].map(({ restore }) =>
    restore.perform('awaitUpdate', stop.signal),
  );
  waiting.push(host.perform('commitUpdate', stop.signal));
  await Promise.all([...pairs.values()].map(({ save }) => save.performAll(IN_SERVICING_SAVE)));
  // The first goes through the gate and never ends; the others wait for their turn.
  await settledSoon(900);
  const looks = jest.spyOn(fleet.store, 'objects');
  await settledSoon(400);
  const { length } = looks.mock.calls;
  looks.mockRestore();
  stop.abort();
  await Promise.allSettled(waiting);
  expect(length).toBeLessThan(40);
});

test('for another process, whose write came just before the first of its own', async () => {
  fleet = new SimulatedFleet({ vms: 2 });
  const other = new SimulatorStore(fleet.directory);
  const topics = [{ hostId: HOST, vmId: 'vm-01' }];
  const stop = AbortSignal.timeout(20_000);
  const waiting = fleet.store.changes.after(topics, fleet.store.changes.seen(topics), stop);
  other.update(HOST, 'vm-01', ({ vm }) => {
    vm.guestHangs = true;
  });
  fleet.store.update(HOST, 'vm-02', ({ vm }) => {
    vm.guestHangs = true;
  });
  await waiting;
  expect(stop.aborted).toBe(false);
  await other.close();
});

test('behind a device, also when all it has to do is to observe a reply that was lost', async () => {
  fleet = new SimulatedFleet();
  const two = new TwoHosts({ vms: 2 });
  const move = await Move.begin(two, { faults: [fault('takeBackMigration', 'fail-after')] });
  await move.go({ before: 'suspendVm' });
  await move.fence();
  await move.perform('source', 'resumeAtSource');
  await expect(move.perform('source', 'takeBackMigration')).rejects.toThrow('reply was lost');
  const at = { hosts: two.hosts, store: two.store } as unknown as SimulatedFleet;
  const slow = fault('moveFiltersToDefaultVPort', 'slow', { vmId: 'vm-02', delay: '300ms' });
  const wish = { settings: { mode: 'conventional' }, faults: [slow] } as const;
  const second = (await VmRun.save(at, 'vm-02', wish)).perform('moveFiltersToDefaultVPort');
  const user = () => two.store.pfs(FROM)[0]?.mailbox?.step;
  expect(user()).toBe('moveFiltersToDefaultVPort');
  let isOver = false;
  void second.then(() => (isOver = true));
  await move.perform('source', 'takeBackMigration');
  expect(isOver).toBe(true);
  await two.close();
});

describe('the journal of a host', () => {
  const said = async () =>
    (await fleet.hosts.readJournal(HOST))
      .filter(({ vmId }) => vmId === null)
      .map(({ step, kind, command, status }) => `${step} ${command ?? kind} ${status}`);

  test('says that the stack was flipped only if it was', async () => {
    fleet = new SimulatedFleet({ vms: 1 });
    const slow = { step: 'commitUpdate', kind: 'slow', times: 1, delay: '300ms' } as const;
    const host = await HostRun.arm(fleet, { faults: [slow] });
    await host.perform('stageUpdate');
    const pairs = await host.beginAll();
    await prepared(pairs);
    const { save, restore } = pairOf(pairs, 'vm-01');
    const waiting = restore.perform('awaitUpdate');
    const commit = host.perform('commitUpdate');
    await save.performAll(IN_SERVICING_SAVE);
    while (!(await said()).includes('commitUpdate intent begun')) await settledSoon(5);
    fleet.hosts.giveUpUpdate(HOST);
    await waiting;
    await restore.performAll(RESTORE.slice(RESTORE.indexOf('powerOnRestore')));
    expect((await commit).evidence).toEqual({ flipped: false });
    expect(await said()).not.toContain('commitUpdate Stack.Flip done');
    expect(await said()).not.toContain('commitUpdate Stack.Start done');
  });

  test('says of a step whose reply was lost that it failed', async () => {
    fleet = new SimulatedFleet();
    const host = await HostRun.arm(fleet, {
      faults: [{ step: 'stageUpdate', kind: 'fail-after', times: 1, delay: '1s' }],
    });
    await expect(host.perform('stageUpdate')).rejects.toThrow('reply was lost');
    expect(await said()).toContain('stageUpdate failed HostStepFailed');
    expect(await host.perform('stageUpdate')).toMatchObject({ attempts: 2 });
  });
});
