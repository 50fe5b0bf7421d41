/** Lists of the VMs of one host that is serviced: the gate before the pause, and who breaks the barrier. */
import { issuedAhead, restoreFlow } from '../../../contract/flows';
import type { ServicingOrder } from '../../../contract/host';
import { HoldfastError } from '../../../contract/failures';
import type { HostStep, StepLimits } from '../../../contract/steps';
import type { InMemoryHosts } from './in-memory-driver';
import {
  HOST,
  SETTINGS,
  TestHosts,
  TestList,
  aWhile,
  all,
  heldUp,
  named,
  of,
  request,
  until,
} from './issuing';

const VMS = ['vm-01', 'vm-02'] as const;
const RESTORE_LIST = issuedAhead(restoreFlow(SETTINGS));

let test: TestHosts;
let hosts: InMemoryHosts;
beforeEach(() => {
  test = new TestHosts(...VMS);
  ({ hosts } = test);
});
afterEach(() => test.close());

const servicing = () => hosts.store.host(HOST).servicing;
const allRun = () => VMS.every((vmId) => hosts.machine(vmId).state.running);
const paused = () => VMS.filter((vmId) => hosts.machine(vmId).done.includes('pauseVm'));

/** A servicing run of the whole host that issues its lists. */
class Run {
  readonly saves: TestList[] = [];
  readonly restores: TestList[] = [];
  private constructor(
    readonly name: string,
    readonly call: { readonly hostId: string; readonly generation: number },
  ) {}

  static async begin(name = 'run-1', takeOverFrom?: string): Promise<Run> {
    const from = takeOverFrom === undefined ? undefined : named(takeOverFrom);
    const call = { hostId: HOST, generation: await hosts.acquireHost(HOST, named(name), from) };
    const order: ServicingOrder = {
      update: { component: 'vpciVsp', version: '2.0.0' },
      vms: VMS.map((vmId) => ({ vmId, mode: 'modified' })),
      settings: SETTINGS,
      parallelism: 4,
      faults: [],
    };
    await hosts.armServicing(call, order);
    await hosts.performHost('stageUpdate', call, new AbortController().signal);
    return new Run(name, call);
  }

  /** Each VM's restore is prepared, and its save has come to its list. */
  async prepare(limits: StepLimits = {}): Promise<this> {
    const parent = named(this.name);
    for (const vmId of VMS) {
      const holder = (what: string) => named(`${this.name} ${what} of ${vmId}`);
      const restore = await hosts.beginRestore(request(vmId, holder('restore'), parent));
      this.restores.push(new TestList(hosts, vmId, restore.generation, RESTORE_LIST));
      const save = { holder: holder('save'), parent, limits };
      this.saves.push(await TestList.ofSave(hosts, vmId, save));
    }
    return this;
  }

  perform(step: HostStep) {
    const asked = { isDone: false, ended: Promise.resolve('') };
    asked.ended = hosts
      .performHost(step, this.call, new AbortController().signal)
      .then(
        ({ status }) => status,
        (error: unknown) => (error as HoldfastError).type,
      )
      .finally(() => (asked.isDone = true));
    return asked;
  }

  /** All saves and restores are issued, and the update waits for them. */
  issue() {
    const commit = this.perform('commitUpdate');
    const restores = this.restores.map((list) => list.askAll());
    const [first = new Map(), second = new Map()] = this.saves.map((list) => list.askAll());
    return { commit, restores, first, second };
  }
}

describe('the gate before the pause', () => {
  it('opens when all lists and the commit wait on the host, and not before', async () => {
    const run = await (await Run.begin()).prepare();
    const [save1, save2] = run.saves as [TestList, TestList];
    const [restore1, restore2] = run.restores as [TestList, TestList];
    const gate = run.perform('openGate');
    const askers = [
      ...[save1.askAll(), save2.askAll(['saveVm'])],
      ...[restore1.askAll(['resumeVm']), restore2.askAll()],
    ];
    const stillRuns = async () => {
      await aWhile();
      expect({ gate: gate.isDone, paused: paused() }).toEqual({ gate: false, paused: [] });
    };
    await stillRuns();
    askers[1]?.set('saveVm', save2.ask('saveVm'));
    await stillRuns();
    askers[2]?.set('resumeVm', restore1.ask('resumeVm'));
    await stillRuns();
    const commit = run.perform('commitUpdate');
    for (const each of askers) await all(each);
    expect([await gate.ended, await commit.ended]).toEqual(['done', 'done']);
    expect(paused()).toEqual(VMS);
    expect(allRun()).toBe(true);
    expect(hosts.store.host(HOST).versions.vpciVsp).toBe('2.0.0');
  });

  it('stays closed as long as nobody opens it', async () => {
    const run = await (await Run.begin()).prepare();
    run.issue();
    await until(() => servicing()?.commitArmedBy != null && servicing()?.armed.length === 2);
    await aWhile();
    expect(paused()).toEqual([]);
  });

  it('holds for thirty seconds: a VM that comes later is not paused, and none crosses', async () => {
    const run = await (await Run.begin()).prepare();
    const { first, second } = run.issue();
    // The second VM has nobody who asks for its pause when the gate opens.
    of(second, 'pauseVm').leave();
    await run.perform('openGate').ended;
    await until(() => servicing()?.saved.includes('vm-01') === true);
    test.nowMs += 31_000;
    expect(await run.saves[1]?.ask('pauseVm').answer).toMatchObject({
      error: { type: 'BarrierBroken', message: expect.stringContaining('31.0 s ago') },
    });
    expect(hosts.machine('vm-02')).toMatchObject({ done: ['disableOptimizations'] });
    expect(await of(first, 'crossPointOfNoReturn').answer).toMatchObject({
      error: { type: 'BarrierBroken' },
    });
  });

  it('of a run that was stopped pauses nobody', async () => {
    const run = await (await Run.begin()).prepare();
    const { first, second } = run.issue();
    await until(() => servicing()?.armed.length === 2);
    await hosts.abortServicing(run.call, 'it was cancelled');
    for (const askers of [first, second])
      expect(await all(askers)).toMatchObject({
        ...{ awaitPause: 'BarrierBroken', pauseVm: 'notReached', awaitResume: 'notReached' },
      });
    expect(await run.perform('openGate').ended).toBe('notApplicable');
    expect(paused()).toEqual([]);
  });
});

describe('a list of an older run', () => {
  /** The first run's saves are prepared; another has taken the host over and has armed its own. */
  const takenOver = async () => {
    const old = await (await Run.begin()).prepare();
    return { old, next: await Run.begin('run-2', 'run-1') };
  };

  it('does not count as armed for the newer one', async () => {
    const { old } = await takenOver();
    old.issue();
    await aWhile();
    expect(servicing()).toMatchObject({ armed: [], restoreWaiting: [], pauseUntilMs: null });
  });

  it('pauses no VM through the gate of the newer one', async () => {
    const { old, next } = await takenOver();
    old.issue();
    await aWhile();
    hosts.store.updateHost(HOST, ({ host }) => {
      if (host.servicing?.generation === next.call.generation)
        host.servicing.pauseUntilMs = test.nowMs + 30_000;
    });
    await aWhile();
    expect(paused()).toEqual([]);
  });

  it('that fails for good does not break the barrier of the newer one', async () => {
    const old = await (await Run.begin()).prepare();
    const { first } = old.issue();
    const held = heldUp(hosts, 'saveVm');
    await old.perform('openGate').ended;
    await held.reached;
    await Run.begin('run-2', 'run-1');
    held.fail(new HoldfastError('Refused', 'the disk is full.'));
    expect(await of(first, 'saveVm').answer).toMatchObject({ error: { type: 'Refused' } });
    expect(servicing()).toMatchObject({ aborted: null, members: VMS });
  });
});

describe('the barrier before the mark', () => {
  it('is broken at once by a list that has failed for good', async () => {
    const run = await (await Run.begin()).prepare();
    const { first, second } = run.issue();
    const held = heldUp(hosts, 'saveVm');
    await run.perform('openGate').ended;
    await held.reached;
    await until(() => servicing()?.saved.includes('vm-02') === true);
    expect(of(second, 'crossPointOfNoReturn').said).toBeNull();
    held.fail(new HoldfastError('Refused', 'the disk is full.'));
    expect(await of(first, 'saveVm').answer).toMatchObject({ error: { type: 'Refused' } });
    // The run of the first VM has done nothing of it yet.
    expect(await of(second, 'crossPointOfNoReturn').answer).toMatchObject({
      error: { type: 'BarrierBroken', message: expect.stringContaining('the disk is full') },
    });
    expect(servicing()?.crossed).toBe(false);
  });

  it('is waited at by a VM whose own steps had failed for a while, as long as nothing fails now', async () => {
    const run = await (await Run.begin()).prepare({ failingMs: 1_000, latestDarkMs: 8_000 });
    const { first, second } = run.issue();
    let isLost = true;
    const held = heldUp(hosts, 'saveVm', 'vm-02');
    hosts.world.replyOf = (step) => {
      if (step !== 'saveVm' || !isLost) return;
      isLost = false;
      test.nowMs += 1_200;
      throw new Error('the reply was lost');
    };
    await run.perform('openGate').ended;
    await held.reached;
    await until(() => servicing()?.saved.includes('vm-01') === true);
    test.nowMs += 1_200;
    await aWhile();
    expect(of(first, 'crossPointOfNoReturn').said).toBeNull();
    held.goOn();
    expect(await of(first, 'crossPointOfNoReturn').answer).toMatchObject({
      outcome: { status: 'done' },
    });
    await all(second);
  });
});
