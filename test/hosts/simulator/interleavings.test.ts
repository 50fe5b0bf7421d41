/** Whatever two VMs do in whatever order, with faults, strays and fences: no invariant breaks, and both come back. */
import fc from 'fast-check';
import { HoldfastError } from '../../../contract/failures';
import type { VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import { RESTORE, SAVE, SimulatedFleet, VmRun, fault } from './simulated-fleet';

const VMS = ['vm-01', 'vm-02'] as const;
const FAULTY = [...SAVE, ...RESTORE].filter((s) => s !== 'awaitPause' && s !== 'awaitUpdate');
/** Steps that come at the wrong time: most are refused, the rest must do no harm. */
const STRAYS = [
  'saveVm',
  'tearDownSyntheticAdapter',
  'unsaveVm',
  'restoreSwitchState',
  'discardSavedState',
  'resumeVm',
  'concludeSave',
  'enableOptimizations',
  'endOperation',
  'verifyRestore',
  'createVpciBus',
  'resetVpciBusInterface',
  'detachHeldFunction',
  'freeVirtualFunction',
  'deleteVPort',
  'ejectVirtualFunction',
  'disconnectSyntheticAdapter',
  'powerOnRestore',
  'coldStartVm',
] as const satisfies readonly VmStep[];

const act = fc.record({
  vm: fc.constantFrom(...VMS),
  what: fc.oneof(
    { weight: 14, arbitrary: fc.constant({ kind: 'next' } as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'repeat' } as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...STRAYS).map((step) => ({ kind: 'stray', step }) as const),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'fence' } as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'takeOver' } as const) },
  ),
});
const someFault = fc.record({
  vmId: fc.constantFrom(...VMS),
  step: fc.constantFrom(...FAULTY),
  kind: fc.constantFrom('fail-before' as const, 'fail-after' as const, 'vf-gone' as const),
  times: fc.integer({ min: 1, max: 3 }),
});

/** One VM on its way through saves and restores, as far as the host lets it. */
class Traveller {
  run: VmRun | null = null;
  order: readonly VmStep[] = [];
  at = 0;
  owners = 0;

  constructor(
    readonly fleet: SimulatedFleet,
    readonly vmId: string,
    readonly faults: readonly ReturnType<typeof fault>[],
  ) {}

  async begin(): Promise<void> {
    const { vm } = this.fleet.objects(this.vmId);
    const kind = vm.partition.state === 'running' ? 'beginSave' : 'beginRestore';
    this.owners += 1;
    const holder = { workflowId: `${kind}/${this.vmId}`, runId: String(this.owners) };
    const takeOver = vm.lease === null ? {} : { takeOverFrom: vm.lease.holder };
    this.order = kind === 'beginSave' ? SAVE : RESTORE;
    this.at = 0;
    this.run = await VmRun.begin(this.fleet, kind, this.vmId, {
      holder,
      faults: this.faults,
      ...takeOver,
    });
  }

  async next(): Promise<void> {
    const step = this.order[this.at];
    if (this.run === null || step === undefined) return this.begin();
    // A stray whose reply was lost is waited for until someone observes it: the next fence does.
    await this.run.perform(step, AbortSignal.timeout(50));
    this.at += 1;
  }
}

it('never breaks an invariant, and every VM can always be brought back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { minLength: 10, maxLength: 70 }),
      fc.uniqueArray(someFault, { maxLength: 3, selector: (f) => `${f.vmId}/${f.step}` }),
      async (acts, faults) => {
        const fleet = new SimulatedFleet({ vms: 2 });
        try {
          const before = (await fleet.hosts.describe('host-01')).vms.map((vm) => vm.identity);
          const travellers = new Map(
            VMS.map((id) => [
              id,
              new Traveller(
                fleet,
                id,
                faults.filter((f) => f.vmId === id).map((f) => fault(f.step, f.kind, f)),
              ),
            ]),
          );
          for (const { vm, what } of acts) {
            const traveller = travellers.get(vm);
            if (traveller === undefined) continue;
            try {
              if (what.kind === 'next') await traveller.next();
              else if (what.kind === 'takeOver') await traveller.begin();
              else if (what.kind === 'fence') await traveller.run?.fence('recover');
              else {
                const step =
                  what.kind === 'stray'
                    ? what.step
                    : traveller.order[Math.max(0, traveller.at - 1)];
                if (step !== undefined) await traveller.run?.perform(step, AbortSignal.timeout(50));
              }
            } catch (error) {
              // Refused, fenced or failed, but typed, and never a breach.
              if (!(error instanceof HoldfastError) || error.type === 'InvariantBreach')
                throw error;
            }
            const host = fleet.store.host('host-01');
            if (host.invariants.violations.length > 0)
              throw new Error(host.invariants.violations.join('; '));
          }
          await bringAllBack(fleet);
          const after = await fleet.hosts.describe('host-01');
          for (const [i, vm] of after.vms.entries()) {
            expect(vm).toMatchObject({ phase: 'running', holder: null, dataPath: 'vf' });
            if (
              vm.facts.path === 'kept' &&
              fleet.objects(vm.vmId).adapter.guest.events.length === 0
            )
              expect(vm.identity).toEqual(before[i]);
          }
          expect(after.invariants.violated).toBe(0);
        } finally {
          await fleet.close();
        }
      },
    ),
    {
      endOnFailure: true,
      numRuns: Number(process.env['RUNS'] ?? 40),
      ...(process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }),
    },
  );
});

async function bringAllBack(fleet: SimulatedFleet): Promise<void> {
  const out = () =>
    VMS.filter((id) => {
      const { vm } = fleet.objects(id);
      return vm.partition.state !== 'running' || vm.lease !== null;
    });
  for (const id of out()) {
    fleet.change(({ vm }) => {
      vm.deadlineMs = 1;
    }, id);
  }
  const said: string[] = [];
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
  try {
    for (const until = Date.now() + 5_000; out().length > 0;) {
      if (Date.now() > until) throw new Error(`not back: ${out().join(', ')}: ${said.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } finally {
    stop.abort();
    await watching;
  }
  // A VM that had lost its VF, and whose run was over, gets one with its next save and restore.
  for (const id of VMS) {
    if (fleet.objects(id).adapter.guest.dataPath === 'vf') continue;
    const run = await VmRun.save(fleet, id, { holder: { workflowId: 'attach', runId: id } });
    await run.performAll([
      'allocateVirtualFunction',
      'createVPort',
      'moveFiltersToVirtualFunction',
      'createVpciBus',
      'assignVirtualFunction',
      'offerVirtualFunction',
      'probeVirtualFunction',
      'switchDataPath',
      'endOperation',
    ]);
  }
}
