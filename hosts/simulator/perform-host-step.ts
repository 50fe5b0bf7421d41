import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import type { HostStep, StepOutcome } from '../../contract/steps';
import type { HostStepCall } from '../host-driver';
import { hostNowMs } from './clock';
import { takeFault } from './faults';
import type { Around, HostOperation } from './host-operation';
import { sampleMs, type LatencyProfile } from './latency';
import { phaseOf } from './leases';
import { newIntent } from './mailbox';
import { noticeGuests } from './notice-guests';
import type { HostState, Intent, RecordedOutcome } from './state';
import type { HostStore } from './store';
import { commitUpdate, rollBackUpdate, stageUpdate } from './update';

const verifyHost: HostOperation = {
  inPlace: () => false,
  effect: (host, { store }) => {
    const notRunning = host.vmIds.filter((id) => phaseOf(store.vm(host.hostId, id)) !== 'running');
    return { notRunning, update: host.servicing?.update ?? 'notUpdated' };
  },
};

const HOST_OPERATIONS: Readonly<Record<HostStep, HostOperation>> = {
  noticeGuests,
  stageUpdate,
  commitUpdate,
  rollBackUpdate,
  verifyHost,
};

/** Performs a step of the whole host, with the same intent, observation and result as a step of a VM. */
export async function performHostStep(
  store: HostStore,
  profile: LatencyProfile,
  step: HostStep,
  call: HostStepCall,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { hostId, generation } = call;
  const operation = HOST_OPERATIONS[step];
  const key = `host/${String(generation)}/forward/${step}`;
  const journal = (
    host: HostState,
    kind: 'intent' | 'result' | 'failed',
    status: string,
    detail: string | null,
  ) => {
    store.append(host, { vmId: null, step, generation, kind, command: null, status, detail });
  };
  if (operation.arrive !== undefined) {
    store.updateHost(hostId, (host, nowMs) => {
      admitHost(host, call, step);
      operation.arrive?.(host, { store, profile, fault: undefined, nowMs });
    });
  }
  for (;;) {
    const known = store.result(hostId, key);
    if (known !== undefined) return { ...known, status: 'alreadyDone', darkForMs: 0 };
    const host = store.host(hostId);
    admitHost(host, call, step);
    const reason = operation.notApplicable?.(host);
    if (reason !== undefined) {
      return {
        status: 'notApplicable',
        reason,
        hostTimeMs: hostNowMs(),
        ms: 0,
        attempts: 1,
        darkForMs: 0,
        evidence: {},
      };
    }
    if (operation.ready?.(host) !== false) break;
    if (signal.aborted)
      throw new HoldfastError('NotReachedInTime', `${step} of ${hostId} still waits for its VMs.`);
    await store.changed(hostId, signal);
  }
  const { intent, fault, inPlace } = store.updateHost(hostId, (host, nowMs) => {
    admitHost(host, call, step);
    const previous = host.mailbox?.key === key ? host.mailbox : null;
    const begun: Intent = newIntent(key, step, nowMs, previous);
    host.mailbox = begun;
    const met = takeFault(host, step);
    operation.begin?.(host, { store, profile, fault: met?.kind, nowMs });
    journal(
      host,
      'intent',
      previous === null ? 'begun' : 'observing',
      met === undefined ? null : `fault ${met.kind}`,
    );
    return { intent: begun, fault: met, inPlace: operation.inPlace(host) };
  });
  try {
    if (fault?.kind === 'fail-before')
      throw new HoldfastError('HostStepFailed', `${step} of ${hostId} failed before its effect.`);
    if (fault?.kind === 'stuck') {
      while (!signal.aborted) await store.changed(hostId, signal);
      throw new HoldfastError('HostStepFailed', `${step} of ${hostId} did not answer.`);
    }
    if (fault?.kind === 'slow') await delay(fault.delayMs);
    if (!inPlace && operation.ownLatency !== true)
      await delay(
        sampleMs(
          profile,
          step,
          store.host(hostId).seed,
          `${String(generation)}/${String(intent.attempts)}`,
        ),
      );
    const evidence = inPlace ? {} : changeHost((host, around) => operation.effect(host, around));
    const rejected = changeHost((host, around) => operation.observe?.(host, around));
    if (fault?.kind === 'fail-after')
      throw new HoldfastError('HostStepFailed', `${step} of ${hostId}: the reply was lost.`);
    const answer = rejected ?? concludeHost(evidence);
    while (operation.answerable?.(store.host(hostId)) === false && !signal.aborted) {
      await store.changed(hostId, signal);
    }
    if (answer instanceof HoldfastError) throw answer;
    return answer;
  } catch (error) {
    store.updateHost(hostId, (host) => {
      journal(
        host,
        'failed',
        error instanceof HoldfastError ? error.type : 'HostStepFailed',
        error instanceof Error ? error.message : String(error),
      );
    });
    throw error;
  }

  function changeHost<T>(change: (host: HostState, around: Around) => T): T {
    return store.updateHost(hostId, (host, nowMs) => {
      admitHost(host, call, step);
      if (host.mailbox?.token !== intent.token)
        throw new HoldfastError('Fenced', `${step} of ${hostId} was overtaken.`);
      return change(host, { store, profile, fault: fault?.kind, nowMs });
    });
  }
  function concludeHost(evidence: Readonly<Record<string, unknown>>): StepOutcome {
    return store.updateHost(hostId, (host, nowMs) => {
      if (host.mailbox?.token !== intent.token)
        throw new HoldfastError('Fenced', `${step} of ${hostId} was overtaken.`);
      host.mailbox = null;
      const ms = intent.spentMs + nowMs - intent.startedAtMs;
      const recorded: RecordedOutcome = {
        status: 'done',
        hostTimeMs: nowMs,
        ms,
        attempts: intent.attempts,
        evidence,
      };
      if (step !== 'verifyHost') store.putResult(hostId, key, recorded);
      journal(host, 'result', 'done', null);
      return { ...recorded, darkForMs: 0 };
    });
  }
}

export function admitHost(host: HostState, call: HostStepCall, step: string): void {
  if (host.lease?.generation === call.generation) return;
  throw new HoldfastError(
    'Fenced',
    `${step} of ${host.hostId} has generation ${String(call.generation)}, but ${host.lease === null ? 'nobody holds the host' : `${host.lease.holder.workflowId} holds it`}.`,
  );
}
