import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../../../../contract/faults';
import type { JournalEntry, VmDescription } from '../../../../contract/host';
import { DEAD_MAN, type Holder } from '../../../../contract/ids';
import type { MigrationMethod } from '../../../../contract/inputs';
import type {
  Handed,
  IoLedger,
  MigrationOperation,
  Receipt,
  RelinquishProof,
  VmPackage,
} from '../../../../contract/migration';
import {
  ATTACH_VIRTUAL_FUNCTION,
  DETACH_VIRTUAL_FUNCTION,
  UNDO_MIGRATION,
  type Direction,
  type StepOutcome,
  type VmStep,
} from '../../../../contract/steps';
import { describeVm } from '../../../../hosts/simulator/describe';
import { createFleet, type FleetShape } from '../../../../hosts/simulator/fleet';
import { SimulatedHosts } from '../../../../hosts/simulator/simulated-host';
import type { Objects } from '../../../../hosts/simulator/state';
import { SimulatorStore } from '../../../../hosts/simulator/store';
import { NO_LATENCY, patient } from '../simulated-fleet';

export const FROM = 'host-01';
export const TO = 'host-02';
type End = 'source' | 'destination';

/** The process that had it open is gone at some write: that one and all later ones are not made. */
class DyingStore extends SimulatorStore {
  writesLeft = Infinity;
  override update<T>(hostId: string, vmId: string, change: (o: Objects) => T): T {
    this.writesLeft -= 1;
    if (this.writesLeft < 0) throw new Died();
    return super.update(hostId, vmId, change);
  }
}
export class Died extends Error {}

/** A host with VMs, and one without. */
export class TwoHosts {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-two-hosts-'));
  readonly store = new DyingStore(this.directory);
  readonly hosts = new SimulatedHosts(this.store, NO_LATENCY);

  constructor(shape: Partial<FleetShape> = {}) {
    createFleet(this.store, { hosts: 2, vms: 1, emptyHosts: 1, seed: 1, ...shape });
  }
  async close(): Promise<void> {
    await this.store.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  objects(hostId: string, vmId = 'vm-01'): Objects {
    return this.store.objects(hostId, vmId);
  }
  vm(hostId: string, vmId = 'vm-01'): VmDescription {
    return describeVm(this.objects(hostId, vmId));
  }
  commands(hostId: string): string[] {
    return this.journal(hostId)
      .filter(({ kind, status }) => kind === 'command' && status === 'done')
      .map(({ command }) => command ?? '');
  }
  journal(hostId: string): JournalEntry[] {
    return this.store.journal(hostId, 0, 100_000);
  }
  /** On which of the two hosts the VM's processors run. */
  runningOn(vmId = 'vm-01'): string[] {
    return [FROM, TO].filter(
      (hostId) => this.store.findVm(hostId, vmId)?.partition.state === 'running',
    );
  }
  /** Allocated functions, by host; the ledger of each PF must say the same. */
  functions(): Record<string, number> {
    const count = (hostId: string) =>
      this.store.pfs(hostId).reduce((sum, pf) => {
        if (pf.vfs.length !== pf.iovVfUsage) throw new Error(`the ledger of ${pf.pfId} is wrong`);
        return sum + pf.vfs.length;
      }, 0);
    return { [FROM]: count(FROM), [TO]: count(TO) };
  }
  expectUnharmed(): void {
    for (const hostId of [FROM, TO]) {
      const { invariants, quarantine } = this.store.host(hostId);
      expect({ hostId, violations: invariants.violations, quarantine }).toEqual({
        hostId,
        violations: [],
        quarantine: null,
      });
    }
  }
}

interface Options {
  readonly vmId?: string;
  readonly method?: MigrationMethod;
  readonly drainTimeLimitMs?: number;
  readonly blackoutBudgetMs?: number;
  readonly faults?: readonly Fault[];
  readonly run?: string;
  readonly from?: string;
  readonly to?: string;
  readonly takeOverFrom?: Holder;
}

/** The steps of a migration with the host that performs each, in the order of the workflow. */
export const FORWARD = (method: MigrationMethod = 'emulated-path') =>
  [
    ['destination', 'reserveFunctions'],
    ...(method === 'emulated-path'
      ? ([
          ['source', 'plugEmulatedPath'],
          ['source', 'switchToEmulatedPath'],
          ['source', 'drainPassthrough'],
          ['source', 'unplugPassthrough'],
          ['source', 'saveEmulatedDevice'],
        ] as const)
      : DETACH_VIRTUAL_FUNCTION.map((step) => ['source', step] as const)),
    ['destination', 'exposeFunctions'],
    ['source', 'suspendVm'],
    ['destination', 'receiveVm'],
    ['source', 'relinquishVm'],
    ['destination', 'resumeMigratedVm'],
    ...(method === 'emulated-path'
      ? ([
          ['destination', 'plugPassthrough'],
          ['destination', 'switchToPassthrough'],
          ['destination', 'unplugEmulatedPath'],
        ] as const)
      : ATTACH_VIRTUAL_FUNCTION.map((step) => ['destination', step] as const)),
    ['source', 'releaseMigratedVm'],
    ['destination', 'verifyMigration'],
  ] as const satisfies readonly (readonly [End, VmStep])[];

/** One migration by direct driver calls: what the workflow would do. */
export class Move {
  readonly #handed: { package?: VmPackage; receipt?: Receipt; proof?: RelinquishProof } = {};
  direction: Record<End, Direction> = { source: 'forward', destination: 'forward' };
  ledger: IoLedger | undefined;

  private constructor(
    readonly fleet: TwoHosts,
    readonly vmId: string,
    readonly holder: Holder,
    readonly leases: { source: MigrationOperation; destination: MigrationOperation | null },
    readonly method: MigrationMethod,
  ) {}

  /** Takes the source, and with it the destination, unless the source says that an earlier run has left something. */
  static async begin(fleet: TwoHosts, options: Options = {}): Promise<Move> {
    const { vmId = 'vm-01', method = 'emulated-path', faults = [], takeOverFrom } = options;
    const { from = FROM, to = TO } = options;
    const holder = { workflowId: 'migrate-vm', runId: options.run ?? 'run-1' };
    const common = {
      vmId,
      holder,
      parent: null,
      faults,
      blackoutBudgetMs: options.blackoutBudgetMs ?? 10_000,
      ...(takeOverFrom === undefined ? {} : { takeOverFrom }),
    };
    const source = await fleet.hosts.beginMigration({
      ...common,
      hostId: from,
      toHostId: to,
      method,
      drainTimeLimitMs: options.drainTimeLimitMs ?? 5_000,
    });
    const move = new Move(fleet, vmId, holder, { source, destination: null }, method);
    move.leases.destination = await fleet.hosts.beginReception({
      ...common,
      hostId: to,
      manifest: source.manifest,
    });
    return move;
  }

  async perform<Step extends VmStep>(end: End, step: Step): Promise<StepOutcome<Step>> {
    const lease = this.leases[end];
    if (lease === null) throw new Error(`the ${end} is not held`);
    const outcome = await this.fleet.hosts.perform(
      step,
      {
        hostId: this.leases.source.manifest[end === 'source' ? 'fromHostId' : 'toHostId'],
        vmId: this.vmId,
        generation: lease.generation,
        direction: this.direction[end],
        handed: this.#for(step),
      },
      patient(),
    );
    const { evidence }: StepOutcome = outcome;
    Object.assign(this.#handed, pick(evidence));
    if ('ledger' in evidence) this.ledger = evidence.ledger ?? this.ledger;
    return outcome;
  }

  /** From a step on, up to but without another. */
  async go(options: { from?: VmStep; before?: VmStep; again?: boolean } = {}): Promise<void> {
    const flow = FORWARD(this.method);
    const at = (step: VmStep | undefined, otherwise: number) =>
      step === undefined ? otherwise : flow.findIndex(([, name]) => name === step);
    for (const [end, step] of flow.slice(at(options.from, 0), at(options.before, flow.length)))
      await this.#perform(end, step, options.again === true);
  }
  async #perform(end: End, step: VmStep, again: boolean): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.perform(end, step);
        return;
      } catch (error) {
        const { type } = error as { type?: string };
        if (!again || type !== 'HostStepFailed' || attempt === 5) throw error;
      }
    }
  }

  async fence(): Promise<boolean> {
    const { hosts } = this.fleet;
    const source = await hosts.fenceOperation(FROM, this.vmId, this.holder);
    this.leases.source = { ...this.leases.source, ...source };
    this.direction.source = source.crossed ? 'recover' : 'undo';
    if (source.crossed) return true;
    const destination = await hosts.fenceOperation(TO, this.vmId, this.holder);
    this.leases.destination = { ...this.leases.source, ...destination };
    this.direction.destination = 'undo';
    return false;
  }

  async undo(): Promise<void> {
    for (const step of UNDO_MIGRATION) await this.perform('source', step);
    await this.perform('source', 'enableOptimizations');
    if (this.fleet.vm(FROM, this.vmId).identity === null)
      for (const step of ATTACH_VIRTUAL_FUNCTION) await this.perform('source', step);
    await this.perform('source', 'endOperation');
    await this.perform('destination', 'cancelReservation');
  }

  #for(step: VmStep): Handed {
    const { package: packed, receipt, proof } = this.#handed;
    if (step === 'receiveVm') return packed === undefined ? {} : { package: packed };
    if (step === 'relinquishVm') return receipt === undefined ? {} : { receipt };
    return step === 'resumeMigratedVm' && proof !== undefined ? { proof } : {};
  }
  /** What another run's end would hand over. */
  hand(handed: Handed): void {
    Object.assign(this.#handed, handed);
  }
}

const pick = ({ package: packed, receipt, proof }: Readonly<Record<string, unknown>>) => ({
  ...(packed === undefined ? {} : { package: packed }),
  ...(receipt === undefined ? {} : { receipt }),
  ...(proof === undefined ? {} : { proof }),
});

export const byDeadMan = (holder: Holder | null): boolean =>
  holder?.workflowId === DEAD_MAN.workflowId;
