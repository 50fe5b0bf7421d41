import { setTimeout as delay } from 'node:timers/promises';
import { FAILURES, HoldfastError, type FailureType } from '../../contract/failures';
import { alone, restoreFlow } from '../../contract/flows';
import { lacksVf } from '../../contract/results';
import { ATTACH_VIRTUAL_FUNCTION, type StepCall, type VmStep } from '../../contract/steps';
import { reasonOf } from './commands';
import type { EngineHosts } from './engine-hosts';
import { isDecided, isDown, isRolling, updateDueByMs } from './gates';
import { isAbandoned } from './mailbox';
import { hasEnded, isStopped, type ProcessIdentity } from './process-identity';
import type { CoreObjects } from './state';
import { UNCHANGED } from './store';
import { within } from './waiting';

/** How often deadlines are looked at, and whether those who perform steps of dark VMs still live, ms. */
const LOOK_EVERY_MS = 50;
/** So many looks in a row that find nothing, and no write since, and the next need not go over the hosts. */
const QUIET_LOOKS = 2;
/** After so many looks the next goes over the hosts whatever the store says. */
const LOOKS_ON_TRUST = 20;
/** A process that has been stopped for so long while it keeps a VM dark is ended, ms. */
const STOPPED_FOR_MS = 1_000;
/** How long an attempt may take; one that does not end then gets that much longer at each further attempt. */
const ATTEMPT_MS = 2_000;
/** Worker processes that may restore a VM, one after the other, if they end before it runs. */
const PROCESSES = 3;
/** Attempts of one step before the VM is left to the next look. */
const ATTEMPTS = 5;

/**
 * Goes on with what was issued for a dark VM when the process that performs it has died, under the same generation and
 * keys. And brings VMs back whose deadline passed while nobody else did: server, orchestrator and host worker may all be
 * down. Before the point of no return it undoes the save, after it it restores, on whichever stack is active. For that it
 * fences first, so that late steps of the run it replaces have no effect.
 */
export class DeadMan<O extends CoreObjects> {
  readonly #busy = new Set<string>();

  constructor(
    private readonly hosts: EngineHosts<O>,
    private readonly say: (line: string) => void,
  ) {}

  /** Until `signal`. Rejects when a look fails. */
  watch(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve();
      const look = () => {
        try {
          if (!this.#areAllQuiet()) this.#lookAtAll(signal);
        } catch (error) {
          clearInterval(looking);
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      // An interval: promises of delays, made anew at each look, took half the time of a dead-man with nothing to do.
      const looking = setInterval(look, LOOK_EVERY_MS);
      signal.addEventListener('abort', () => {
        clearInterval(looking);
        resolve();
      });
      look();
    });
  }

  /** The latest write at which looks found every host quiet, and how many looks ago that began. */
  #quiet = { write: NaN, looks: 0 };

  /**
   * Nothing was written since every host was quiet. A write may have its number a moment before it can be read, and for longer
   * if its process dies in that moment: hence the second look, and one now and then.
   */
  #areAllQuiet(): boolean {
    const write = this.hosts.store.latestWrite();
    if (write !== this.#quiet.write) this.#quiet = { write, looks: 0 };
    this.#quiet.looks += 1;
    return this.#quiet.looks > QUIET_LOOKS && this.#quiet.looks % LOOKS_ON_TRUST !== 0;
  }

  #lookAtAll(signal: AbortSignal): void {
    for (const hostId of this.hosts.store.hostIds()) {
      if (this.#isQuiet(hostId)) continue;
      this.#quiet.looks = 0;
      this.#goOn(hostId, signal);
      for (const vmId of this.#overdue(hostId)) void this.#bringBack(hostId, vmId, signal);
    }
  }

  /** The number of the write since which no VM of the host is dark or has a deadline. */
  readonly #quietSince = new Map<string, number>();

  /** Nothing is to be looked for on a host where nothing has changed since nothing was. */
  #isQuiet(hostId: string): boolean {
    const { store, port } = this.hosts;
    const { writes = 0, vmIds } = store.host(hostId);
    if (this.#quietSince.get(hostId) === writes) return true;
    const isQuiet = vmIds
      .map((vmId) => store.vm(hostId, vmId))
      .every((vm) => vm.deadlineMs === null && port.image(vm).pausedAtMs === null);
    if (isQuiet) this.#quietSince.set(hostId, writes);
    return isQuiet;
  }

  readonly #stoppedSinceMs = new Map<number, number>();

  /** Reads before it writes: a process that was stopped may hold the lock of all writers. */
  #goOn(hostId: string, signal: AbortSignal): void {
    const { store, performers } = this.hosts;
    for (const vmId of store.host(hostId).vmIds) {
      const performing = performers.listsOf(hostId, vmId).map(({ performer }) => performer);
      for (const performer of performing) if (performer !== null) this.#endIfStopped(performer);
      if (performing.some((performer) => performer !== null && isStopped(performer))) return;
      const isLeft = performing.some((performer) => performer === null || hasEnded(performer));
      if (isLeft && this.#isTooLate(hostId, vmId)) continue;
      if (performers.goOn(hostId, vmId)) this.say(`${hostId}/${vmId}: going on with its steps`);
    }
    this.#decideUpdate(hostId, signal);
  }

  /** A save that has not crossed when only the restore's part of the budget is left is taken back now, not at the deadline. */
  #isTooLate(hostId: string, vmId: string): boolean {
    const isLate = ({ vm, nowMs }: O) =>
      vm.pointOfNoReturn === null && nowMs > (updateDueByMs(vm) ?? Infinity);
    const { store } = this.hosts;
    if (!isLate(store.objects(hostId, vmId))) return false;
    const late = store.update(hostId, vmId, (o) => {
      if (!isLate(o)) return UNCHANGED;
      o.vm.deadlineMs = Math.min(o.vm.deadlineMs ?? Infinity, o.nowMs - 1);
      return true;
    });
    return late === true;
  }

  #endIfStopped(performer: ProcessIdentity): void {
    if (!isStopped(performer)) {
      this.#stoppedSinceMs.delete(performer.pid);
      return;
    }
    const sinceMs = this.#stoppedSinceMs.get(performer.pid) ?? performance.now();
    this.#stoppedSinceMs.set(performer.pid, sinceMs);
    if (performance.now() - sinceMs < STOPPED_FOR_MS) return;
    this.say(`process ${performer.pid} is stopped and keeps VMs dark; ending it`);
    try {
      process.kill(performer.pid, 'SIGKILL');
    } catch (error) {
      this.say(`process ${performer.pid}: ${reasonOf(error)}`);
    }
  }

  /**
   * The commit waits in the process that was asked for it. When that one has died no new software is started that nobody
   * may want any more: what has not begun is given up, what has begun is finished, or flipped back.
   */
  #decideUpdate(hostId: string, signal: AbortSignal): void {
    const { servicing, mailbox } = this.hosts.store.host(hostId);
    if (servicing === null || !isDown(servicing) || isDecided(servicing)) return;
    if (isRolling(servicing) && servicing.update !== 'committing') return;
    const { commitArmedBy, generation, update, members } = servicing;
    if (commitArmedBy === null || members.length === 0 || !hasEnded(commitArmedBy)) return;
    if (update === 'committing') {
      if (mailbox === null || !isAbandoned(mailbox)) return;
      this.say(`${hostId}: finishing the update that was under way`);
      void this.hosts
        .askHost('commitUpdate', { hostId, generation }, signal)
        .catch((error: unknown) => {
          this.say(`${hostId}: ${reasonOf(error)}`);
        });
      return;
    }
    this.say(`${hostId}: nobody is left to commit its update; giving it up`);
    this.hosts.giveUpUpdate(hostId);
  }

  /** Who has been dark longest comes first. */
  #overdue(hostId: string): string[] {
    const { store, port } = this.hosts;
    const nowMs = store.nowMs();
    const pausedAtMs = (vm: O['vm']) => port.image(vm).pausedAtMs ?? 0;
    return store
      .host(hostId)
      .vmIds.map((vmId) => store.vm(hostId, vmId))
      .filter(({ deadlineMs }) => deadlineMs !== null && deadlineMs < nowMs)
      .filter(({ vmId }) => !this.#busy.has(`${hostId}/${vmId}`))
      .sort((a, b) => pausedAtMs(a) - pausedAtMs(b))
      .map(({ vmId }) => vmId);
  }

  async #bringBack(hostId: string, vmId: string, signal: AbortSignal): Promise<void> {
    const name = `${hostId}/${vmId}`;
    this.#busy.add(name);
    try {
      this.say(`${name}: its deadline has passed; bringing it back`);
      let lease = await this.hosts.takeForDeadMan(hostId, vmId);
      const { crossed, settings } = lease;
      const perform: Perform = (steps, direction = 'recover') =>
        this.#performAll(steps, { hostId, vmId, generation: lease.generation, direction }, signal);
      if (crossed) {
        this.hosts.giveUpUpdate(hostId);
        const flow = restoreFlow(settings);
        let { canRetreat } = lease;
        for (let process = 1; ; process += 1) {
          const ended = await this.#restore(name, { flow, canRetreat }, perform);
          if (ended === undefined) break;
          this.say(`${name}: ${ended.message}`);
          if (process === PROCESSES) {
            await perform(['strandVm']);
            throw ended;
          }
          // All that was restored went with it: another process does it all again, under keys of its own.
          lease = await this.hosts.takeForDeadMan(hostId, vmId);
          canRetreat = true;
        }
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

  /**
   * The shortest way forward: with the VF, else without it, else without the guest's memory, else none. Answers that the
   * process which restored the VM has ended.
   */
  async #restore(
    name: string,
    { flow, canRetreat }: { readonly flow: readonly VmStep[]; readonly canRetreat: boolean },
    perform: Perform,
  ): Promise<HoldfastError | undefined> {
    const dark = alone(flow.slice(0, flow.indexOf('resumeVm') + 1));
    const ofVf = (step: VmStep) =>
      dark.indexOf(step) < dark.indexOf('restoreVm') || step === 'markVirtualFunctionAssigned';
    try {
      await perform(FORWARD);
      // A version that has not brought the VM back in time is not tried again: the one that wrote its record can read it.
      if (canRetreat) await perform(['retreatToOldStack']);
      try {
        // A direction of its own: a VF that is attached later needs some of these steps once more.
        await perform(dark.filter(ofVf), 'forward');
      } catch (error) {
        if (isFailure(error, 'Fenced') || isFailure(error, 'VmStateLost')) throw error;
        if (isFailure(error, 'SuccessorEnded')) throw error;
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
      if (isFailure(error, 'SuccessorEnded')) return error;
      if (!isFailure(error, 'VmStateLost')) {
        // No way forward that is known to be safe: a person must look, and is told so.
        await perform(['strandVm']);
        throw error;
      }
      this.say(`${name}: ${reasonOf(error)}; starting it cold`);
      await perform(['coldStartVm', 'resumeVm']);
    }
    return undefined;
  }

  async #performAll(steps: readonly VmStep[], call: StepCall, signal: AbortSignal): Promise<void> {
    for (const step of steps) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await within(ATTEMPT_MS, [signal], (over) => this.hosts.perform(step, call, over), {
            what: `${step} of ${call.vmId}`,
            toEndMs: ATTEMPT_MS * (attempt - 1),
          });
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

const isFailure = (error: unknown, type: FailureType): error is HoldfastError =>
  error instanceof HoldfastError && error.type === type;
