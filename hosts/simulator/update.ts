import { HoldfastError } from '../../contract/failures';
import type { FaultKind } from '../../contract/faults';
import type { Component } from '../../contract/inputs';
import { servicingOf, type HostOperation } from './host-operation';
import { flipBack, giveUpUpdate, updateIdOf } from './servicing';
import type { HostState, ServicingState, UpdateDefect } from './state';
import type { HostStore } from './store';

const updateId = (host: HostState) => updateIdOf(host.hostId, servicingOf(host));

/** Into the inactive slot; the active stack goes on running VMs. */
export const stageUpdate: HostOperation = {
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
export const commitUpdate: HostOperation = {
  notApplicable: (host) => {
    const servicing = servicingOf(host);
    if (servicing.rejected !== undefined) throw updateRejected(host, servicing.rejected);
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
  begin: (host, { fault }) => {
    const servicing = servicingOf(host);
    if (servicing.update === 'armed') servicing.update = 'committing';
    // What is wrong with an update is wrong with it at the next attempt too.
    if (isDefect(fault)) servicing.defect = fault;
  },
  effect: (host, { store }) => {
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
    journalCommand(host, store, 'Stack.Flip', 'done', `${staged.component} ${staged.version}`);
    return { flipped: true, component: staged.component, version: staged.version };
  },
  observe: (host, { store }) => {
    const servicing = servicingOf(host);
    const { previous } = host;
    if (servicing.update !== 'committing' || previous?.updateId !== updateId(host))
      return undefined;
    const { component } = previous;
    const wrong = whatIsWrong(component, previous.version, host.versions[component], servicing);
    journalCommand(host, store, 'Stack.Start', wrong === undefined ? 'done' : 'failed', wrong);
    if (wrong === undefined) {
      servicing.update = 'committed';
      return undefined;
    }
    giveUpUpdate(host);
    servicing.rejected = wrong;
    journalCommand(host, store, 'Stack.FlipBack', 'done', `${component} ${previous.version}`);
    return updateRejected(host, wrong);
  },
};

const updateRejected = (host: HostState, wrong: string) =>
  new HoldfastError('UpdateFailed', `${host.hostId} is back on the old version: ${wrong}.`);

/** What is seen of the stack that was just made active, if it is not as it should be. */
function whatIsWrong(
  component: Component,
  before: string,
  now: string,
  { defect }: ServicingState,
): string | undefined {
  switch (defect) {
    case 'fails-to-start':
      return `${component} ${now} did not start`;
    case 'starts-old-version':
      return `what started says that it is ${component} ${before}, not ${now}`;
    case 'fails-verification':
      return `${component} ${now} started, but its own checks failed`;
    case undefined:
      return undefined;
  }
}

const isDefect = (fault: FaultKind | undefined): fault is UpdateDefect =>
  fault === 'fails-to-start' || fault === 'starts-old-version' || fault === 'fails-verification';

function journalCommand(
  host: HostState,
  store: HostStore,
  command: string,
  status: string,
  detail: string | undefined,
): void {
  const { generation } = servicingOf(host);
  store.append(host, {
    vmId: null,
    step: 'commitUpdate',
    generation,
    kind: 'command',
    command,
    status,
    detail: detail ?? null,
  });
}

/** Back to what was, or giving the update up before it came: the gates open for a restore on the old stack. */
export const rollBackUpdate: HostOperation = {
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
