/** US 2023/0153140: each block of FIG. 5 and FIG. 6, and each quoted paragraph, by the journals of both hosts. */
import type { JournalEntry } from '../../contract/host';
import type { MigrateVmResult } from '../../contract/results';
import type { VmStep } from '../../contract/steps';
import { chosenPath, openCommands, type PathName } from '../../hosts/simulator/devices/guest-io';
import type { FunctionUnderWay } from '../../hosts/simulator/migration/migration-state';
import type { VmState } from '../../hosts/simulator/state';
import { Suite } from '../support/suite';

const STEPS = [
  ['source', 'plugEmulatedPath'],
  ['source', 'switchToEmulatedPath'],
  ['source', 'drainPassthrough'],
  ['source', 'unplugPassthrough'],
  ['source', 'saveEmulatedDevice'],
  ['destination', 'exposeFunctions'],
  ['source', 'suspendVm'],
  ['destination', 'receiveVm'],
  ['source', 'relinquishVm'],
  ['destination', 'resumeMigratedVm'],
  ['destination', 'plugPassthrough'],
  ['destination', 'switchToPassthrough'],
  ['destination', 'unplugEmulatedPath'],
  ['source', 'releaseMigratedVm'],
] as const satisfies readonly (readonly ['source' | 'destination', VmStep])[];
type Step = (typeof STEPS)[number][1];

/** One migration of one VM, looked at when each of its steps has begun and has had no effect yet. */
class LookedAt {
  result!: MigrateVmResult;
  readonly #seen = new Map<string, VmState>();
  readonly hostIds: { readonly source: string; readonly destination: string };

  constructor(
    readonly vmId: string,
    pair: number,
  ) {
    this.hostIds = { source: `host-0${String(pair)}`, destination: `host-0${String(pair + 3)}` };
  }

  async migrate(more: { readonly keepEmulatedPath?: true } = {}): Promise<void> {
    const { vmId } = this;
    const run = await suite.start('migrateVm', {
      vmId,
      fromHostId: this.hostIds.source,
      toHostId: this.hostIds.destination,
      faults: STEPS.map(([, step]) => ({ step, kind: 'slow', delay: '750ms' })),
      ...more,
    });
    for (const [end, step] of STEPS) {
      if (step === 'unplugEmulatedPath' && more.keepEmulatedPath === true) continue;
      await suite.until(this.hostIds[end], vmId, step, 'intent');
      for (const at of ['source', 'destination'] as const) {
        const vm = suite.stack.store.findVm(this.hostIds[at], vmId);
        if (vm !== undefined) this.#seen.set(`${at}/${step}`, vm);
      }
      const { mailbox } = suite.stack.store.vm(this.hostIds[end], vmId);
      if (mailbox?.step !== step) throw new Error(`${step} was over before it was looked at`);
    }
    this.result = (await run.result()) as MigrateVmResult;
  }

  /** The VM at one end when a step had begun. */
  at(end: 'source' | 'destination', step: Step): VmState {
    const vm = this.#seen.get(`${end}/${step}`);
    if (vm === undefined) throw new Error(`${this.vmId} was not seen at the ${end} at ${step}`);
    return vm;
  }
  moved(end: 'source' | 'destination', step: Step, adapterId: string): FunctionUnderWay {
    const moved = this.at(end, step).migration?.functions.find((f) => f.adapterId === adapterId);
    if (moved === undefined) throw new Error(`${adapterId} is not moved`);
    return moved;
  }
  /** Who owns functions of this VM at one end at present, by path. */
  functions(end: 'source' | 'destination', adapterId: string): Partial<Record<PathName, number>> {
    const vfs = suite.stack.store.pfs(this.hostIds[end]).flatMap((pf) => pf.vfs);
    const of = (owner: string) =>
      vfs.find((vf) => vf.ownerVmId === this.vmId && vf.adapterId === owner)?.vfId;
    const [passthrough, emulated] = [of(adapterId), of(`${adapterId}/emulated`)];
    return {
      ...(passthrough === undefined ? {} : { passthrough }),
      ...(emulated === undefined ? {} : { emulated }),
    };
  }
  /** What the hosts carried out, of both in the order of the one clock that they have in the simulation. */
  entries(kind: JournalEntry['kind'] = 'command', adapterId?: string): JournalEntry[] {
    return (['source', 'destination'] as const)
      .flatMap((end) => suite.journal(this.hostIds[end], this.vmId))
      .filter((e) => e.kind === kind && (adapterId === undefined || e.adapterId === adapterId))
      .sort((a, b) => a.hostTimeMs - b.hostTimeMs);
  }
  commandsOf(step: VmStep, adapterId?: string): string[] {
    return this.entries('command', adapterId)
      .filter((entry) => entry.step === step && entry.status === 'done')
      .map(({ command }) => command ?? '');
  }
  results(): string[] {
    return this.entries('result').map(({ step }) => step);
  }
  /** Of all that was done, these occur in this order. */
  expectOrder(...named: readonly string[]): void {
    const all = this.entries('command').map(({ command, step }) => `${step}: ${command ?? ''}`);
    const places = named.map((name) => all.indexOf(name));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  }
}

const openIn = (moved: FunctionUnderWay, path: PathName) => openCommands(moved.io, path);
const clean = { lost: 0, executedTwice: 0, outOfOrder: 0 };

let suite: Suite;
/** One NIC: FIG. 5. A NIC and an NVMe controller: FIG. 6. The emulated path kept: ¶33. */
const nic = new LookedAt('vm-01', 1);
const nvme = new LookedAt('vm-04', 2);
const keeping = new LookedAt('vm-01', 3);
beforeAll(async () => {
  suite = await Suite.start('claims-migration', {
    hosts: 6,
    emptyHosts: 3,
    vms: 4,
    adapters: 'mixed',
  });
  await Promise.all([nic.migrate(), nvme.migrate(), keeping.migrate({ keepEmulatedPath: true })]);
}, 60_000);
afterAll(() => suite.stop());

describe('FIG. 5', () => {
  test('block 502: it starts with the VM on its passthrough path, and nothing is done before the destination was checked', () => {
    const { adapters, partition } = nic.at('source', 'plugEmulatedPath');
    expect(partition.state).toBe('running');
    expect(adapters[0]?.guest).toMatchObject({ dataPath: 'vf', events: [] });
    const results = nic.results();
    expect(results.indexOf('beginReception')).toBeLessThan(results.indexOf('plugEmulatedPath'));
    expect(results.indexOf('reserveFunctions')).toBeLessThan(results.indexOf('plugEmulatedPath'));
  });

  test('block 504: a paravirtual device, backed by a function of its own, is plugged in beside the one that is passed through', () => {
    expect(nic.commandsOf('plugEmulatedPath')).toEqual([
      'OID_NIC_SWITCH_ALLOCATE_VF',
      'OID_NIC_SWITCH_CREATE_VPORT',
      'EmulatedDevice.Plug',
    ]);
    const { io } = nic.moved('source', 'switchToEmulatedPath', 'nic-0');
    expect(io.paths.passthrough).not.toBeNull();
    expect(io.paths.emulated).not.toBeNull();
    expect(chosenPath(io)).toBe('passthrough');
  });

  test('block 506: the device mapper sends new commands by the emulated path', () => {
    expect(nic.commandsOf('switchToEmulatedPath')).toEqual(['DeviceMapper.MapEmulated']);
    const moved = nic.moved('source', 'drainPassthrough', 'nic-0');
    expect(moved.io.mapped).toBe('emulated');
    expect(openIn(moved, 'passthrough')).toBeGreaterThan(0);
  });

  test('block 508: it is looked again and again until every earlier command has completed, which nobody but the hypervisor says', () => {
    const [start, ...looks] = nic.commandsOf('drainPassthrough');
    expect(start).toBe('Hypervisor.StartDrain');
    expect(looks.length).toBeGreaterThan(0);
    expect(new Set(looks)).toEqual(new Set(['Hypervisor.VerifyCompletions']));
    const moved = nic.moved('source', 'unplugPassthrough', 'nic-0');
    expect(openIn(moved, 'passthrough')).toBe(0);
    // None of the new ones was executed before the last of the earlier ones was completed.
    const { passthrough, emulated } = moved.io.paths;
    for (const [queue, { executed }] of (emulated?.queues ?? []).entries())
      expect(executed).toBeGreaterThanOrEqual(passthrough?.queues[queue]?.completed ?? Infinity);
    expect(nic.result.drain?.commands).toBeGreaterThan(0);
  });

  test('block 510: then passthrough is unplugged from the running guest', () => {
    nic.expectOrder(
      'drainPassthrough: Hypervisor.VerifyCompletions',
      'unplugPassthrough: VPCI.Eject',
      'unplugPassthrough: VPCI.EjectComplete',
      'unplugPassthrough: VPCI.UnassignDevice',
    );
    const { partition, adapters } = nic.at('source', 'saveEmulatedDevice');
    expect(partition.state).toBe('running');
    expect(adapters[0]?.vpci.device).toBeNull();
    expect(nic.moved('source', 'saveEmulatedDevice', 'nic-0').io.paths.passthrough).toBeNull();
  });

  test('block 512: the state of the emulated device is saved, and once more when the VM is suspended', () => {
    expect(nic.commandsOf('saveEmulatedDevice')).toEqual(['EmulatedDevice.SaveState']);
    const saved = nic.moved('source', 'suspendVm', 'nic-0').saved;
    const again = nic.moved('source', 'relinquishVm', 'nic-0').saved;
    expect(again?.queues[0]?.executed).toBeGreaterThan(saved?.queues[0]?.executed ?? Infinity);
    nic.expectOrder(
      'unplugPassthrough: VPCI.UnassignDevice',
      'saveEmulatedDevice: EmulatedDevice.SaveState',
      'suspendVm: Hypervisor.SuspendVirtualProcessors',
      'suspendVm: EmulatedDevice.SaveState',
    );
  });

  test('block 514: the destination exposes a function for each of the two, before the VM is suspended', () => {
    expect(nic.moved('destination', 'suspendVm', 'nic-0').exposed).toEqual([
      'passthrough',
      'emulated',
    ]);
    nic.expectOrder(
      'exposeFunctions: OID_NIC_SWITCH_CREATE_VPORT',
      'suspendVm: Hypervisor.SuspendVirtualProcessors',
    );
  });

  test('block 516: suspended, transferred, resumed: at the destination commands go by the emulated path', () => {
    nic.expectOrder(
      'suspendVm: Hypervisor.SuspendVirtualProcessors',
      'receiveVm: Hypervisor.ReceiveVm',
      'relinquishVm: Hypervisor.RelinquishVm',
      'resumeMigratedVm: Hypervisor.ResumeVirtualProcessors',
    );
    const vm = nic.at('destination', 'plugPassthrough');
    expect(vm.partition.state).toBe('running');
    expect(vm.adapters[0]?.guest.dataPath).toBe('emulated');
    const before = nic.moved('destination', 'plugPassthrough', 'nic-0');
    const after = nic.moved('destination', 'switchToPassthrough', 'nic-0');
    expect(chosenPath(before.io)).toBe('emulated');
    expect(after.io.paths.emulated?.queues[0]?.executed).toBeGreaterThan(
      before.io.paths.emulated?.queues[0]?.executed ?? Infinity,
    );
  });

  test('block 518: passthrough is established anew at the destination, and I/O moves to it', () => {
    nic.expectOrder(
      'resumeMigratedVm: Hypervisor.ResumeVirtualProcessors',
      'plugPassthrough: VPCI.AssignDevice',
      'plugPassthrough: VMBus.Offer',
      'plugPassthrough: Guest.BindVfDriver',
      'switchToPassthrough: DeviceMapper.MapPassthrough',
    );
    expect(chosenPath(nic.moved('destination', 'switchToPassthrough', 'nic-0').io)).toBe(
      'emulated',
    );
    expect(chosenPath(nic.moved('destination', 'unplugEmulatedPath', 'nic-0').io)).toBe(
      'passthrough',
    );
  });

  test('block 520: the emulated path ends, once it has nothing open', () => {
    nic.expectOrder(
      'switchToPassthrough: DeviceMapper.MapPassthrough',
      'unplugEmulatedPath: EmulatedDevice.VerifyCompletions',
      'unplugEmulatedPath: EmulatedDevice.Unplug',
      'unplugEmulatedPath: OID_NIC_SWITCH_FREE_VF',
    );
    expect(Object.keys(nic.functions('destination', 'nic-0'))).toEqual(['passthrough']);
  });

  test('block 522: it ends with the VM on passthrough at the destination, and nothing of it at the source', () => {
    expect(nic.result).toMatchObject({ outcome: 'migrated', ledger: clean });
    expect(nic.functions('source', 'nic-0')).toEqual({});
    expect(suite.vm(nic.hostIds.destination, 'vm-01')).toMatchObject({
      phase: 'running',
      dataPath: 'vf',
    });
    expect(nic.results().at(-1)).toBe('verifyMigration');
  });
});

describe('FIG. 6', () => {
  const paths = (end: 'source' | 'destination', step: Step) =>
    nvme.moved(end, step, 'nvme-0').io.paths;

  test('block 604: the second controller is of the same subsystem and namespace; it is non-optimized, passthrough stays preferred', () => {
    expect(paths('source', 'switchToEmulatedPath')).toMatchObject({
      passthrough: { access: 'optimized' },
      emulated: { access: 'nonOptimized' },
    });
    expect(chosenPath(nvme.moved('source', 'switchToEmulatedPath', 'nvme-0').io)).toBe(
      'passthrough',
    );
    expect(nvme.commandsOf('plugEmulatedPath', 'nvme-0')).toEqual([
      'NVMe.SecondaryController.Online',
      'NVMe.AttachNamespace',
      'EmulatedDevice.Plug',
    ]);
  });

  test('block 606: the states are flipped, so that new commands go by the emulated path', () => {
    expect(nvme.commandsOf('switchToEmulatedPath', 'nvme-0')).toEqual(['NVMe.ChangeAnaState']);
    expect(paths('source', 'drainPassthrough')).toMatchObject({
      passthrough: { access: 'nonOptimized' },
      emulated: { access: 'optimized' },
    });
  });

  test('block 608: the passthrough path is drained', () => {
    expect(
      openIn(nvme.moved('source', 'drainPassthrough', 'nvme-0'), 'passthrough'),
    ).toBeGreaterThan(0);
    expect(openIn(nvme.moved('source', 'unplugPassthrough', 'nvme-0'), 'passthrough')).toBe(0);
  });

  test('block 610: it becomes inaccessible, and is unplugged', () => {
    expect(nvme.commandsOf('unplugPassthrough', 'nvme-0').slice(0, 3)).toEqual([
      'NVMe.ChangeAnaState',
      'VPCI.Eject',
      'VPCI.EjectComplete',
    ]);
    expect(paths('source', 'saveEmulatedDevice').passthrough).toBeNull();
  });

  test('block 612: the state of the emulated controller is saved', () => {
    expect(nvme.moved('source', 'saveEmulatedDevice', 'nvme-0').saved).toBeNull();
    expect(nvme.moved('source', 'suspendVm', 'nvme-0').saved).not.toBeNull();
  });

  test('block 614: the destination exposes both controllers, each with the namespace', () => {
    expect(nvme.commandsOf('exposeFunctions', 'nvme-0')).toEqual([
      'NVMe.AttachNamespace',
      'NVMe.AttachNamespace',
    ]);
    expect(nvme.result).toMatchObject({ outcome: 'migrated', ledger: clean });
    expect(nvme.result.functions.map(({ kind }) => kind)).toEqual(['network', 'nvme']);
  });
});

describe('what the paragraphs say', () => {
  test('paragraph 8: communication is resumed by the emulated path, and passthrough comes after that', () => {
    for (const migration of [nic, nvme]) {
      const { adapters } = migration.at('destination', 'plugPassthrough');
      expect(
        adapters.every(({ guest, vpci }) => guest.dataPath === 'emulated' && vpci.device === null),
      ).toBe(true);
    }
  });

  test('paragraph 27: the state of the VM goes to the destination, and only one of the two hosts executes it', () => {
    const sent = nic.at('source', 'relinquishVm').migration?.package;
    const received = nic.at('destination', 'resumeMigratedVm').migration?.package;
    expect(received).toEqual(sent);
    for (const [, step] of STEPS.slice(STEPS.findIndex(([, name]) => name === 'receiveVm'))) {
      const running = (['source', 'destination'] as const).filter(
        (end) => nic.at(end, step).partition.state === 'running',
      );
      expect(running.length).toBeLessThanOrEqual(1);
    }
  });

  test('paragraph 29: two functions of the host interface are allocated to the VM', () => {
    const { generation, adapters } = nic.at('source', 'unplugPassthrough');
    const key = `vm-01/${String(generation)}/forward/plugEmulatedPath`;
    const plugged = suite.stack.store.result<'plugEmulatedPath'>(nic.hostIds.source, key);
    const device = adapters[0]?.vpci.device;
    expect(device?.ownerVmId).toBe('vm-01');
    expect(plugged?.evidence.emulatedVfId).toEqual(expect.any(Number));
    expect(plugged?.evidence.emulatedVfId).not.toBe(device?.vfId);
  });

  test('paragraph 31: verified by the hypervisor, then unplugged, then saved', () => {
    for (const migration of [nic, nvme]) {
      migration.expectOrder(
        'drainPassthrough: Hypervisor.VerifyCompletions',
        'unplugPassthrough: VPCI.EjectComplete',
        'saveEmulatedDevice: EmulatedDevice.SaveState',
      );
    }
  });

  test('paragraph 32: the functions of the destination correspond to those of the source, one to one', () => {
    for (const [migration, adapterId] of [
      [nic, 'nic-0'],
      [nvme, 'nic-0'],
      [nvme, 'nvme-0'],
    ] as const) {
      const here = migration.moved('source', 'suspendVm', adapterId);
      const there = migration.moved('destination', 'suspendVm', adapterId);
      expect(there).toMatchObject({ kind: here.kind, namespace: here.namespace });
      expect(there.exposed).toEqual(['passthrough', 'emulated']);
    }
  });

  test('paragraph 33: the end of the emulated path is optional', () => {
    expect(keeping.result).toMatchObject({ outcome: 'migrated', ledger: clean });
    expect(keeping.results()).not.toContain('unplugEmulatedPath');
    expect(Object.keys(keeping.functions('destination', 'nic-0'))).toEqual([
      'passthrough',
      'emulated',
    ]);
  });

  test('paragraph 38: the guest finds two controllers with one NQN and one namespace id', () => {
    const { namespace } = nvme.moved('source', 'switchToEmulatedPath', 'nvme-0');
    expect(namespace).toMatchObject({ nsid: 1 });
    expect(namespace?.subsystemNqn).toMatch(/^nqn\./);
    expect(namespace?.nguid).toMatch(/^[0-9a-f]{32}$/);
    expect(nvme.moved('source', 'switchToEmulatedPath', 'nvme-0').exposed).toEqual(['emulated']);
  });

  test('paragraph 41: both controllers and the namespace are there before the VM is, and it goes on by the emulated one', () => {
    nvme.expectOrder(
      'exposeFunctions: NVMe.AttachNamespace',
      'suspendVm: Hypervisor.SuspendVirtualProcessors',
      'resumeMigratedVm: Hypervisor.ResumeVirtualProcessors',
    );
    const { io, namespace } = nvme.moved('destination', 'plugPassthrough', 'nvme-0');
    expect(chosenPath(io)).toBe('emulated');
    expect(namespace).toEqual(nvme.moved('source', 'suspendVm', 'nvme-0').namespace);
  });
});
