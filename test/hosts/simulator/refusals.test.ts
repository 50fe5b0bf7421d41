/** Everything that host-model.md, section 8 says a strict host must refuse: with the right failure, and nothing changed. */
import type { FailureType } from '../../../contract/failures';
import type { VmStep } from '../../../contract/steps';
import { RESTORE, SAVE, SimulatedFleet, VmRun, HostRun } from './simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet({ vms: 2, custodyBelowVsp: true })));
afterEach(() => fleet.close());

const saveUpTo =
  (step: (typeof SAVE)[number], mode: 'modified' | 'conventional' = 'modified') =>
  async () => {
    const run = await VmRun.save(fleet, 'vm-01', { settings: { mode } });
    await run.performBefore(step, SAVE);
    return run;
  };
const saveWith =
  (...steps: VmStep[]) =>
  async () => {
    const run = await VmRun.save(fleet, 'vm-01');
    await run.performAll(steps);
    return run;
  };
const restoreWith =
  (before: (o: ReturnType<SimulatedFleet['objects']>) => void, ...steps: VmStep[]) =>
  async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    const run = await VmRun.restore(fleet);
    await run.performAll(steps);
    fleet.change(before);
    return run;
  };
const restoreUpTo = (
  step: (typeof RESTORE)[number],
  before: (o: ReturnType<SimulatedFleet['objects']>) => void = () => undefined,
) => restoreWith(before, ...RESTORE.slice(0, RESTORE.indexOf(step)));

/** The save crossed, then its run was closed before the teardown; a restore takes over. */
const restoreOverLiveWorker = async () => {
  const save = await saveUpTo('resetVpciBusInterface')();
  const run = await VmRun.restore(fleet, 'vm-01', { takeOverFrom: save.holder });
  await run.performAll(['initializeSyntheticAdapter', 'reserveResources']);
  return run;
};

const PAUSED_WITH_OPTIMIZATIONS = saveWith('pauseVm');

it.each<{
  what: string;
  prepare: () => Promise<VmRun>;
  step: VmStep;
  type: FailureType;
  says: RegExp;
}>([
  ...(
    ['saveVirtualFunctionState', 'writeVirtualFunctionInfo', 'saveSyntheticAdapter'] as const
  ).flatMap((step) => [
    {
      what: `${step} while the VM runs`,
      prepare: saveWith('disableOptimizations'),
      step,
      type: 'Refused' as const,
      says: /HCS_E_INVALID_STATE/,
    },
    {
      what: `${step} with optimizations on`,
      prepare: PAUSED_WITH_OPTIMIZATIONS,
      step,
      type: 'Refused' as const,
      says: /optimizations are on/,
    },
  ]),
  {
    what: 'saveVm while the VM runs',
    prepare: saveWith('disableOptimizations'),
    step: 'saveVm',
    type: 'Refused',
    says: /HCS_E_INVALID_STATE/,
  },
  {
    what: 'resetting the bus interface before the mark',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'resetVpciBusInterface',
    type: 'Refused',
    says: /point of no return/,
  },
  {
    what: 'teardown without the commit marker',
    prepare: saveUpTo('saveVm'),
    step: 'tearDownSyntheticAdapter',
    type: 'Refused',
    says: /committed record/,
  },
  {
    what: 'teardown without the mark',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'tearDownSyntheticAdapter',
    type: 'Refused',
    says: /point of no return/,
  },
  {
    what: 'giving the lease of a save back before the teardown',
    prepare: saveUpTo('tearDownSyntheticAdapter'),
    step: 'concludeSave',
    type: 'Refused',
    says: /not saved and torn down/,
  },
  {
    what: 'ending the operation of a paused VM',
    prepare: saveUpTo('saveVm'),
    step: 'endOperation',
    type: 'Refused',
    says: /lease cannot be given back/,
  },
  {
    what: 'ending the operation while the VF is held',
    prepare: saveWith('disableOptimizations'),
    step: 'endOperation',
    type: 'Refused',
    says: /still held/,
  },
  {
    what: 'enabling optimizations of a paused VM, which would end its hold',
    prepare: saveUpTo('saveVm'),
    step: 'enableOptimizations',
    type: 'Refused',
    says: /stays held/,
  },
  {
    what: 'detaching a held VF that an undo can keep',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'detachHeldFunction',
    type: 'Refused',
    says: /can be undone/,
  },
  {
    what: 'starting a VM cold that an undo can bring back',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'coldStartVm',
    type: 'Refused',
    says: /can be undone/,
  },
  {
    what: 'resuming a VM whose record is committed',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'resumeVm',
    type: 'Refused',
    says: /record being claimed/,
  },
  {
    what: 'disconnecting the NIC while the VF is assigned',
    prepare: saveUpTo('tearDownSyntheticAdapter'),
    step: 'disconnectSyntheticAdapter',
    type: 'Refused',
    says: /while a VF is assigned/,
  },
  {
    what: 'disconnecting the NIC before the mark',
    prepare: saveUpTo('crossPointOfNoReturn'),
    step: 'disconnectSyntheticAdapter',
    type: 'Refused',
    says: /point of no return/,
  },
  {
    what: 'reserving before the adapter is initialized',
    prepare: restoreWith(() => undefined),
    step: 'reserveResources',
    type: 'Refused',
    says: /before the adapter is initialized/,
  },
  {
    what: 'power-on-restore without reserved resources',
    prepare: restoreWith(() => undefined, 'initializeSyntheticAdapter'),
    step: 'powerOnRestore',
    type: 'Refused',
    says: /Initialized, not ResourcesReserved/,
  },
  {
    what: 'crossing without a committed record',
    prepare: saveUpTo('saveVm'),
    step: 'crossPointOfNoReturn',
    type: 'Refused',
    says: /its record is writing/,
  },
  {
    what: 'crossing with an adapter that is not saved',
    prepare: async () => {
      const run = await saveUpTo('crossPointOfNoReturn')();
      await run.perform('restoreSwitchState');
      return run;
    },
    step: 'crossPointOfNoReturn',
    type: 'Refused',
    says: /its adapter Paused/,
  },
  {
    what: 'a save that would write over a committed record',
    prepare: async () => {
      const run = await saveUpTo('crossPointOfNoReturn')();
      await run.fence('recover');
      return run;
    },
    step: 'saveVm',
    type: 'Refused',
    says: /committed record, which nothing may write over/,
  },
  {
    what: 'a second worker process beside the first',
    prepare: restoreOverLiveWorker,
    step: 'powerOnRestore',
    type: 'Refused',
    says: /still runs/,
  },
  {
    what: 'creating a bus over an interface that was not reset',
    prepare: restoreUpTo('createVpciBus', ({ adapter }) => {
      adapter.vpci.interface = { state: 'active', madeBy: 1 };
    }),
    step: 'createVpciBus',
    type: 'Refused',
    says: /active: reset it first/,
  },
  {
    what: 'assigning before the bus is created (claim 13)',
    prepare: restoreUpTo('createVpciBus'),
    step: 'assignVirtualFunction',
    type: 'Refused',
    says: /from none to bound/,
  },
  {
    what: 'assigning a VF whose device another VM owns',
    prepare: restoreUpTo('assignVirtualFunction', ({ adapter: { vpci } }) => {
      if (vpci.device !== null) vpci.device = { ...vpci.device, ownerVmId: 'vm-02' };
    }),
    step: 'assignVirtualFunction',
    type: 'IdentityMismatch',
    says: /of vm-02/,
  },
  {
    what: 'assigning a VF that is allocated to another VM',
    prepare: restoreUpTo('assignVirtualFunction', ({ pf, adapter }) => {
      adapter.custody = null;
      pf.vfs = pf.vfs.filter((vf) => vf.ownerVmId === 'vm-02').map((vf) => ({ ...vf, vfId: 0 }));
      pf.vports = pf.vports.filter((p) => p.vfId === 0);
      pf.iovVfUsage = 1;
    }),
    step: 'assignVirtualFunction',
    type: 'IdentityMismatch',
    says: /allocated to vm-02/,
  },
  {
    what: 'restoring VF state over a device that is not connected',
    prepare: restoreUpTo('assignVirtualFunction'),
    step: 'restoreVirtualFunctionState',
    type: 'Refused',
    says: /not connected/,
  },
  {
    what: 'restoring VF state of another epoch',
    prepare: restoreUpTo('restoreVirtualFunctionState', ({ pf }) => {
      for (const vf of pf.vfs) vf.configEpoch += 1;
    }),
    step: 'restoreVirtualFunctionState',
    type: 'ConfigEpochChanged',
    says: /another epoch/,
  },
  {
    what: 'restoring the VM before its record is claimed',
    prepare: restoreUpTo('powerOnRestore'),
    step: 'restoreVm',
    type: 'Refused',
    says: /not claimed/,
  },
  {
    what: 'resuming without the VM state',
    prepare: restoreUpTo('restoreVm'),
    step: 'resumeVm',
    type: 'Refused',
    says: /VM state was not restored/,
  },
  {
    what: 'resuming without the VF state',
    prepare: restoreUpTo('resumeVm', ({ adapter }) => {
      adapter.vfStateRestored = false;
    }),
    step: 'resumeVm',
    type: 'Refused',
    says: /VF was not restored/,
  },
  {
    what: 'resuming before the switch has resumed the adapter',
    prepare: restoreUpTo('resumeSyntheticAdapter'),
    step: 'resumeVm',
    type: 'Refused',
    says: /adapter is PoweredOn/,
  },
  {
    what: 'verifying a VM that is dark',
    prepare: restoreUpTo('resumeVm'),
    step: 'verifyRestore',
    type: 'Refused',
    says: /nothing to verify/,
  },
  {
    what: 'verifying while the VF is still held',
    prepare: restoreUpTo('enableOptimizations'),
    step: 'verifyRestore',
    type: 'Refused',
    says: /still held/,
  },
  {
    what: 'marking a VF assigned that is not',
    prepare: restoreUpTo('markVirtualFunctionAssigned', ({ adapter }) => {
      adapter.custody = null;
      adapter.vpci.device = null;
      adapter.vpci.interface = { state: 'none', madeBy: null };
    }),
    step: 'markVirtualFunctionAssigned',
    type: 'VirtualFunctionLost',
    says: /not assigned any more/,
  },
  {
    what: 'freeing a VF with its VPort',
    prepare: () => VmRun.save(fleet, 'vm-01', { settings: { mode: 'conventional' } }),
    step: 'freeVirtualFunction',
    type: 'Refused',
    says: /a VPort is attached/,
  },
  {
    what: 'deleting a VPort that filters still point at',
    prepare: () => VmRun.save(fleet, 'vm-01', { settings: { mode: 'conventional' } }),
    step: 'deleteVPort',
    type: 'Refused',
    says: /filters still point/,
  },
  {
    what: 'allocating a second VF',
    prepare: async () => {
      const run = await VmRun.save(fleet);
      fleet.change(({ pf, adapter }) => {
        adapter.guest.dataPath = 'synthetic';
        pf.vfs = pf.vfs.map((vf) => ({
          ...vf,
          ownerVmId: vf.ownerVmId === 'vm-02' ? 'vm-02' : 'vm-09',
        }));
        Object.assign(pf, { iovVfCapacity: 2 });
      });
      return run;
    },
    step: 'allocateVirtualFunction',
    type: 'VirtualFunctionsExhausted',
    says: /2 of 2 are in use/,
  },
])('refuses $what', async ({ prepare, step, type, says }) => {
  const run = await prepare();
  const before = fleet.photograph();
  await expect(run.perform(step)).rejects.toMatchObject({
    type,
    message: expect.stringMatching(says),
  });
  expect(fleet.photograph()).toBe(before);
});

it.each(['unsaveVm', 'restoreSwitchState', 'discardSavedState'] as const)(
  'refuses %s after the point of no return, as only forward is left',
  async (step) => {
    const run = await saveUpTo('resetVpciBusInterface')();
    if (step === 'discardSavedState') {
      fleet.change(({ vm }) => {
        if (vm.record !== null) vm.record.state = 'writing';
      });
    }
    const before = fleet.photograph();
    run.direction = 'undo';
    await expect(run.perform(step)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringMatching(/only forward/),
    });
    expect(fleet.photograph()).toBe(before);
  },
);

it.each([
  ['without VF state', SAVE.filter((s) => s !== 'saveVirtualFunctionState'), 'vfState'],
  ['without VF info', SAVE.filter((s) => s !== 'writeVirtualFunctionInfo'), 'vfInfo'],
  ['without the switch’s data', SAVE.filter((s) => s !== 'saveSyntheticAdapter'), 'switchBlobs'],
])('does not commit a record %s', async (_, order, block) => {
  const run = await VmRun.save(fleet);
  await run.performAll(order.slice(0, order.indexOf('saveVm')));
  await expect(run.perform('saveVm')).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringMatching(block),
  });
  expect(fleet.objects().vm.record).toMatchObject({ state: 'writing', commit: null });
});

it.each([
  ['a VM that runs', () => Promise.resolve(), 'beginRestore', 'NoRecord'],
  [
    'a VM that is saved',
    async () => {
      await (await VmRun.save(fleet)).performAll(SAVE);
    },
    'beginSave',
    'AlreadySaved',
  ],
  [
    'a VM with a pending data-path switch',
    () => {
      fleet.change(({ adapter }) => {
        adapter.guest.dataPathSwitchPending = true;
      });
      return Promise.resolve();
    },
    'beginSave',
    'NotReady',
  ],
  [
    'a VM with a pending device reset',
    () => {
      fleet.change(({ adapter }) => {
        adapter.vpci.deviceResetPending = true;
      });
      return Promise.resolve();
    },
    'beginSave',
    'NotReady',
  ],
  [
    'a host that is quarantined',
    () => {
      fleet.store.updateHost('host-01', ({ host }) => {
        host.quarantine = 'for the test';
      });
      return Promise.resolve();
    },
    'beginSave',
    'HostQuarantined',
  ],
] as const)('refuses %s at %s', async (_, prepare, kind, type) => {
  await prepare();
  const before = fleet.photograph();
  await expect(VmRun.begin(fleet, kind)).rejects.toMatchObject({ type });
  expect(fleet.photograph()).toBe(before);
});

it('refuses to pause into a data-path switch that is under way', async () => {
  const run = await saveUpTo('pauseVm')();
  fleet.change(({ adapter }) => {
    adapter.guest.dataPathSwitchPending = true;
  });
  const before = fleet.photograph();
  await expect(run.perform('pauseVm')).rejects.toMatchObject({ type: 'Refused' });
  expect(fleet.photograph()).toBe(before);
});

describe('a record whose mode, version or bytes were changed', () => {
  it.each([
    ['a newer VDEV version', { vdevVersion: 99 }, 'VmStateLost'],
    ['another record version', { recordVersion: 2 }, 'RecordUnreadable'],
    ['another content', { withoutVf: null, blocks: {} }, 'VmStateLost'],
  ])('is not restored: %s', async (_, change, type) => {
    const run = await restoreUpTo('powerOnRestore', ({ vm }) => {
      Object.assign(vm.record ?? {}, change);
    })();
    const before = fleet.photograph();
    await expect(run.perform('powerOnRestore')).rejects.toMatchObject({ type });
    expect(fleet.photograph()).toBe(before);
  });
});

it.each([
  [
    'identity',
    ({ pf }: ReturnType<SimulatedFleet['objects']>) => {
      pf.vfs = pf.vfs.map((vf) => ({ ...vf, serialNumber: vf.serialNumber + 7 }));
    },
    'IdentityMismatch',
    /serialNumber \(1 saved, 8 found\)/,
  ],
  [
    'configuration epoch',
    ({ pf }: ReturnType<SimulatedFleet['objects']>) => {
      for (const vf of pf.vfs) vf.configEpoch += 1;
    },
    'ConfigEpochChanged',
    /epoch 1 saved, 2 found/,
  ],
] as const)(
  'refuses another %s at power-on-restore, before any hardware is touched',
  async (_, change, type, says) => {
    const run = await restoreUpTo('powerOnRestore', change)();
    const { pf, adapter } = fleet.objects();
    await expect(run.perform('powerOnRestore')).rejects.toMatchObject({
      type,
      message: expect.stringMatching(says),
    });
    const after = fleet.objects();
    expect(after.adapter.vpci).toEqual(adapter.vpci);
    expect({ ...after.pf, mailbox: null }).toEqual({ ...pf, mailbox: null });
  },
);

it('refuses to commit a host-wide update while a VM runs', async () => {
  const host = await HostRun.arm(fleet, {
    update: { component: 'vpciVsp', version: '2.0.0' },
    vms: [{ vmId: 'vm-01', mode: 'modified' }],
  });
  await host.perform('stageUpdate');
  const { save, restore } = await host.begin('vm-01');
  const waiting = restore.performAll(['initializeSyntheticAdapter', 'reserveResources']);
  await waiting;
  await save.performAll(SAVE.filter((s) => s !== 'awaitPause' && s !== 'concludeSave'));
  await expect(host.perform('commitUpdate')).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringMatching(/host-wide and vm-02 run/),
  });
  expect((await fleet.hosts.describe('host-01')).versions.vpciVsp).toBe('1.0.0');
});

it('a VM that a run has begun to prepare counts as running, too', async () => {
  const host = await HostRun.arm(fleet, {
    update: { component: 'vpciVsp', version: '2.0.0' },
    vms: [{ vmId: 'vm-01', mode: 'modified' }],
  });
  await host.perform('stageUpdate');
  const { save } = await host.begin('vm-01');
  await VmRun.save(fleet, 'vm-02', { parent: host.holder });
  await save.performAll(SAVE.filter((s) => s !== 'awaitPause' && s !== 'concludeSave'));
  await expect(host.perform('commitUpdate')).rejects.toMatchObject({ type: 'Refused' });
});
