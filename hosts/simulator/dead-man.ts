import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import { ATTACH_VIRTUAL_FUNCTION, UNDO_SAVE, type StepCall, type VmStep } from '../../contract/steps';
import { hostNowMs } from './clock';
import { identityOf } from './identity';
import type { SimulatedHosts } from './simulated-host';
import type { HostStore } from './store';

/** How often deadlines are looked at, ms. */
const LOOK_EVERY_MS = 100;
/** Attempts of one step before the VM is left to the next look. */
const ATTEMPTS = 5;

/**
 * Brings VMs back whose deadline passed while nobody else did: server, orchestrator and host worker may all be down.
 * Before the point of no return it undoes the save, after it it restores, on whichever stack is active. It fences
 * first, so that late steps of the run it replaces have no effect.
 */
export class DeadMan {
  readonly #busy = new Set<string>();

  constructor(
    private readonly store: HostStore,
    private readonly hosts: SimulatedHosts,
    private readonly say: (line: string) => void,
  ) {}

  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const { hostId, vmId } of this.#overdue()) {
        void this.#bringBack(hostId, vmId, signal);
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #overdue(): { hostId: string; vmId: string }[] {
    const nowMs = hostNowMs();
    return this.store.hostIds().flatMap((hostId) =>
      this.store
        .host(hostId)
        .vmIds.map((vmId) => this.store.vm(hostId, vmId))
        .filter((vm) => vm.deadlineMs !== null && vm.deadlineMs < nowMs && !this.#busy.has(`${hostId}/${vm.vmId}`))
        .sort((a, b) => (a.partition.pausedAtMs ?? 0) - (b.partition.pausedAtMs ?? 0))
        .map((vm) => ({ hostId, vmId: vm.vmId })),
    );
  }

  async #bringBack(hostId: string, vmId: string, signal: AbortSignal): Promise<void> {
    const name = `${hostId}/${vmId}`;
    this.#busy.add(name);
    try {
      this.say(`${name}: its deadline has passed; bringing it back`);
      const { generation, crossed } = await this.hosts.takeForDeadMan(hostId, vmId);
      const perform = (steps: readonly VmStep[], direction: StepCall['direction']) =>
        this.#performAll(steps, { hostId, vmId, generation, direction }, signal);
      if (crossed) {
        this.hosts.giveUpUpdate(hostId);
        // A claimed record means that the save is over and its successor may run already.
        if (this.store.vm(hostId, vmId).record?.state !== 'claimed') await perform(FORWARD, 'recover');
        try {
          await perform(RESTORE, 'recover');
        } catch (error) {
          this.say(`${name}: ${reason(error)}; giving its VF up`);
          await perform(['detachHeldFunction', ...WITHOUT_VF], 'recover');
        }
      } else await perform(UNDO_SAVE, 'undo');
      await perform(['enableOptimizations'], 'recover');
      if (identityOf(this.store.objects(hostId, vmId)) === null) {
        await perform(ATTACH_VIRTUAL_FUNCTION, 'recover').catch((error: unknown) => {
          this.say(`${name}: no VF could be attached: ${reason(error)}`);
        });
      }
      await perform(['endOperation'], 'recover');
      this.say(`${name}: runs again`);
    } catch (error) {
      this.say(`${name}: ${reason(error)}`);
    } finally {
      this.#busy.delete(name);
    }
  }

  async #performAll(steps: readonly VmStep[], call: StepCall, signal: AbortSignal): Promise<void> {
    for (const step of steps) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.hosts.perform(step, call, signal);
          break;
        } catch (error) {
          const again = error instanceof HoldfastError && error.type === 'HostStepFailed';
          if (!again || attempt === ATTEMPTS) throw error;
          await delay(attempt * 20);
        }
      }
    }
  }
}

/** What may be left of a save that has crossed. */
const FORWARD = ['resetVpciBusInterface', 'tearDownSyntheticAdapter'] as const;
const RESTORE = [
  'initializeSyntheticAdapter',
  'reserveResources',
  'powerOnRestore',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'restoreVm',
  'markVirtualFunctionAssigned',
  'connectSyntheticAdapter',
  'resumeSyntheticAdapter',
  'resumeVm',
] as const satisfies readonly VmStep[];
const WITHOUT_VF = [
  'powerOnRestore',
  'restoreVm',
  'connectSyntheticAdapter',
  'resumeSyntheticAdapter',
  'resumeVm',
] as const satisfies readonly VmStep[];

const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));
