import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../../../contract/faults';
import { alone, restoreFlow, saveFlow } from '../../../contract/flows';
import type {
  Adoption,
  JournalEntry,
  Operation,
  OperationSettings,
  ServicingOrder,
} from '../../../contract/host';
import type { Holder } from '../../../contract/ids';
import {
  ATTACH_VIRTUAL_FUNCTION,
  type Direction,
  type HostStep,
  type StepOutcome,
  type VmStep,
} from '../../../contract/steps';
import { createFleet, type FleetShape } from '../../../hosts/simulator/fleet';
import type { LatencyProfile } from '../../../hosts/simulator/latency';
import { SimulatedHosts } from '../../../hosts/simulator/simulated-host';
import { objectsOf } from '../../../hosts/simulator/operations/each-adapter';
import type { AdapterObjects } from '../../../hosts/simulator/state';
import { SimulatorStore } from '../../../hosts/simulator/store';

export const HOST = 'host-01';
export const NO_LATENCY: LatencyProfile = { timeScale: 1, operations: {} };

export const SETTINGS: OperationSettings = {
  mode: 'modified',
  holdMode: 'instruct-skip',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: 10_000,
  maxSavedForMs: 300_000,
};

/** The flows of the workflows, for direct calls; no save waits here until its VM runs again. */
export const SAVE = saveFlow(SETTINGS).filter((s) => s !== 'awaitResume');
/** Inside a servicing run the lease goes to the restore with the teardown. */
export const IN_SERVICING_SAVE = SAVE.filter((s) => s !== 'concludeSave');
export const SAVE_TO_MARK = SAVE.slice(0, SAVE.indexOf('crossPointOfNoReturn')).filter(
  (s) => s !== 'awaitPause',
);
export const RESTORE = restoreFlow(SETTINGS);
export const PREPARE_RESTORE = RESTORE.slice(0, RESTORE.indexOf('powerOnRestore'));
export const RESTORE_IN_ONE_STEP = restoreFlow({ ...SETTINGS, virtualFunctionRestore: 'one-step' });

const CONVENTIONAL = { ...SETTINGS, mode: 'conventional' } as const;
export const CONVENTIONAL_SAVE = alone(saveFlow(CONVENTIONAL));
/** The guest gets a VF again before its restore is verified. */
export const CONVENTIONAL_RESTORE = alone(restoreFlow(CONVENTIONAL)).flatMap((s) =>
  s === 'verifyRestore' ? [...ATTACH_VIRTUAL_FUNCTION, s] : [s],
);

export const settledSoon = (ms = 40) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until the dead-man of this store has looked so often: at each look it asks for the latest write. */
export async function deadManLooks(store: SimulatorStore, times: number): Promise<void> {
  const asking = jest.spyOn(store, 'latestWrite');
  while (asking.mock.calls.length < times) await settledSoon(5);
  asking.mockRestore();
}

export const patient = (): AbortSignal => new AbortController().signal;

/** Of a run that updates VM by VM. */
export const ROLLING = { parallelism: 4, onSaveFailure: 'stop', allowThirdVersion: false } as const;

/** One directory of simulated hosts, gone when it is closed. */
export class SimulatedFleet {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-hosts-'));
  readonly store = new SimulatorStore(this.directory);
  readonly hosts: SimulatedHosts;

  constructor(shape: Partial<FleetShape> = {}, profile: LatencyProfile = NO_LATENCY) {
    this.hosts = new SimulatedHosts(this.store, profile);
    createFleet(this.store, { hosts: 1, vms: 1, seed: 1, ...shape });
  }

  async close(): Promise<void> {
    await this.store.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Of the VM's first adapter, or of another one. */
  objects(vmId = 'vm-01', adapterId = 'nic-0'): AdapterObjects {
    return objectsOf(this.store.objects(HOST, vmId), adapterId);
  }

  get vmIds(): readonly string[] {
    return this.store.host(HOST).vmIds;
  }

  change(change: (o: AdapterObjects) => void, vmId = 'vm-01', adapterId = 'nic-0'): void {
    this.store.update(HOST, vmId, (o) => {
      change(objectsOf(o, adapterId));
    });
  }

  async facts(vmId = 'vm-01') {
    const vm = (await this.hosts.describe(HOST)).vms.find((v) => v.vmId === vmId);
    if (vm === undefined) throw new Error(`no ${vmId}`);
    return vm;
  }

  async journal(kind: JournalEntry['kind'], vmId = 'vm-01'): Promise<JournalEntry[]> {
    const all = await this.hosts.readJournal(HOST, { vmId, limit: 100_000 });
    return all.filter((entry) => entry.kind === kind);
  }

  async commands(vmId = 'vm-01'): Promise<string[]> {
    return (await this.journal('command', vmId)).map((entry) => entry.command ?? '');
  }

  /** Everything but what a refusal may write: journal, counters, and the attempt that failed. */
  photograph(): string {
    const host = this.store.host(HOST);
    const vms = host.vmIds.map((id) => ({ ...this.store.vm(HOST, id), mailbox: null }));
    return JSON.stringify([
      {
        ...host,
        journalSeq: 0,
        writes: 0,
        clockMs: 0,
        invariants: host.invariants.violations,
        commands: 0,
        mailbox: null,
      },
      this.store.pfs(HOST).map((pf) => ({ ...pf, mailbox: null })),
      vms,
    ]);
  }

  async expectUnharmed(): Promise<void> {
    const { forbiddenCommands, invariants, quarantine } = await this.hosts.describe(HOST);
    expect({ forbiddenCommands, violated: invariants.violated, quarantine }).toEqual({
      forbiddenCommands: 0,
      violated: 0,
      quarantine: null,
    });
  }
}

interface RunOptions {
  readonly settings?: Partial<OperationSettings>;
  readonly faults?: readonly Fault[];
  readonly holder?: Holder;
  readonly parent?: Holder | null;
  readonly takeOverFrom?: Holder;
  readonly adopt?: Adoption;
}

/** One save or restore of one VM by direct driver calls: what a workflow would do. */
export class VmRun {
  private constructor(
    readonly fleet: SimulatedFleet,
    readonly vmId: string,
    readonly holder: Holder,
    public lease: Operation,
    public direction: Direction = 'forward',
  ) {}

  static async begin(
    fleet: SimulatedFleet,
    kind: 'beginSave' | 'beginRestore',
    vmId = 'vm-01',
    { settings, faults, holder, parent, takeOverFrom, adopt }: RunOptions = {},
  ): Promise<VmRun> {
    const by = holder ?? { workflowId: `${kind}/${vmId}`, runId: 'run-1' };
    const lease = await fleet.hosts[kind]({
      hostId: HOST,
      vmId,
      holder: by,
      parent: parent ?? null,
      settings: { ...SETTINGS, ...settings },
      faults: faults ?? [],
      ...(takeOverFrom === undefined ? {} : { takeOverFrom }),
      ...(adopt === undefined ? {} : { adopt }),
    });
    return new VmRun(fleet, vmId, by, lease);
  }

  static save(fleet: SimulatedFleet, vmId = 'vm-01', options: RunOptions = {}): Promise<VmRun> {
    return VmRun.begin(fleet, 'beginSave', vmId, options);
  }

  static restore(fleet: SimulatedFleet, vmId = 'vm-01', options: RunOptions = {}): Promise<VmRun> {
    return VmRun.begin(fleet, 'beginRestore', vmId, options);
  }

  perform<Step extends VmStep>(step: Step, signal = patient()): Promise<StepOutcome<Step>> {
    const { generation } = this.lease;
    return this.fleet.hosts.perform(
      step,
      { hostId: HOST, vmId: this.vmId, generation, direction: this.direction },
      signal,
    );
  }

  /** Each step in turn; `again` retries a step that failed retryably, as an activity is. */
  async performAll(steps: readonly VmStep[], again = false): Promise<StepOutcome[]> {
    const outcomes: StepOutcome[] = [];
    for (const step of steps) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          outcomes.push(await this.perform(step));
          break;
        } catch (error) {
          const { type } = error as { type?: string };
          if (!again || type !== 'HostStepFailed' || attempt === 5) throw error;
        }
      }
    }
    return outcomes;
  }

  /** All steps of `order` before `step`. */
  performBefore(step: VmStep, order: readonly VmStep[]): Promise<StepOutcome[]> {
    return this.performAll(order.slice(0, order.indexOf(step)));
  }

  async fence(direction: Direction): Promise<void> {
    this.lease = await this.fleet.hosts.fenceOperation(HOST, this.vmId, this.holder);
    this.direction = direction;
  }
}

export const fault = (
  step: Fault['step'],
  kind: Fault['kind'],
  more: Partial<Fault> = {},
): Fault => ({ vmId: 'vm-01', step, kind, times: 1, delay: '1s', ...more });

export const failsAs = (type: string, message: RegExp): object => ({
  type,
  message: expect.stringMatching(message),
});

/** The servicing run of a whole host: its lease, its order, and its steps. */
export class HostRun {
  private constructor(
    readonly fleet: SimulatedFleet,
    readonly holder: Holder,
    readonly generation: number,
  ) {}

  static async arm(
    fleet: SimulatedFleet,
    {
      settings,
      ...order
    }: Partial<Omit<ServicingOrder, 'settings'>> & {
      readonly settings?: Partial<OperationSettings>;
    } = {},
    holder: Holder = { workflowId: `service-host/${HOST}`, runId: 'run-1' },
  ): Promise<HostRun> {
    const run = new HostRun(fleet, holder, await fleet.hosts.acquireHost(HOST, holder));
    await fleet.hosts.armServicing(run.call, {
      update: { component: 'vpciVsp', version: '2.0.0' },
      vms: fleet.store.host(HOST).vmIds.map((vmId) => ({ vmId, mode: 'modified' })),
      settings: { ...SETTINGS, ...settings },
      parallelism: 16,
      faults: [],
      ...order,
    });
    return run;
  }

  get call() {
    return { hostId: HOST, generation: this.generation };
  }

  get isRolling(): boolean {
    return this.fleet.store.host(HOST).servicing?.order.rolling !== undefined;
  }

  perform<Step extends HostStep>(step: Step, signal = patient()): Promise<StepOutcome<Step>> {
    // As the workflow does: who commits is there, and wants the VMs to pause. What becomes of it shows in the VMs.
    if (step === 'commitUpdate' && !this.isRolling)
      void this.fleet.hosts.performHost('openGate', this.call, signal).catch(() => undefined);
    return this.fleet.hosts.performHost(step, this.call, signal);
  }

  /** Restore and save of one VM, begun in the order of the workflows: the restore first, so that it can prepare. */
  async begin(vmId: string): Promise<Pair> {
    const options = { parent: this.holder };
    const restore = await VmRun.restore(this.fleet, vmId, options);
    return { restore, save: await VmRun.save(this.fleet, vmId, options) };
  }

  async beginAll(): Promise<Map<string, Pair>> {
    const begun = this.fleet.vmIds.map(async (id) => [id, await this.begin(id)] as const);
    return new Map(await Promise.all(begun));
  }
}

export interface Pair {
  readonly save: VmRun;
  readonly restore: VmRun;
}
export const pairOf = (pairs: Map<string, Pair>, id: string): Pair => {
  const pair = pairs.get(id);
  if (pair === undefined) throw new Error(`no runs of ${id}`);
  return pair;
};
export const prepared = (pairs: Map<string, Pair>) =>
  Promise.all(
    [...pairs.values()].map(({ restore }) =>
      restore.performAll(['initializeSyntheticAdapter', 'reserveResources']),
    ),
  );

/** What the workflows do: restores wait at their gate, the commit is armed, then the saves go. Answers how each ended. */
export async function serviceAll(host: HostRun, pairs: Map<string, Pair>) {
  await prepared(pairs);
  const runs = [...pairs.values()];
  const restores = runs.map(({ restore }) =>
    restore.performAll(RESTORE.slice(RESTORE.indexOf('awaitUpdate')), true),
  );
  const commit = host.isRolling ? undefined : host.perform('commitUpdate');
  const saves = runs.map(({ save }) => save.performAll(IN_SERVICING_SAVE, true));
  return {
    saves: await Promise.allSettled(saves),
    restores: await Promise.allSettled(restores),
    commit: await Promise.allSettled([commit ?? host.perform('commitUpdate')]),
  };
}
