import { setTimeout as delay } from 'node:timers/promises';
import type { StepLimits } from '../../contract/steps';
import { fence } from './leases';
import type { Performers } from './performers';
import type { CoreObjects } from './state';
import { UNCHANGED, type ListId } from './store';

/** So long a failure for good waits for its run to decide, ms. */
const DECIDED_WITHIN_MS = 500;
/** So long the lease of a VM that the host has taken back by itself waits for its run, ms. */
const GIVEN_BACK_WITHIN_MS = 5_000;
/** How often it is looked at whether the VM runs again, ms. */
const LOOK_EVERY_MS = 50;
const NEVER = new AbortController().signal;
/** An undo that nobody has asked for has no other way: it is tried as long as the dead-man lets it. */
const UNDO_LIMITS: StepLimits = { attemptMs: 2_000, atLeastMs: 10_000 };

/**
 * A save that failed for good is its run's to take back. Where no decision comes soon, the server or the run may be dead:
 * the VM does not wait for them.
 */
export async function undoIfLeftAlone<O extends CoreObjects>(
  all: Performers<O>,
  { hostId, vmId, generation }: ListId,
  why: string,
): Promise<void> {
  const { store, port } = all;
  const isLeftAlone = () => {
    const { lease, pointOfNoReturn } = store.vm(hostId, vmId);
    const isHeld = lease?.kind === 'save' && lease.generation === generation;
    return isHeld && pointOfNoReturn === null && all.isDark(hostId, vmId);
  };
  if (!isLeftAlone()) return;
  await delay(DECIDED_WITHIN_MS);
  const fenced = store.update(hostId, vmId, (o) => {
    const { lease } = o.vm;
    if (lease === null || !isLeftAlone()) return UNCHANGED;
    const operation = fence(port, o, lease.holder, why);
    const entry = { vmId, step: 'fenceOperation', generation: operation.generation } as const;
    const detail = `its run has decided nothing within ${DECIDED_WITHIN_MS} ms`;
    store.append(o.host, {
      ...{ ...entry, kind: 'result', command: null, status: operation.phase, detail },
    });
    return operation;
  });
  if (fenced === UNCHANGED) return;
  await port.fence?.(hostId, vmId, fenced.generation);
  const undo = { hostId, vmId, generation: fenced.generation, direction: 'undo' } as const;
  all.issue(undo, port.undoSteps(store.vm(hostId, vmId)), UNDO_LIMITS);
  const topics = [{ hostId, vmId }];
  const seen = () => store.changes.seen(topics);
  const isOurs = () => store.vm(hostId, vmId).lease?.generation === fenced.generation;
  for (let at = seen(); isOurs() && all.isDark(hostId, vmId); at = seen())
    await store.changes.after(topics, at, NEVER, store.nowMs() + LOOK_EVERY_MS);
  // It runs; hold and lease are its run's to give back, or, where there is none any more, the dead-man's.
  store.update(hostId, vmId, ({ vm, nowMs }) => {
    if (vm.lease?.generation !== fenced.generation) return UNCHANGED;
    vm.deadlineMs = nowMs + GIVEN_BACK_WITHIN_MS;
    return vm.deadlineMs;
  });
}
