/** What a host remembers of its VMs beyond one operation: past blackouts, whether the guest answers, forbidden commands. */
import { UNDO_SAVE } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import {
  HostRun,
  RESTORE,
  SAVE,
  SimulatedFleet,
  VmRun,
  fault,
  serviceAll,
} from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const saved = async () => (await VmRun.save(fleet)).performAll(SAVE);
const saveAndRestore = async () => {
  await saved();
  await (await VmRun.restore(fleet)).performAll(RESTORE);
};

describe('the ledger of blackouts', () => {
  const ledger = async () => (await fleet.facts()).blackouts;

  it('has one entry for a save and its restore, with the wall clock at its end', async () => {
    expect(await ledger()).toEqual([]);
    const from = Date.now();
    await saveAndRestore();
    const { blackouts, facts } = await fleet.facts();
    expect(blackouts).toEqual([{ endedAtMs: expect.any(Number), ms: facts.blackoutMs }]);
    const { describedAtMs } = await fleet.hosts.describe('host-01');
    expect(blackouts[0]?.endedAtMs).toBeGreaterThanOrEqual(from);
    expect(describedAtMs).toBeGreaterThanOrEqual(blackouts[0]?.endedAtMs ?? Infinity);
  });

  it('has the blackout of a save that was undone', async () => {
    const run = await VmRun.save(fleet);
    await run.performAll(
      SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn')).filter((s) => s !== 'awaitPause'),
    );
    await run.fence('undo');
    await run.performAll([...UNDO_SAVE, 'enableOptimizations', 'endOperation']);
    expect(await ledger()).toHaveLength(1);
  });

  it('has a resume once whose reply was lost', async () => {
    await saved();
    const run = await VmRun.restore(fleet, 'vm-01', { faults: [fault('resumeVm', 'fail-after')] });
    await run.performAll(RESTORE, true);
    expect(await ledger()).toHaveLength(1);
  });

  it('has the blackout that a cold start ended, from the pause on', async () => {
    await saved();
    fleet.change(({ vm }) => {
      if (vm.partition.pausedAtMs !== null) vm.partition.pausedAtMs -= 7_000;
    });
    const run = await VmRun.restore(fleet);
    await run.performAll(['coldStartVm', 'resumeVm']);
    const [cold, ...more] = await ledger();
    expect(more).toEqual([]);
    expect(cold?.ms).toBeGreaterThan(7_000);
  });

  it('has the blackout that the dead-man ended', async () => {
    await saved();
    fleet.change(({ vm }) => {
      vm.deadlineMs = 1;
    });
    const stop = new AbortController();
    const watching = new DeadMan(fleet.hosts, () => undefined).watch(stop.signal);
    for (const until = Date.now() + 8_000; (await ledger()).length === 0 && Date.now() < until;)
      await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort();
    await watching;
    expect(await ledger()).toHaveLength(1);
  });

  it('keeps the latest 64', async () => {
    fleet.change(({ vm }) => {
      vm.blackouts = Array.from({ length: 64 }, (_, n) => ({ endedAtMs: n, ms: n }));
    });
    await saveAndRestore();
    const kept = await ledger();
    expect(kept).toHaveLength(64);
    expect(kept[0]).toEqual({ endedAtMs: 1, ms: 1 });
    expect(kept.at(-1)?.endedAtMs).toBeGreaterThan(64);
  });
});

describe('the heartbeat', () => {
  const heartbeat = async () => (await fleet.facts()).heartbeat;

  it('is answered while the VM runs, and there is none while it does not', async () => {
    expect(await heartbeat()).toBe('ok');
    await saved();
    expect(await heartbeat()).toBe('none');
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect(await heartbeat()).toBe('ok');
  });

  it('is lost by a guest that hangs after its resume, until it is resumed once more', async () => {
    await saved();
    const run = await VmRun.restore(fleet, 'vm-01', { faults: [fault('resumeVm', 'guest-hangs')] });
    await run.performAll(RESTORE);
    expect(await fleet.facts()).toMatchObject({
      phase: 'running',
      heartbeat: 'lost',
      facts: { path: 'kept', running: true },
    });
    await saveAndRestore();
    expect(await heartbeat()).toBe('ok');
    await fleet.expectUnharmed();
  });
});

it('forbidden commands are counted anew for each servicing run', async () => {
  const forbidden = async () => {
    const { forbiddenCommands, forbiddenSinceServicing } = await fleet.hosts.describe('host-01');
    return [forbiddenCommands, forbiddenSinceServicing];
  };
  const tryOne = async () => {
    const run = await VmRun.save(fleet);
    await run.perform('disableOptimizations');
    await expect(fleet.hosts.foreignCommand('host-01', 'vm-01', 'StopVm')).rejects.toMatchObject({
      type: 'ForbiddenCommand',
    });
    await run.performAll(['enableOptimizations', 'endOperation']);
  };
  await tryOne();
  expect(await forbidden()).toEqual([1, 1]);
  const host = await HostRun.arm(fleet);
  expect(await forbidden()).toEqual([1, 0]);
  await host.perform('stageUpdate');
  await serviceAll(host, await host.beginAll());
  await fleet.hosts.releaseHost(host.call);
  await tryOne();
  expect(await forbidden()).toEqual([2, 1]);
});
