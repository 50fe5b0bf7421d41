import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import type { HostStep, StepOutcome } from '../../contract/steps';
import type { HostStepCall } from '../host-driver';
import { hostNowMs } from './clock';
import { takeFault } from './faults';
import { sampleMs, type LatencyProfile } from './latency';
import { newIntent } from './mailbox';
import { phaseOf } from './leases';
import { isDecided } from './servicing';
import type { HostState, Intent, RecordedOutcome, ServicingState } from './state';
import type { HostStore } from './store';

interface HostOperation {
  /** Tells the host once that the step waits. */
  arrive?(host: HostState): void;
  /** Whether the answer may go out; one that nobody needs in a blackout would only cost it time. */
  answerable?(host: HostState): boolean;
  /** Whether its time has come; throws when it never will. */
  ready?(host: HostState, store: HostStore): boolean;
  notApplicable?(host: HostState): string | undefined;
  inPlace(host: HostState): boolean;
  /** Before the simulated time passes. */
  begin?(host: HostState, store: HostStore): void;
  /** One atomic change of the host. */
  effect(host: HostState, store: HostStore): Readonly<Record<string, unknown>>;
}

function servicingOf(host: HostState): ServicingState {
  if (host.servicing === null) {
    throw new HoldfastError('Refused', `Host ${host.hostId} has no servicing run.`);
  }
  return host.servicing;
}
const updateId = (host: HostState) => `${host.hostId}/${String(servicingOf(host).generation)}`;

/** Into the inactive slot; the active stack goes on running VMs. */
const stageUpdate: HostOperation = {
  inPlace: (host) => host.staged?.updateId === updateId(host),
  effect: (host) => {
    const { update } = servicingOf(host).order;
    host.staged = { ...update, updateId: updateId(host) };
    return { staged: update.version };
  },
};

/** Armed before the first pause; flips the slots in one step when every member is down. */
const commitUpdate: HostOperation = {
  notApplicable: (host) => {
    const servicing = servicingOf(host);
    if (servicing.update === 'notUpdated') return 'notUpdated';
    if (servicing.aborted !== null && !servicing.crossed) return 'aborted';
    return servicing.members.length === 0 ? 'no VM is left to service' : undefined;
  },
  ready: (host) => {
    const servicing = servicingOf(host);
    return servicing.members.every((id) => servicing.down.includes(id));
  },
  inPlace: (host) => host.previous?.updateId === updateId(host),
  arrive: (host) => {
    servicingOf(host).commitArmed = true;
  },
  answerable: ({ servicing }) =>
    servicing === null || servicing.members.every((id) => servicing.resumed.includes(id)),
  begin: (host) => {
    const servicing = servicingOf(host);
    if (servicing.update === 'armed') servicing.update = 'committing';
  },
  effect: (host, store) => {
    const servicing = servicingOf(host);
    const { staged } = host;
    if (servicing.update !== 'committing' || staged?.updateId !== updateId(host)) {
      return { flipped: false };
    }
    const perVm = staged.component === 'vmWorkerProcess';
    const running = host.vmIds.filter(
      (id) => store.vm(host.hostId, id).partition.state === 'running',
    );
    if (!perVm && running.length > 0) {
      throw new HoldfastError(
        'Refused',
        `${staged.component} is host-wide and ${running.join(', ')} run.`,
      );
    }
    host.previous = {
      component: staged.component,
      version: host.versions[staged.component],
      updateId: staged.updateId,
    };
    host.versions[staged.component] = staged.version;
    host.staged = null;
    servicing.update = 'committed';
    return { flipped: true, component: staged.component, version: staged.version };
  },
};

/** Back to what was, or giving the update up before it came: the gates open for a restore on the old stack. */
const rollBackUpdate: HostOperation = {
  notApplicable: ({ servicing }) =>
    servicing?.update === 'committed' && servicing.admitted.length > 0
      ? `${servicing.admitted.join(', ')} came back on the new version already`
      : undefined,
  inPlace: (host) => host.servicing?.update === 'notUpdated' && host.staged === null,
  effect: (host) => {
    const servicing = servicingOf(host);
    if (host.previous?.updateId === updateId(host)) {
      host.versions[host.previous.component] = host.previous.version;
      host.previous = null;
    }
    host.staged = null;
    servicing.update = 'notUpdated';
    return {};
  },
};

const verifyHost: HostOperation = {
  inPlace: () => false,
  effect: (host, store) => {
    const notRunning = host.vmIds.filter((id) => phaseOf(store.vm(host.hostId, id)) !== 'running');
    return { notRunning, update: host.servicing?.update ?? 'notUpdated' };
  },
};

const HOST_OPERATIONS: Readonly<Record<HostStep, HostOperation>> = {
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
    store.updateHost(hostId, (host) => {
      admitHost(host, call, step);
      operation.arrive?.(host);
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
    if (operation.ready?.(host, store) !== false) break;
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
    operation.begin?.(host, store);
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
    if (!inPlace)
      await delay(
        sampleMs(
          profile,
          step,
          store.host(hostId).seed,
          `${String(generation)}/${String(intent.attempts)}`,
        ),
      );
    const evidence = inPlace ? {} : changeHost();
    if (fault?.kind === 'fail-after')
      throw new HoldfastError('HostStepFailed', `${step} of ${hostId}: the reply was lost.`);
    const concluded = concludeHost(evidence);
    while (operation.answerable?.(store.host(hostId)) === false && !signal.aborted) {
      await store.changed(hostId, signal);
    }
    return concluded;
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

  function changeHost() {
    return store.updateHost(hostId, (host) => {
      admitHost(host, call, step);
      if (host.mailbox?.token !== intent.token)
        throw new HoldfastError('Fenced', `${step} of ${hostId} was overtaken.`);
      return operation.effect(host, store);
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

export const isUndecided = (host: HostState): boolean =>
  host.servicing !== null && !isDecided(host.servicing);
