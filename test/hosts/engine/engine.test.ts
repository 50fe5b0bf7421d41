/** The engine's own promises, over a driver that has nothing of the simulator: the seam is one. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alone, restoreFlow, saveFlow } from '../../../contract/flows';
import type { Operation, OperationSettings, ServicingOrder } from '../../../contract/host';
import type { Holder } from '../../../contract/ids';
import type { Direction, StepOutcome, VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import { isAbandoned, isBlocked, newIntent } from '../../../hosts/engine/mailbox';
import { processOf } from '../../../hosts/engine/process-identity';
import { UNCHANGED } from '../../../hosts/engine/store';
import { InMemoryHosts } from './in-memory-driver';

const HOST = 'host-01';
const SETTINGS: OperationSettings = {
  mode: 'modified',
  holdMode: 'block',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: 1_000,
  maxSavedForMs: 60_000,
};
const SAVE = saveFlow(SETTINGS);
const RESTORE = restoreFlow(SETTINGS);
const named = (workflowId: string): Holder => ({ workflowId, runId: `${workflowId}-run` });
const patient = new AbortController().signal;

let directory: string;
let hosts: InMemoryHosts;
let nowMs: number;
/** The clock stands still unless a test moves it. */
const use = (...vmIds: string[]) => {
  hosts = InMemoryHosts.make(directory, vmIds, () => nowMs);
};
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-engine-'));
  nowMs = 10_000;
});
afterEach(async () => {
  await hosts.store.close();
  rmSync(directory, { recursive: true, force: true });
});

const request = (vmId: string, holder: Holder, parent: Holder | null = null) => ({
  ...{ hostId: HOST, vmId, holder, parent, settings: SETTINGS, faults: [] },
});
/** Answers a way to perform steps under a lease. */
const under =
  ({ generation }: Operation, vmId: string, by = hosts, direction: Direction = 'forward') =>
  (step: VmStep, latestDarkMs = Infinity): Promise<StepOutcome> =>
    by.perform(step, { hostId: HOST, vmId, generation, direction, latestDarkMs }, patient);

async function saving(vmId = 'vm-01', upTo?: VmStep) {
  const lease = await hosts.beginSave(request(vmId, named('save')));
  const perform = under(lease, vmId);
  const flow = alone(SAVE);
  for (const step of upTo === undefined ? flow : flow.slice(0, flow.indexOf(upTo)))
    await perform(step);
  return { lease, perform };
}

/** Lets this one effect happen, and the process die before it can say so. */
function diesIn(step: VmStep): void {
  hosts.world.inTheMiddleOf = (what) => {
    if (what === step) throw new Error('the process is gone');
  };
}

describe('a save and its restore', () => {
  it('do to the machine what the flow says, once each, and say what was not theirs to do', async () => {
    use('vm-01');
    const { lease } = await saving();
    expect(hosts.machine('vm-01').state).toMatchObject({ running: false, process: 'exited' });
    nowMs += 250;
    const restore = under(await hosts.beginRestore(request('vm-01', named('restore'))), 'vm-01');
    const answers = new Map<VmStep, StepOutcome>();
    for (const step of alone(RESTORE)) answers.set(step, await restore(step));
    expect(answers.get('createVpciBus')).toMatchObject({
      status: 'notApplicable',
      reason: 'it is in the stream of the VM',
    });
    expect(hosts.machine('vm-01').done).toEqual([
      ...['disableOptimizations', 'pauseVm', 'saveVm', 'tearDownSyntheticAdapter'],
      ...['initializeSyntheticAdapter', 'powerOnRestore', 'restoreVm', 'resumeVm'],
      'enableOptimizations',
    ]);
    const vm = await hosts.describeVm(HOST, 'vm-01');
    expect(vm).toMatchObject({ phase: 'running', holder: null, generation: lease.generation + 1 });
    expect(vm.facts).toMatchObject({ blackoutMs: 250, withinBudget: true });
    expect(vm.blackouts).toEqual([{ endedAtMs: expect.any(Number), ms: 250 }]);
  });

  it.each(['disableOptimizations', 'pauseVm', 'saveVm', 'tearDownSyntheticAdapter'] as const)(
    'a process that dies between the effect of %s and its record: the next observes, and does it once',
    async (step) => {
      use('vm-01');
      const { lease, perform } = await saving('vm-01', step);
      diesIn(step);
      await expect(perform(step)).rejects.toThrow('the process is gone');
      const next = hosts.restarted();
      const answer = await under(lease, 'vm-01', next)(step);
      expect(answer).toMatchObject({ status: 'done', attempts: 2 });
      expect(next.machine('vm-01').done.filter((done) => done === step)).toEqual([step]);
      expect(await under(lease, 'vm-01', next)(step)).toMatchObject({ status: 'alreadyDone' });
      const journal = await next.readJournal(HOST, { vmId: 'vm-01' });
      const said = journal.filter((e) => e.step === step).map((e) => `${e.kind} ${e.status}`);
      expect(said[0]).toBe('intent begun');
      expect(said).toContain('intent observing');
      expect(said.at(-1)).toMatch(/^result /);
    },
  );

  it('a step that the driver does not know is refused by name, and the host says which they are', async () => {
    use('vm-01');
    const { perform } = await saving('vm-01', 'pauseVm');
    await expect(perform('allocateVirtualFunction')).rejects.toMatchObject({
      type: 'NotSupportedByDriver',
      message: expect.stringContaining('in-memory driver cannot do allocateVirtualFunction'),
    });
    const { unsupported, driver, faults } = await hosts.ping(HOST);
    expect({ driver, faults }).toEqual({ driver: 'in-memory', faults: false });
    expect(unsupported).toEqual(
      expect.arrayContaining(['allocateVirtualFunction', 'noticeGuests', 'suspendVm']),
    );
    expect(unsupported).not.toContain('saveVm');
    await expect(
      hosts.beginMigration({} as Parameters<InMemoryHosts['beginMigration']>[0]),
    ).rejects.toMatchObject({ type: 'NotSupportedByDriver' });
  });
});

describe('a fence', () => {
  it('reaches the machine itself: what still runs for the older generation changes nothing', async () => {
    use('vm-01');
    const { lease, perform } = await saving('vm-01', 'saveVm');
    let letGo: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => {
      hosts.world.inTheMiddleOf = () => {
        resolve();
        return new Promise((go) => (letGo = go));
      };
    });
    const late = perform('saveVm').catch((error: unknown) => error);
    await reached;
    hosts.world.inTheMiddleOf = () => undefined;
    const fenced = await hosts.fenceOperation(HOST, 'vm-01', named('save'));
    letGo();
    expect(await late).toMatchObject({ type: 'Fenced' });
    expect(hosts.machine('vm-01').fencedBelow).toBe(fenced.generation);
    expect(fenced.generation).toBe(lease.generation + 1);
    await expect(perform('crossPointOfNoReturn')).rejects.toMatchObject({ type: 'Fenced' });
    const undo = under(fenced, 'vm-01', hosts, 'undo');
    for (const step of ['unsaveVm', 'resumeVm'] as const) await undo(step);
    expect(hosts.machine('vm-01').state).toMatchObject({ running: true, saved: false });
  });

  it('is not for somebody else', async () => {
    use('vm-01');
    await saving('vm-01', 'pauseVm');
    await expect(hosts.fenceOperation(HOST, 'vm-01', named('other'))).rejects.toMatchObject({
      type: 'Fenced',
    });
    await expect(hosts.beginSave(request('vm-01', named('other')))).rejects.toMatchObject({
      type: 'VmBusy',
    });
  });

  it.each([0, 300])(
    'each %d ms later gives five seconds at most, never a whole budget anew',
    async (later) => {
      use('vm-01');
      await saving('vm-01', 'saveVm');
      const paused = nowMs;
      const deadlineMs = () => hosts.store.vm(HOST, 'vm-01').deadlineMs;
      expect(deadlineMs()).toBe(paused + 1_000);
      nowMs += later;
      for (let times = 0; times < 3; times += 1)
        await hosts.fenceOperation(HOST, 'vm-01', named('save'));
      expect(deadlineMs()).toBe(paused + later + 5_000);
    },
  );
});

describe('the blackout', () => {
  it('begins with the pause and not with a later step, and a late attempt is refused by it', async () => {
    use('vm-01');
    const { perform } = await saving('vm-01', 'saveVm');
    nowMs += 200;
    expect((await hosts.describeVm(HOST, 'vm-01')).darkForMs).toBe(200);
    await expect(perform('saveVm', 199)).rejects.toMatchObject({ type: 'BlackoutBudgetSpent' });
    expect(hosts.machine('vm-01').done).not.toContain('saveVm');
    expect((await perform('saveVm', 200)).darkForMs).toBe(200);
  });

  it('is within its budget to the millisecond', async () => {
    use('vm-01', 'vm-02');
    for (const [vmId, ms] of [
      ['vm-01', 1_000],
      ['vm-02', 1_001],
    ] as const) {
      const { lease } = await saving(vmId, 'saveVm');
      nowMs += ms;
      await under(lease, vmId, hosts, 'undo')('resumeVm');
      const { facts } = await hosts.describeVm(HOST, vmId);
      expect(facts).toMatchObject({ blackoutMs: ms, withinBudget: ms === 1_000 });
    }
  });
});

describe('the dead-man', () => {
  const watching = async (during: () => Promise<void>): Promise<string[]> => {
    const said: string[] = [];
    const stop = new AbortController();
    const watch = new DeadMan(hosts, (line) => said.push(line)).watch(stop.signal);
    await during();
    stop.abort();
    await watch;
    return said;
  };
  const looks = (times: number) =>
    new Promise<void>((resolve) => {
      const asked = jest.spyOn(hosts.store, 'hostIds');
      const timer = setInterval(() => {
        if (asked.mock.calls.length < times) return;
        clearInterval(timer);
        asked.mockRestore();
        resolve();
      }, 5);
    });
  const isBack = async () => {
    while (
      (await hosts.describeVm(HOST, 'vm-01')).holder !== null ||
      !hosts.machine('vm-01').state.running
    )
      await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it('does nothing a millisecond before the deadline, and all of it a millisecond after', async () => {
    use('vm-01');
    await saving('vm-01', 'saveVm');
    nowMs += 999;
    expect(await watching(() => looks(3))).toEqual([]);
    await expect(hosts.takeForDeadMan(HOST, 'vm-01')).rejects.toMatchObject({ type: 'Fenced' });
    nowMs += 2;
    expect(await watching(isBack)).toEqual([
      `${HOST}/vm-01: its deadline has passed; bringing it back`,
      `${HOST}/vm-01: runs again`,
    ]);
    const { facts, generation } = await hosts.describeVm(HOST, 'vm-01');
    expect(facts).toMatchObject({ blackoutMs: 1_001, withinBudget: false, path: 'kept' });
    expect(hosts.machine('vm-01')).toMatchObject({ fencedBelow: generation });
    expect(hosts.machine('vm-01').state).toMatchObject({ held: false, saved: false });
  });

  it('that dies before it has given the lease back is followed by the next: the deadline stays until then', async () => {
    use('vm-01');
    await saving('vm-01', 'saveVm');
    nowMs += 1_001;
    let left: number | null = null;
    hosts.world.inTheMiddleOf = (step) => {
      if (step === 'enableOptimizations') left = hosts.store.vm(HOST, 'vm-01').deadlineMs;
    };
    await watching(isBack);
    expect(left).toBe(nowMs + 30_000);
    expect(hosts.store.vm(HOST, 'vm-01').deadlineMs).toBeNull();
  });

  it('restores what has crossed, on the version that it had: an update that did not come is given up', async () => {
    use('vm-01');
    const run = await Servicing.begin();
    await run.save('vm-01');
    nowMs += 1_001;
    await watching(isBack);
    const host = hosts.store.host(HOST);
    expect(host.servicing?.update).toBe('notUpdated');
    expect(host.versions.vpciVsp).toBe('1.0.0');
    expect(host.quarantine).toBeNull();
  });
});

describe('another boot of the machine', () => {
  it('ends every deadline: a VM that is dark is overdue at once, one that runs is not touched', async () => {
    use('vm-01', 'vm-02');
    await saving('vm-01', 'saveVm');
    hosts.store.updateHost(HOST, ({ host }) => {
      host.bootId = 'an earlier one';
    });
    // Its clock stood much later than that of the new boot, by which the deadline would be hours away.
    nowMs = 5;
    const next = hosts.restarted();
    next.enterThisBoot();
    expect(next.store.vm(HOST, 'vm-01').deadlineMs).toBe(5);
    expect(next.store.vm(HOST, 'vm-02').deadlineMs).toBeNull();
    const { journalSeq, bootId } = await next.describe(HOST);
    expect(bootId).toMatch(/^[0-9a-f-]{36}$/);
    next.enterThisBoot();
    expect((await next.describe(HOST)).journalSeq).toBe(journalSeq);
  });
});

describe('who performs a step is known by number and start', () => {
  it.each([
    ['lives', () => processOf(process.ppid), false],
    ['has ended', () => processOf(999_999_999), true],
    [
      'has ended, and another has got its number',
      () => ({ namespace: processOf(process.pid).namespace, pid: process.ppid, startedAt: '1' }),
      true,
    ],
    [
      'was this one, before it had that number',
      () => ({ namespace: processOf(process.pid).namespace, pid: process.pid, startedAt: '1' }),
      true,
    ],
  ])('one that %s', (_, owner, isOver) => {
    const intent = { ...newIntent('a key', 'saveVm', 0, null), owner: owner() };
    expect(isAbandoned(intent)).toBe(isOver);
    expect(isBlocked([{ mailbox: intent }], 'another key')).toBe(!isOver);
  });
});

it('a step that another process holds up goes on when that process dies, although nobody writes that it did', async () => {
  use('vm-01');
  const { perform } = await saving('vm-01', 'saveVm');
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const owner = processOf(child.pid ?? 0);
  hosts.store.update(HOST, 'vm-01', ({ vm }) => {
    vm.mailbox = { ...newIntent('another key', 'unsaveVm', 0, null), owner };
  });
  let isDone = false;
  const waiting = perform('saveVm').then(() => (isDone = true));
  nowMs += 1_000;
  await new Promise((resolve) => setTimeout(resolve, 120));
  expect(isDone).toBe(false);
  child.kill('SIGKILL');
  await waiting;
  expect(hosts.machine('vm-01').state.saved).toBe(true);
});

describe('leases, with no other guard behind them', () => {
  it('a step of the newest generation is refused when nobody holds the VM', async () => {
    use('vm-01');
    const { lease } = await saving('vm-01', 'saveVm');
    const undo = under(lease, 'vm-01', hosts, 'undo');
    for (const step of ['resumeVm', 'enableOptimizations', 'endOperation'] as const)
      await undo(step);
    expect(hosts.store.vm(HOST, 'vm-01')).toMatchObject({
      lease: null,
      generation: lease.generation,
    });
    const before = hosts.machine('vm-01').done.length;
    await expect(under(lease, 'vm-01')('saveVm')).rejects.toMatchObject({
      type: 'Fenced',
      message: expect.stringContaining('nobody holds it'),
    });
    expect(hosts.machine('vm-01').done).toHaveLength(before);
  });

  it('an undo that is done is answered, and not done again to a VM that has gone on', async () => {
    use('vm-01');
    const { lease } = await saving('vm-01', 'saveVm');
    const undo = under(lease, 'vm-01', hosts, 'undo');
    await undo('resumeVm');
    // It is paused once more, by hand: whoever asks for the undo again must not resume it.
    Object.assign(hosts.machine('vm-01').state, { running: false });
    expect(await undo('resumeVm')).toMatchObject({ status: 'alreadyDone', attempts: 1 });
    expect(hosts.machine('vm-01').state.running).toBe(false);
  });

  it('a stranded VM has no deadline, and its host takes work again when it is back, not when somebody tries', async () => {
    use('vm-01', 'vm-02');
    const { lease } = await saving('vm-01', 'concludeSave');
    await under(lease, 'vm-01', hosts, 'recover')('strandVm');
    expect(hosts.store.vm(HOST, 'vm-01')).toMatchObject({ deadlineMs: null, lease: null });
    const refusal = { type: 'HostQuarantined', message: expect.stringContaining('vm-01 stranded') };
    const other = () => hosts.beginSave(request('vm-02', named('other')));
    await expect(other()).rejects.toMatchObject(refusal);
    const restore = under(await hosts.beginRestore(request('vm-01', named('restore'))), 'vm-01');
    for (const step of alone(RESTORE)) {
      await expect(other()).rejects.toMatchObject(refusal);
      await restore(step);
    }
    await expect(other()).resolves.toMatchObject({ generation: 1 });
  });
});

/** A servicing run of all VMs of the host. */
class Servicing {
  private constructor(
    readonly call: { hostId: string; generation: number },
    readonly vmIds: readonly string[],
  ) {}

  static async begin(): Promise<Servicing> {
    const run = named('service-host');
    const call = { hostId: HOST, generation: await hosts.acquireHost(HOST, run) };
    const { vmIds } = hosts.store.host(HOST);
    const order: ServicingOrder = {
      update: { component: 'vpciVsp', version: '2.0.0' },
      vms: vmIds.map((vmId) => ({ vmId, mode: 'modified' })),
      settings: SETTINGS,
      parallelism: 4,
      faults: [],
    };
    await hosts.armServicing(call, order);
    await hosts.performHost('stageUpdate', call, patient);
    return new Servicing(call, vmIds);
  }

  /** Its save up to the end of the machine's process. */
  async save(vmId: string): Promise<void> {
    const parent = named('service-host');
    await hosts.beginRestore(request(vmId, named(`restore of ${vmId}`), parent));
    const lease = await hosts.beginSave(request(vmId, named(`save of ${vmId}`), parent));
    for (const step of alone(SAVE).filter((each) => each !== 'concludeSave'))
      await under(lease, vmId)(step);
  }

  /** Save and restore at the same time, each waiting at its gates. */
  async both(vmId: string): Promise<void> {
    const parent = named('service-host');
    const next = await hosts.beginRestore(request(vmId, named(`restore of ${vmId}`), parent));
    const lease = await hosts.beginSave(request(vmId, named(`save of ${vmId}`), parent));
    const all = async (flow: readonly VmStep[], of: Operation) => {
      for (const step of flow) await under(of, vmId)(step);
    };
    await Promise.all([
      all(
        SAVE.filter((step) => step !== 'concludeSave'),
        lease,
      ),
      all(RESTORE, next),
    ]);
  }

  commit(): Promise<StepOutcome> {
    void hosts.performHost('openGate', this.call, patient).catch(() => undefined);
    return hosts.performHost('commitUpdate', this.call, patient);
  }
}

describe('a servicing run', () => {
  const firstAndLast = async (first: VmStep, last: VmStep) => {
    const journal = await hosts.readJournal(HOST, { limit: 10_000 });
    const seqs = (step: VmStep, kind: string) =>
      journal.filter((e) => e.step === step && e.kind === kind).map((e) => e.seq);
    // The host notes the stage in the transaction of the step's effect, so another VM may go on before the result is written.
    return [Math.max(...seqs(first, 'command')), Math.min(...seqs(last, 'intent'))] as const;
  };

  it('pauses none before all are prepared, crosses with none before all are saved, restores none before the update', async () => {
    use('vm-01', 'vm-02', 'vm-03');
    // One VM is late at each stage: without the gates the others would run ahead of it.
    const late = new Map<string, VmStep>([
      ['vm-03', 'disableOptimizations'],
      ['vm-02', 'saveVm'],
      ['vm-01', 'tearDownSyntheticAdapter'],
    ]);
    hosts.world.inTheMiddleOf = async (step, vmId) => {
      if (late.get(vmId ?? '') === step) await new Promise((resolve) => setTimeout(resolve, 60));
    };
    const run = await Servicing.begin();
    const [committed] = await Promise.all([run.commit(), ...run.vmIds.map((id) => run.both(id))]);
    expect(committed).toMatchObject({ status: 'done', evidence: { version: '2.0.0' } });
    for (const [before, after] of [
      ['disableOptimizations', 'pauseVm'],
      ['saveVm', 'crossPointOfNoReturn'],
      ['tearDownSyntheticAdapter', 'powerOnRestore'],
    ] as const) {
      const [last, first] = await firstAndLast(before, after);
      expect([before, last < first]).toEqual([before, true]);
    }
    const verified = await hosts.performHost('verifyHost', run.call, patient);
    expect(verified.evidence).toEqual({ notRunning: [], update: 'committed' });
    expect(hosts.store.host(HOST).versions.vpciVsp).toBe('2.0.0');
  });

  it('does not commit while one of its VMs is not down', async () => {
    use('vm-01', 'vm-02');
    const run = await Servicing.begin();
    let done = false;
    const commit = run.commit().then(() => (done = true));
    hosts.store.updateHost(HOST, ({ host }) => void host.servicing?.down.push('vm-01'));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect({ done, update: hosts.store.host(HOST).servicing?.update }).toEqual({
      done: false,
      update: 'armed',
    });
    for (const vmId of run.vmIds)
      hosts.store.update(HOST, vmId, ({ vm }) => void (vm.seen = { ...vm.seen, running: false }));
    hosts.store.updateHost(HOST, ({ host }) => {
      host.servicing?.down.push('vm-02');
      host.servicing?.resumed.push('vm-01', 'vm-02');
    });
    await commit;
    expect(hosts.store.host(HOST).versions.vpciVsp).toBe('2.0.0');
  });

  it('flips an update back that fails its own checks, before a VM is restored', async () => {
    use('vm-01', 'vm-02');
    hosts.world.startsSound = false;
    const run = await Servicing.begin();
    const commit = run.commit().catch((error: unknown) => error);
    await Promise.all(run.vmIds.map((id) => run.both(id)));
    expect(await commit).toMatchObject({ type: 'UpdateFailed' });
    await expect(run.commit()).rejects.toMatchObject({ type: 'UpdateFailed' });
    expect(hosts.store.host(HOST).versions.vpciVsp).toBe('1.0.0');
    expect(hosts.machine('vm-01').state.running).toBe(true);
  });

  it('that is stopped tells a restore so whose save has died before the pause, and leaves it no lease', async () => {
    use('vm-01');
    const run = await Servicing.begin();
    const parent = named('service-host');
    const next = await hosts.beginRestore(request('vm-01', named('restore'), parent));
    const lease = await hosts.beginSave(request('vm-01', named('save'), parent));
    await under(lease, 'vm-01')('disableOptimizations');
    const waiting = under(next, 'vm-01')('awaitUpdate');
    await hosts.abortServicing(run.call, 'its save was terminated');
    expect(await waiting).toMatchObject({ status: 'notApplicable', reason: 'saveUndone' });
    await hosts.releaseHost(run.call);
    // The lease that its restore was to get goes to nobody when another run saves the VM.
    const takeOverFrom = named('save');
    const alone = await hosts.beginSave({ ...request('vm-01', named('other')), takeOverFrom });
    for (const step of SAVE) await under(alone, 'vm-01')(step);
    expect(hosts.store.vm(HOST, 'vm-01')).toMatchObject({ lease: null, nextLease: null });
  });

  it('waits for an update until the reserve of a restore is all that is left, and not longer', async () => {
    use('vm-01');
    const run = await Servicing.begin();
    await run.save('vm-01');
    const { nextLease, lease } = hosts.store.vm(HOST, 'vm-01');
    expect(nextLease).toBeNull();
    const restore = under(lease as unknown as Operation, 'vm-01');
    let isOpen = false;
    const waiting = restore('awaitUpdate').then(() => (isOpen = true));
    // A fifth of the budget of a second is kept: 800 ms after the pause the gate opens.
    nowMs += 799;
    hosts.store.updateHost(HOST, () => undefined);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(isOpen).toBe(false);
    nowMs += 2;
    hosts.store.updateHost(HOST, () => undefined);
    await waiting;
    expect(hosts.store.host(HOST).servicing?.update).toBe('notUpdated');
  });
});

describe('who waits is woken by what it waits for', () => {
  it('not by a step of another VM, but by its own VM, by a gate, and by another process', async () => {
    use('vm-01', 'vm-02');
    const of = { hostId: HOST, vmId: 'vm-01' };
    const gates = { hostId: HOST, of: 'prepare' } as const;
    const woken = async (
      change: () => void,
      topics: readonly (typeof of | typeof gates)[] = [of],
    ) => {
      const stop = new AbortController();
      let isWoken = true;
      const wait = hosts.store.changes.after(topics, hosts.store.changes.seen(topics), stop.signal);
      change();
      const timer = setTimeout(() => {
        isWoken = false;
        stop.abort();
      }, 80);
      await wait;
      clearTimeout(timer);
      return isWoken;
    };
    const touch = (vmId: string) => () => {
      hosts.store.update(HOST, vmId, ({ vm }) => void (vm.withinBudget = false));
    };
    expect(await woken(touch('vm-02'))).toBe(false);
    expect(await woken(touch('vm-02'), [of, gates])).toBe(false);
    expect(await woken(touch('vm-01'))).toBe(true);
    expect(await woken(() => hosts.store.updateHost(HOST, () => undefined), [gates])).toBe(true);
    expect(await woken(() => hosts.store.updateHost(HOST, () => UNCHANGED), [gates])).toBe(false);
    const markQuiet = () => {
      hosts.store.update(HOST, 'vm-02', ({ host }) => void host.servicing?.quiet.push('vm-02'));
    };
    expect(await woken(markQuiet, [of, gates])).toBe(false);
    await Servicing.begin();
    expect(await woken(markQuiet, [of, gates])).toBe(true);
    expect(await woken(markQuiet)).toBe(false);
    // Another process, which has the same books open.
    const other = hosts.reopened();
    const byAnother = () => {
      other.store.update(HOST, 'vm-01', ({ vm }) => void (vm.withinBudget = true));
    };
    expect(await woken(byAnother)).toBe(true);
    await other.store.close();
  });
});
