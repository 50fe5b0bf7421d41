import type { JournalEntry, VmDescription } from '../../contract/host';
import type { VirtualFunctionIdentity } from '../../contract/ids';
import type { FastRestoreInput, FastSaveInput } from '../../contract/inputs';
import type { FastRestoreResult, FastSaveResult } from '../../contract/results';
import type { Direction, VmStep } from '../../contract/steps';
import { vfOf, type VirtualFunction } from '../../hosts/simulator/devices/physical-function';
import type { AdapterBlocks, SavedRecord } from '../../hosts/simulator/devices/runtime-repository';
import type { VfDevice } from '../../hosts/simulator/devices/vpci-vsp';
import { SimulatedHosts } from '../../hosts/simulator/simulated-host';
import { objectsOf } from '../../hosts/simulator/operations/each-adapter';
import type { RecordedOutcome } from '../../hosts/engine/state';
import type { AdapterObjects } from '../../hosts/simulator/state';
import type { Ended, Suite } from '../support/suite';

/** Commands that would take the VF from the VM, or make it another one. A modified save and restore issue none of them. */
const RELEASES: readonly string[] = [
  'OID_NIC_SWITCH_FREE_VF',
  'OID_NIC_SWITCH_ALLOCATE_VF',
  'OID_SRIOV_RESET_VF',
  'OID_NIC_SWITCH_DELETE_VPORT',
  'OID_RECEIVE_FILTER_MOVE_FILTER',
  'VPCI.UnassignDevice',
  'VPCI.Eject',
  'VMBus.RescindOffer',
];

type SaveOptions = Omit<FastSaveInput, 'hostId' | 'vmId'>;
type RestoreOptions = Omit<FastRestoreInput, 'hostId' | 'vmId'>;

type Look = () => void | Promise<void>;
/**
 * Long enough to look at the host, and a third of what an attempt may take. The tests that look run one after the other:
 * several at a time could be late for either.
 */
const pausedAt = (step: VmStep) => ({ step, kind: 'slow', delay: '700ms' }) as const;

/** What somebody other than the run may try on a VM. */
type ForeignCommand = Parameters<SimulatedHosts['foreignCommand']>[2];

/** One VM of a run on the real server, as the journal and the objects of its host show it. */
export class VmOnHost {
  constructor(
    private readonly suite: Suite,
    readonly hostId: string,
    readonly vmId: string,
  ) {}

  save(options: SaveOptions = {}): Promise<FastSaveResult> {
    return this.suite.run('fastSave', { ...this.#target, ...options });
  }
  restore(options: RestoreOptions = {}): Promise<FastRestoreResult> {
    return this.suite.run('fastRestore', { ...this.#target, ...options });
  }

  /** Saves the VM; `look` is called when `step` has begun and has had no effect yet. */
  async saveLookingAt(step: VmStep, look: Look, options: SaveOptions = {}) {
    const run = await this.suite.start('fastSave', {
      ...this.#target,
      ...options,
      faults: [...(options.faults ?? []), pausedAt(step)],
    });
    await this.#whenBegun(step, look);
    return (await run.result()) as FastSaveResult;
  }
  /** Likewise for its restore. */
  async restoreLookingAt(step: VmStep, look: Look, options: RestoreOptions = {}) {
    const run = await this.suite.start('fastRestore', {
      ...this.#target,
      ...options,
      faults: [...(options.faults ?? []), pausedAt(step)],
    });
    await this.#whenBegun(step, look);
    return (await run.result()) as FastRestoreResult;
  }
  /** Saves the VM with a step that never succeeds; answers how the run ended. */
  saveFailingAt(step: VmStep): Promise<Ended> {
    return this.suite.fails('fastSave', {
      ...this.#target,
      blackoutBudget: '3s',
      faults: [{ step, kind: 'fail-before', times: 1000 }],
    });
  }
  async #whenBegun(step: VmStep, look: Look): Promise<void> {
    await this.suite.until(this.hostId, this.vmId, step, 'intent');
    await look();
    const { mailbox } = this.vm;
    if (mailbox?.step !== step) throw new Error(`${step} was over before it had been looked at`);
  }
  get #target() {
    return { hostId: this.hostId, vmId: this.vmId };
  }

  /** What the host has carried out on the VM, in this order: all of it, or the part of one step. */
  commands(step?: VmStep): string[] {
    return this.#entries('command')
      .filter((entry) => entry.status === 'done' && (step === undefined || entry.step === step))
      .map((entry) => entry.command ?? '');
  }
  /** What the host has refused to carry out, because the VF is held (`forbidden`) or for another reason (`refused`). */
  notCarriedOut(status: 'forbidden' | 'refused'): string[] {
    return this.#entries('command')
      .filter((entry) => entry.status === status)
      .map((entry) => entry.command ?? '');
  }
  /** Commands that would take the VF away and were tried, carried out or not. */
  releasesTried(): string[] {
    return this.#entries('command')
      .map((entry) => entry.command ?? '')
      .filter((command) => RELEASES.includes(command));
  }
  /** The steps that ended with a result, in this order, with the generation whose lease they had. */
  results(): { step: string; generation: number }[] {
    return this.#entries('result').map(({ step, generation }) => ({ step, generation }));
  }
  #entries(kind: JournalEntry['kind']): JournalEntry[] {
    return this.suite.journal(this.hostId, this.vmId).filter((entry) => entry.kind === kind);
  }

  /** The host's durable result of a step that this VM performed once. */
  outcomeOf(step: VmStep, direction: Direction = 'forward'): RecordedOutcome {
    const [performed, ...others] = this.results().filter((result) => result.step === step);
    if (performed === undefined || others.length > 0)
      throw new Error(
        `${this.vmId} has ${others.length === 0 ? 'no' : 'several'} results of ${step}`,
      );
    const key = `${this.vmId}/${performed.generation}/${direction}/${step}`;
    const outcome = this.suite.stack.store.result(this.hostId, key);
    if (outcome === undefined) throw new Error(`the host has no result for ${key}`);
    return outcome;
  }

  /** Host, PF and VM as they are now: a copy. */
  get objects(): AdapterObjects {
    return objectsOf(this.suite.stack.store.objects(this.hostId, this.vmId), 'nic-0');
  }
  get adapter(): AdapterObjects['adapter'] {
    return this.objects.adapter;
  }
  get vm(): AdapterObjects['vm'] {
    return this.objects.vm;
  }
  get description(): VmDescription {
    return this.suite.vm(this.hostId, this.vmId);
  }
  get identity(): VirtualFunctionIdentity {
    return present(this.description.identity, 'VF, allocated and assigned');
  }
  get vf(): VirtualFunction {
    return present(vfOf(this.objects), 'allocated VF');
  }
  get device(): VfDevice {
    return present(this.adapter.vpci.device, 'assigned VF device');
  }
  get record(): SavedRecord {
    return present(this.vm.record, 'record');
  }
  /** What the record has of the VM's only adapter. */
  get blocks(): AdapterBlocks {
    return present(this.record.blocks.adapters['nic-0'], 'saved adapter');
  }
  /** Somebody else tries this on the VM; the host must refuse it, since the VF is held. */
  async expectForbidden(command: ForeignCommand): Promise<void> {
    const hosts = new SimulatedHosts(this.suite.stack.store, { timeScale: 1, operations: {} });
    await expect(hosts.foreignCommand(this.hostId, this.vmId, command)).rejects.toMatchObject({
      type: 'ForbiddenCommand',
    });
  }
  /** Changes what is on the host behind the back of the run, as a driver or another party would. */
  change(change: (o: AdapterObjects) => void): void {
    this.suite.stack.store.update(this.hostId, this.vmId, (o) => {
      change(objectsOf(o, 'nic-0'));
    });
  }
}

function present<T>(value: T | null | undefined, what: string): T {
  if (value == null) throw new Error(`the VM has no ${what}`);
  return value;
}

/** Hands out the VMs of a suite's hosts, each once: its journal then holds nothing but the runs of one test. */
export function freshVms(suite: Suite): () => VmOnHost {
  let unused: VmOnHost[] = [];
  return () => {
    if (unused.length === 0) unused = vmsOf(suite, suite.freshHost());
    return present(unused.shift(), 'VM');
  };
}

export const vmsOf = (suite: Suite, hostId: string): VmOnHost[] =>
  suite.stack.store.host(hostId).vmIds.map((vmId) => new VmOnHost(suite, hostId, vmId));

/** Of the commands, those that are named occur exactly as often and in the order in which they are named. */
export function expectInOrder(commands: readonly string[], named: readonly string[]): void {
  expect(commands.filter((command) => named.includes(command))).toEqual(named);
}

/** What must be the same of a VF that was held: its identity, and no reset in between. */
export const heldAs = (vm: VmOnHost) => ({ identity: vm.identity, configEpoch: vm.vf.configEpoch });

/** The host holds the VF now as it did before: allocated, assigned and connected, the very same one, never written to. */
export function expectHeld(vm: VmOnHost, before: ReturnType<typeof heldAs>): void {
  expect(vm.identity).toEqual(before.identity);
  expect(vm.vf).toMatchObject({ configEpoch: before.configEpoch, ring: { active: true } });
  expect(vm.device).toMatchObject({ connected: true, iommuAttachCount: 1, writesWhileHeld: 0 });
  expect(vm.adapter.guest.events).toEqual([]);
}

/** The VM runs as before, on the very VF that it had, and its guest saw nothing but a pause. */
export function expectKept(vm: VmOnHost, before: ReturnType<typeof heldAs>): void {
  const { phase, dataPath, facts } = vm.description;
  expect({ phase, dataPath }).toEqual({ phase: 'running', dataPath: 'vf' });
  expect(facts).toMatchObject({ path: 'kept', guestVisibleEvents: 0 });
  expect(vm.adapter.vpci).toMatchObject({ hold: null, interface: { state: 'active' } });
  expect(vm.releasesTried()).toEqual([]);
  expectHeld(vm, before);
}
