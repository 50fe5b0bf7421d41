import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import type { FaultKind } from '../../contract/faults';
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
  /** It uses the profile's time itself. */
  readonly ownLatency?: true;
  /** Tells the host that the step waits; repeated by every attempt. */
  arrive?(host: HostState, around: Around): void;
  /** Whether the answer may go out; one that nobody needs in a blackout would only cost it time. */
  answerable?(host: HostState): boolean;
  /** Whether its time has come; throws when it never will. */
  ready?(host: HostState, store: HostStore): boolean;
  notApplicable?(host: HostState): string | undefined;
  inPlace(host: HostState): boolean;
  /** Before the simulated time passes. */
  begin?(host: HostState, store: HostStore): void;
  /** One atomic change of the host; `failed` in its evidence says why the step failed although it changed something. */
  effect(
    host: HostState,
    around: Around,
  ): Readonly<Record<string, unknown>> & { readonly failed?: string };
}

/** What a step of a host works with beside the host itself. */
interface Around {
  readonly store: HostStore;
  readonly profile: LatencyProfile;
  /** The fault that this attempt meets. */
  readonly fault: FaultKind | undefined;
  readonly nowMs: number;
}

function servicingOf(host: HostState): ServicingState {
  if (host.servicing === null) {
    throw new HoldfastError('Refused', `Host ${host.hostId} has no servicing run.`);
  }
  return host.servicing;
}
const updateId = (host: HostState) => `${host.hostId}/${String(servicingOf(host).generation)}`;

/** Tells the guests that their VMs will freeze, and waits until all have acknowledged, or the time is up. */
const noticeGuests: HostOperation = {
  ownLatency: true,
  notApplicable: (host) =>
    servicingOf(host).order.guestNoticeMs === undefined ? 'guests are not to be told' : undefined,
  arrive: (host, { store, profile, nowMs }) => {
    const servicing = servicingOf(host);
    const { guestNoticeMs } = servicing.order;
    if (servicing.notice !== null || guestNoticeMs === undefined) return;
    const dueMs = servicing.members.map((vmId) => {
      const vm = store.vm(host.hostId, vmId);
      const fault = takeFault(vm, 'noticeGuests');
      store.putVm(host.hostId, vm);
      const { generation } = servicing;
      store.append(host, {
        vmId,
        step: 'noticeGuests',
        generation,
        kind: 'command',
        command: 'Guest.NoticeFreeze',
        status: 'done',
        detail: fault === undefined ? null : `fault ${fault.kind}`,
      });
      const key = `${vmId}/${String(generation)}`;
      const latencyMs = sampleMs(profile, 'noticeGuests', host.seed, key);
      const lateMs = fault?.kind === 'slow' ? fault.delayMs : 0;
      return [vmId, fault?.kind === 'stuck' ? null : nowMs + latencyMs + lateMs] as const;
    });
    servicing.notice = { untilMs: nowMs + guestNoticeMs, dueMs: Object.fromEntries(dueMs) };
  },
  ready: (host) => {
    const { notice, aborted } = servicingOf(host);
    const nowMs = hostNowMs();
    if (notice === null || aborted !== null || nowMs >= notice.untilMs) return true;
    return Object.values(notice.dueMs).every((dueMs) => dueMs !== null && dueMs <= nowMs);
  },
  inPlace: () => false,
  effect: (host, { nowMs }) => {
    const due = Object.entries(servicingOf(host).notice?.dueMs ?? {});
    const hasAcknowledged = ([, dueMs]: (typeof due)[number]) => dueMs !== null && dueMs <= nowMs;
    return {
      acknowledged: due.filter(hasAcknowledged).map(([vmId]) => vmId),
      unacknowledged: due.filter((each) => !hasAcknowledged(each)).map(([vmId]) => vmId),
    };
  },
};

/** Into the inactive slot; the active stack goes on running VMs. */
const stageUpdate: HostOperation = {
  inPlace: (host) => host.staged?.updateId === updateId(host),
  effect: (host) => {
    const { update } = servicingOf(host).order;
    host.staged = { ...update, updateId: updateId(host) };
    return { staged: update.version };
  },
};

/**
 * Armed before the first pause; flips the slots in one step when every member is down, and sees that the new stack
 * starts. If it does not, the slots are flipped back at once, inside the blackout and without a word from anyone: no VM
 * was restored yet, so the old stack reads the records that it wrote.
 */
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
  effect: (host, { store, fault }) => {
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
    const failed = whatIsWrong(host.previous, staged, fault);
    if (failed !== undefined) {
      flipBack(host);
      servicing.update = 'notUpdated';
      return { flipped: false, failed };
    }
    servicing.update = 'committed';
    return { flipped: true, component: staged.component, version: staged.version };
  },
};

type Slot = NonNullable<HostState['previous']>;

/** What is seen of the stack that was just made active, if it is not as it should be. */
function whatIsWrong(before: Slot, now: Slot, fault: FaultKind | undefined): string | undefined {
  const { component, version } = now;
  switch (fault) {
    case 'fails-to-start':
      return `${component} ${version} did not start`;
    case 'starts-old-version':
      return `what started says that it is ${component} ${before.version}, not ${version}`;
    case 'fails-verification':
      return `${component} ${version} started, but its own checks failed`;
    default:
      return undefined;
  }
}

function flipBack(host: HostState): void {
  if (host.previous?.updateId !== updateId(host)) return;
  host.versions[host.previous.component] = host.previous.version;
  host.previous = null;
}

/** Back to what was, or giving the update up before it came: the gates open for a restore on the old stack. */
const rollBackUpdate: HostOperation = {
  notApplicable: ({ servicing }) =>
    servicing?.update === 'committed' && servicing.admitted.length > 0
      ? `${servicing.admitted.join(', ')} came back on the new version already`
      : undefined,
  inPlace: (host) => host.servicing?.update === 'notUpdated' && host.staged === null,
  effect: (host) => {
    const servicing = servicingOf(host);
    flipBack(host);
    host.staged = null;
    servicing.update = 'notUpdated';
    return {};
  },
};

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
    if (!inPlace && operation.ownLatency !== true)
      await delay(
        sampleMs(
          profile,
          step,
          store.host(hostId).seed,
          `${String(generation)}/${String(intent.attempts)}`,
        ),
      );
    const evidence: ReturnType<HostOperation['effect']> = inPlace ? {} : changeHost();
    if (evidence.failed !== undefined)
      throw new HoldfastError(
        'UpdateFailed',
        `${hostId} is back on the old version: ${evidence.failed}.`,
      );
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
    return store.updateHost(hostId, (host, nowMs) => {
      admitHost(host, call, step);
      if (host.mailbox?.token !== intent.token)
        throw new HoldfastError('Fenced', `${step} of ${hostId} was overtaken.`);
      return operation.effect(host, { store, profile, fault: fault?.kind, nowMs });
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
