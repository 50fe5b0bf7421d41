/**
 * A second driver, so that the seam of the engine is one: VMs that are objects in this process, whose effects lie outside
 * the engine's transactions, as those of a real hypervisor do.
 */
import { HoldfastError } from '../../../contract/failures';
import type { VmDescription } from '../../../contract/host';
import { UNDO_SAVE, VM_STEP_NAMES, type AnyStep, type VmStep } from '../../../contract/steps';
import { describeCore, newCoreHost, newCoreVm } from '../../../hosts/engine/core';
import { EngineHosts, settled } from '../../../hosts/engine/engine-hosts';
import { markDown, markQuiet, markSaved, refuseIfTooLate } from '../../../hosts/engine/gates';
import { blackoutBegins, blackoutEnds } from '../../../hosts/engine/leases';
import { nothingToDo, type Operation } from '../../../hosts/engine/operation';
import type { NotSupported, Port } from '../../../hosts/engine/port';
import type { CoreHost, CoreImage, CoreVm } from '../../../hosts/engine/state';
import { HostStore } from '../../../hosts/engine/store';

interface State {
  running: boolean;
  process: CoreImage['process'];
  /** A successor is ready. */
  prepared: boolean;
  /** A file has the VM's state. */
  saved: boolean;
  held: boolean;
}
/** What is really there, whatever the books say. */
export interface Machine {
  readonly state: State;
  /** What still runs for an older generation than this has no effect. */
  fencedBelow: number;
  /** What was done to it, in order; a repeat that changes nothing is none. */
  readonly done: VmStep[];
}
interface World {
  /** Called when an effect is there and not yet recorded: a process may die there. */
  inTheMiddleOf: (step: VmStep, vmId: string | null) => Promise<void> | void;
  /** Called before an effect. */
  justBefore: (step: AnyStep) => void;
  /** Called when the effect is recorded and the reply goes out: one that fails here is lost. */
  replyOf: (step: AnyStep) => void;
  startsSound: boolean;
}

interface Vm extends CoreVm {
  /** The machine as it was last looked at. */
  seen: State;
  pausedAtMs: number | null;
  record: CoreImage['record'];
}
interface Objects {
  readonly host: CoreHost;
  readonly vm: Vm;
  readonly nowMs: number;
}

class Books extends HostStore<Objects> {
  protected override objectsOf(host: CoreHost, vm: Vm, nowMs: number): Objects {
    return { host, vm, nowMs };
  }
  create(host: CoreHost, vms: readonly Vm[]): void {
    this.putNewHost(host, vms);
  }
}

/** What a step does to the machine, and what the books say once that is there. */
interface Effect extends Omit<Operation<Objects>, 'effect'> {
  readonly machine: Partial<State>;
  readonly isRecorded?: (vm: Vm) => boolean;
  readonly record?: (o: Objects) => void;
}
const EFFECTS: Partial<Record<VmStep, Effect>> = {
  disableOptimizations: {
    machine: { held: true },
    record: ({ host, vm }) => markQuiet(host, vm.vmId),
  },
  pauseVm: {
    machine: { running: false },
    // Before the effect, which lies outside the transaction that records it.
    begin: (o) => {
      if (o.vm.seen.running) refuseIfTooLate(o);
    },
    isRecorded: ({ pausedAtMs }) => pausedAtMs !== null,
    record: (o) => {
      o.vm.pausedAtMs ??= o.nowMs;
      blackoutBegins(o);
    },
  },
  saveVm: {
    machine: { saved: true },
    isRecorded: ({ record }) => record?.state === 'committed',
    record: ({ host, vm }) => {
      vm.record = { state: 'committed', mode: 'modified' };
      markSaved(host, vm.vmId);
    },
  },
  tearDownSyntheticAdapter: {
    machine: { process: 'exited' },
    handsLeaseOn: true,
    record: ({ host, vm }) => markDown(host, vm),
  },
  initializeSyntheticAdapter: { machine: { prepared: true }, preparation: true },
  powerOnRestore: {
    machine: { process: 'running', prepared: false },
    isRecorded: ({ record }) => record?.state === 'claimed',
    record: ({ vm }) => void (vm.record = { state: 'claimed', mode: 'modified' }),
  },
  restoreVm: { machine: { saved: false } },
  resumeVm: {
    machine: { running: true },
    isRecorded: ({ pausedAtMs }) => pausedAtMs === null,
    record: (o) => {
      const { vm, nowMs } = o;
      if (vm.pausedAtMs !== null) blackoutEnds(o, nowMs - vm.pausedAtMs);
      vm.pausedAtMs = null;
      if (vm.record?.state === 'claimed') vm.record = { ...vm.record, state: 'consumed' };
    },
  },
  enableOptimizations: { machine: { held: false } },
  unsaveVm: {
    machine: { saved: false },
    isRecorded: ({ record }) => record?.state !== 'committed',
    record: ({ vm }) => void (vm.record = null),
  },
};
/** Steps whose effect the others have. */
const NOTHING = [
  ...['saveVirtualFunctionState', 'writeVirtualFunctionInfo', 'saveSyntheticAdapter'],
  ...['restoreVirtualFunctionState', 'restoreSwitchState', 'discardSavedState'],
  ...['resumeSyntheticAdapter', 'reserveResources', 'resetVpciBusInterface', 'createVpciBus'],
  ...['assignVirtualFunction', 'markVirtualFunctionAssigned'],
];

export class InMemoryHosts extends EngineHosts<Objects> {
  private constructor(
    private readonly books: Books,
    private readonly machines: ReadonlyMap<string, Machine>,
    readonly world: World,
  ) {
    super(books, port(books, machines, world));
  }

  static make(directory: string, vmIds: readonly string[], clock?: () => number): InMemoryHosts {
    const machines = vmIds.map((vmId) => [vmId, newMachine()] as const);
    const books = new Books(directory, clock);
    const vms = vmIds.map((vmId) => ({
      ...newCoreVm(vmId),
      ...{ seen: newState(), pausedAtMs: null, record: null },
    }));
    books.create(newCoreHost('host-01', vmIds, '1.0.0'), vms);
    return new InMemoryHosts(books, new Map(machines), newWorld());
  }

  /** The same machines and books, as the next process finds them. */
  restarted(): InMemoryHosts {
    return new InMemoryHosts(this.books, this.machines, newWorld());
  }

  /** The same books, opened once more, as another process would. */
  reopened(clock = this.books.nowMs): InMemoryHosts {
    return new InMemoryHosts(new Books(this.books.directory, clock), this.machines, newWorld());
  }

  machine = (vmId: string): Machine => this.machines.get(vmId) as Machine;
}
const newWorld = (): World => ({
  ...{ inTheMiddleOf: () => undefined, justBefore: () => undefined, replyOf: () => undefined },
  startsSound: true,
});

function port(store: Books, machines: ReadonlyMap<string, Machine>, world: World): Port<Objects> {
  const machineOf = (vmId: string | null) => machines.get(vmId ?? '') as Machine;
  const operation = (step: VmStep): Operation<Objects> | NotSupported => {
    const performed = EFFECTS[step];
    if (performed === undefined)
      return NOTHING.includes(step)
        ? { ...nothingToDo('it is in the stream of the VM'), preparation: true }
        : { notSupported: 'machines have none of that' };
    const { machine, isRecorded, record, ...more } = performed;
    const isThere = (state: State) =>
      Object.entries(machine).every(([name, value]) => state[name as keyof State] === value);
    return {
      ...more,
      inPlace: ({ vm }) => isThere(vm.seen) && isRecorded?.(vm) !== false,
      effect: async (c) => {
        const act = async () => {
          const { fencedBelow, state, done } = machineOf(c.vmId);
          if (c.generation < fencedBelow)
            throw new HoldfastError('Fenced', `${step} of an older generation reached the machine`);
          if (!isThere(state)) done.push(step);
          Object.assign(state, machine);
          await world.inTheMiddleOf(step, c.vmId);
          return { ...state };
        };
        await c.act(step, act, (o, seen) => {
          o.vm.seen = seen;
          record?.(o);
        });
        return {};
      },
    };
  };

  return {
    driver: 'in-memory',
    faults: false,
    operations: Object.fromEntries(
      VM_STEP_NAMES.map((step) => [step, operation(step)]),
    ) as Port<Objects>['operations'],
    hostOperations: { noticeGuests: { notSupported: 'machines have no guests' } },
    image,
    describe,
    observe: (hostId, vmId) => {
      const seen = { ...machineOf(vmId).state };
      if (JSON.stringify(seen) !== JSON.stringify(store.vm(hostId, vmId).seen))
        store.update(hostId, vmId, ({ vm }) => void (vm.seen = seen));
      return Promise.resolve();
    },
    attempt: (step) => ({
      note: null,
      before: () => settled(() => world.justBefore(step)),
      after: () => {
        world.replyOf(step);
      },
    }),
    fence: (_hostId, vmId, generation) => {
      machineOf(vmId).fencedBelow = generation;
      return Promise.resolve();
    },
    identityBefore: () => null,
    undoSteps: () => UNDO_SAVE,
    discardSuccessor: (vm) => void (machineOf(vm.vmId).state.prepared = vm.seen.prepared = false),
    refuseUncrossable: ({ vm: { vmId, record } }) => {
      if (record?.state !== 'committed')
        throw new HoldfastError('Refused', `${vmId} has no record.`);
    },
    noteBefore: ({ vm }) => void (vm.record = null),
    describeHost: () => ({ capabilities: { custodyBelowVsp: false, recordVersions: [1] } }),
    startStack: (_host, _component, { now }) => ({
      version: now,
      isSound: world.startsSound,
    }),
    check: () => [],
  };
}

function image({ seen, pausedAtMs, record }: Vm): CoreImage {
  const { running, process, held, prepared } = seen;
  const hold = held ? 'block' : null;
  const untouched = !prepared && !held;
  return { running, pausedAtMs, process, record, hold, untouched, away: null, version: '1.0.0' };
}

function describe({ vm, nowMs }: Objects): VmDescription {
  const { facts, ...core } = describeCore(vm, image(vm), nowMs);
  return {
    ...{ ...core, identity: null, dataPath: 'none', heartbeat: 'none', adapterClass: 'none' },
    facts: {
      ...{ ...facts, identityBefore: null, identityAfter: null },
      ...{ vfOutageMs: 0, guestVisibleEvents: 0, droppedPackets: 0, adapters: [] },
    },
  };
}

const newState = (): State => ({
  ...{ running: true, process: 'running', prepared: false, saved: false, held: false },
});
const newMachine = (): Machine => ({ state: newState(), fencedBelow: 0, done: [] });
