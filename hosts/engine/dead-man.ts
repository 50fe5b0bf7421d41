import { setTimeout as delay } from 'node:timers/promises';
import { FAILURES, HoldfastError, type FailureType } from '../../contract/failures';
import { alone, restoreFlow } from '../../contract/flows';
import { lacksVf } from '../../contract/results';
import { ATTACH_VIRTUAL_FUNCTION, type StepCall, type VmStep } from '../../contract/steps';
import { reasonOf } from './commands';
import type { EngineHosts } from './engine-hosts';
import type { CoreObjects } from './state';

/** How often deadlines are looked at, ms. */
const LOOK_EVERY_MS = 100;
/** How long one attempt may be waited for: one that is stuck is superseded by the next. */
const ATTEMPT_MS = 2_000;
/** Attempts of one step before the VM is left to the next look. */
const ATTEMPTS = 5;

/**
 * Brings VMs back whose deadline passed while nobody else did: server, orchestrator and host worker may all be down.
 * Before the point of no return it undoes the save, after it it restores, on whichever stack is active. It fences
 * first, so that late steps of the run it replaces have no effect.
 */
export class DeadMan<O extends CoreObjects> {
  readonly #busy = new Set<string>();

  constructor(
    private readonly hosts: EngineHosts<O>,
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
    const { store, port } = this.hosts;
    const nowMs = store.nowMs();
    const pausedAtMs = (vm: O['vm']) => port.image(vm).pausedAtMs ?? 0;
    return store.hostIds().flatMap((hostId) =>
      store
        .host(hostId)
        .vmIds.map((vmId) => store.vm(hostId, vmId))
        .filter(
          (vm) =>
            vm.deadlineMs !== null &&
            vm.deadlineMs < nowMs &&
            !this.#busy.has(`${hostId}/${vm.vmId}`),
        )
        .sort((a, b) => pausedAtMs(a) - pausedAtMs(b))
        .map((vm) => ({ hostId, vmId: vm.vmId })),
    );
  }

  async #bringBack(hostId: string, vmId: string, signal: AbortSignal): Promise<void> {
    const name = `${hostId}/${vmId}`;
    this.#busy.add(name);
    try {
      this.say(`${name}: its deadline has passed; bringing it back`);
      const { generation, crossed, settings } = await this.hosts.takeForDeadMan(hostId, vmId);
      const perform: Perform = (steps, direction = 'recover') =>
        this.#performAll(steps, { hostId, vmId, generation, direction }, signal);
      if (crossed) {
        this.hosts.giveUpUpdate(hostId);
        await this.#restore(name, restoreFlow(settings), perform);
      } else {
        const { store, port } = this.hosts;
        await perform(port.undoSteps(store.vm(hostId, vmId)), 'undo');
      }
      await perform(['enableOptimizations']);
      if (lacksVf((await this.hosts.describeVm(hostId, vmId)).facts)) {
        await perform(ATTACH_VIRTUAL_FUNCTION).catch((error: unknown) => {
          this.say(`${name}: no VF could be attached: ${reasonOf(error)}`);
        });
      }
      await perform(['endOperation']);
      this.say(`${name}: runs again`);
    } catch (error) {
      this.say(`${name}: ${reasonOf(error)}`);
    } finally {
      this.#busy.delete(name);
    }
  }

  /** The shortest way forward: with the VF, else without it, else without the guest's memory, else none. */
  async #restore(name: string, flow: readonly VmStep[], perform: Perform): Promise<void> {
    const dark = alone(flow.slice(0, flow.indexOf('resumeVm') + 1));
    const ofVf = (step: VmStep) =>
      dark.indexOf(step) < dark.indexOf('restoreVm') || step === 'markVirtualFunctionAssigned';
    try {
      await perform(FORWARD);
      try {
        // A direction of its own: a VF that is attached later needs some of these steps once more.
        await perform(dark.filter(ofVf), 'forward');
      } catch (error) {
        if (isFailure(error, 'Fenced') || isFailure(error, 'VmStateLost')) throw error;
        this.say(`${name}: ${reasonOf(error)}; giving its VF up`);
        // Of several VFs only the one that failed goes.
        await perform([
          'detachHeldFunction',
          'powerOnRestore',
          'retrieveAndRestoreVirtualFunction',
          'markVirtualFunctionAssigned',
        ]);
      }
      await perform(dark.filter((step) => !ofVf(step)));
    } catch (error) {
      if (isFailure(error, 'Fenced')) throw error;
      if (!isFailure(error, 'VmStateLost')) {
        // No way forward that is known to be safe: a person must look, and is told so.
        await perform(['strandVm']);
        throw error;
      }
      this.say(`${name}: ${reasonOf(error)}; starting it cold`);
      await perform(['coldStartVm', 'resumeVm']);
    }
  }

  async #performAll(steps: readonly VmStep[], call: StepCall, signal: AbortSignal): Promise<void> {
    for (const step of steps) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.hosts.perform(
            step,
            call,
            AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]),
          );
          break;
        } catch (error) {
          const again = error instanceof HoldfastError && FAILURES[error.type].retryable;
          if (!again || attempt === ATTEMPTS || signal.aborted) throw error;
          await delay(attempt * 20);
        }
      }
    }
  }
}

type Perform = (steps: readonly VmStep[], direction?: StepCall['direction']) => Promise<void>;

/** What may be left of a save that has crossed; not applicable once a restore has begun. */
const FORWARD = ['resetVpciBusInterface', 'tearDownSyntheticAdapter'] as const;

const isFailure = (error: unknown, type: FailureType) =>
  error instanceof HoldfastError && error.type === type;
