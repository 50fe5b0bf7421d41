import { HoldfastError } from '../../../contract/failures';
import type { Component } from '../../../contract/inputs';
import {
  PAUSE_WITHIN_MS,
  flipBack,
  giveUpUpdate,
  isDown,
  isPrepared,
  isResumed,
  isRolling,
  servicingOfHost,
  updateIdOf,
} from '../gates';
import type { Operations } from '../operation';
import { THIS_PROCESS } from '../process-identity';
import { phaseOf } from '../phase';
import type { HostObjectsOf, Port, Started, UpdateStep } from '../port';
import type { CoreHost, CoreObjects, HostObjects } from '../state';

const updateId = (host: CoreHost) => updateIdOf(host.hostId, servicingOfHost(host));
const isFlipped = (host: CoreHost) => host.previous?.updateId === updateId(host);

/** The steps of an update of the host's software: version slots that are flipped, and flipped back. */
export const updateSteps = <O extends CoreObjects>(
  port: Port<O>,
): Operations<HostObjectsOf<O>, UpdateStep> => ({
  /** Into the inactive slot; the active stack goes on running VMs. */
  stageUpdate: {
    inPlace: ({ host }) => host.staged?.updateId === updateId(host),
    effect: (c) =>
      c.run('Stack.Stage', (o) => {
        const { host } = o;
        refuseThirdVersion(port, o);
        const { update } = servicingOfHost(host).order;
        host.staged = { ...update, updateId: updateId(host) };
        return { staged: update.version };
      }),
  },

  /**
   * Whoever asks for it is there, and asks while the VMs run: it waits until all saves, restores and the commit wait on
   * the host, and lets the VMs pause.
   */
  openGate: {
    waitsAt: 'pause',
    notApplicable: ({ host }) => servicingOfHost(host).aborted ?? undefined,
    ready: ({ host }) => isPrepared(servicingOfHost(host)),
    inPlace: ({ host }) => servicingOfHost(host).pauseUntilMs !== null,
    effect: (c) =>
      c.run('Servicing.OpenGate', ({ host, nowMs }) => {
        servicingOfHost(host).pauseUntilMs = nowMs + PAUSE_WITHIN_MS;
        return {};
      }),
  },

  /**
   * Armed before the first pause; flips the slots in one step when every member is down, and sees that the new stack
   * starts. In a rolling run it comes last, when every VM runs the new version. If the stack does not start, the slots are flipped back at once, inside the blackout and without a word from anyone: no VM
   * was restored yet, so the old stack reads the records that it wrote.
   */
  commitUpdate: {
    waitsAt: 'commit',
    notApplicable: ({ host }) => {
      const servicing = servicingOfHost(host);
      if (servicing.update === 'notUpdated') {
        if (servicing.rejected !== undefined) throw updateRejected(host, servicing.rejected);
        return 'notUpdated';
      }
      if (servicing.aborted !== null && !servicing.crossed) return 'aborted';
      // A host whose VMs have all left has none either, and is updated.
      const isLeft = servicing.members.length > 0 || servicing.order.vms.length === 0;
      return isLeft ? undefined : 'no VM is left to service';
    },
    ready: ({ host }) => {
      const servicing = servicingOfHost(host);
      return isRolling(servicing) || isDown(servicing);
    },
    arrive: ({ host }) => {
      servicingOfHost(host).commitArmedBy = THIS_PROCESS;
    },
    begin: ({ host }) => {
      const servicing = servicingOfHost(host);
      if (servicing.update === 'armed') servicing.update = 'committing';
    },
    effect: (c) => {
      if (c.look(({ host }) => isToBeFlipped(host)))
        c.run('Stack.Flip', (o, says) => {
          const { host } = o;
          const { staged } = host;
          if (!isToBeFlipped(host) || staged === null) {
            says('the update was given up', 'skipped');
            return;
          }
          const isPerVm = isRolling(servicingOfHost(host));
          if (isPerVm) refuseUnlessAllRun(port, o, staged.version);
          else refuseWithVmsRunning(port, o, staged.component);
          const { component, version } = staged;
          host.previous = { ...staged, version: host.versions[component] };
          host.versions[component] = version;
          host.staged = null;
          // Each VM's worker process has said already that it is this version.
          if (isPerVm) servicingOfHost(host).update = 'committed';
          says(`${component} ${version}`);
        });
      const evidence = c.look(({ host }) => evidenceOf(host));
      if (c.look(({ host }) => isToBeStarted(host)))
        c.run('Stack.Start', ({ host }, says) => {
          const servicing = servicingOfHost(host);
          const { previous } = host;
          if (!isToBeStarted(host) || previous === null) {
            says('the update was given up', 'skipped');
            return;
          }
          const { component, version } = previous;
          servicing.rejected = whatIsWrong(port, host, component, version);
          if (servicing.rejected === undefined) servicing.update = 'committed';
          else says(servicing.rejected, 'failed');
        });
      if (c.look(isToBeFlippedBack))
        c.run('Stack.FlipBack', ({ host }, says) => {
          const { component = '', version = '' } = host.previous ?? {};
          giveUpUpdate(host);
          says(`${component} ${version}`);
        });
      return evidence;
    },
    failure: ({ host }) => {
      const { rejected } = servicingOfHost(host);
      return rejected === undefined ? undefined : updateRejected(host, rejected);
    },
    answerable: ({ host: { servicing } }) =>
      servicing === null || isRolling(servicing) || isResumed(servicing),
  },

  /** Back to what was, or giving the update up before it came: the gates open for a restore on the old stack. */
  rollBackUpdate: {
    notApplicable: ({ host: { servicing } }) =>
      servicing?.update === 'committed' && servicing.admitted.length > 0
        ? `${servicing.admitted.join(', ')} came back on the new version already`
        : undefined,
    inPlace: ({ host }) => host.servicing?.update === 'notUpdated' && host.staged === null,
    effect: (c) =>
      c.run('Stack.FlipBack', ({ host }) => {
        flipBack(host);
        host.staged = null;
        servicingOfHost(host).update = 'notUpdated';
        return {};
      }),
  },

  verifyHost: {
    looks: true,
    effect: (c) =>
      c.look(({ host, vms }) => ({
        notRunning: vms()
          .filter((vm) => phaseOf(vm, port.image(vm)) !== 'running')
          .map(({ vmId }) => vmId),
        update: host.servicing?.update ?? 'notUpdated',
      })),
  },
});

const isToBeFlipped = (host: CoreHost) =>
  servicingOfHost(host).update === 'committing' && host.staged?.updateId === updateId(host);
const isToBeStarted = (host: CoreHost) =>
  servicingOfHost(host).update === 'committing' &&
  servicingOfHost(host).rejected === undefined &&
  isFlipped(host);
const isToBeFlippedBack = ({ host }: HostObjects) =>
  host.servicing?.rejected !== undefined && host.servicing.update !== 'notUpdated';

const evidenceOf = (host: CoreHost) => {
  const { previous, versions } = host;
  if (previous === null || !isFlipped(host)) return { flipped: false };
  const { component } = previous;
  return { flipped: true, component, version: versions[component] };
};

/** What all VMs share is flipped only while none of them runs. */
function refuseWithVmsRunning<O extends CoreObjects>(
  port: Port<O>,
  { vms }: HostObjectsOf<O>,
  component: Component,
): void {
  const running = vms().filter((vm) => port.image(vm).running);
  if (running.length === 0) return;
  throw new HoldfastError(
    'Refused',
    `${component} is host-wide and ${running.map(({ vmId }) => vmId).join(', ')} run.`,
  );
}

/** The default is for what starts anew: a guest that reboots, a cold start. Nothing gets a version that not every VM runs. */
function refuseUnlessAllRun<O extends CoreObjects>(
  port: Port<O>,
  { vms }: HostObjectsOf<O>,
  version: string,
): void {
  const others = vms().filter((vm) => port.image(vm).version !== version);
  if (others.length === 0) return;
  const which = others.map((vm) => `${vm.vmId} (${port.image(vm).version})`).join(', ');
  throw new HoldfastError('Refused', `${version} is not what every VM runs: ${which}.`);
}

/** A version is kept as long as a VM runs it; two are enough to understand, and to go back to. */
function refuseThirdVersion<O extends CoreObjects>(
  port: Port<O>,
  { host, vms }: HostObjectsOf<O>,
): void {
  const { update, rolling } = servicingOfHost(host).order;
  if (rolling === undefined || rolling.allowThirdVersion) return;
  const inUse = new Set(vms().map((vm) => port.image(vm).version));
  if (inUse.size < 2 || inUse.has(update.version)) return;
  throw new HoldfastError(
    'ThirdVersion',
    `The VMs of ${host.hostId} run ${[...inUse].join(' and ')}; ${update.version} would be a third version.`,
  );
}

const updateRejected = (host: CoreHost, wrong: string) =>
  new HoldfastError('UpdateFailed', `${host.hostId} is back on the old version: ${wrong}.`);

/** What is seen of the stack that was just made active, if it is not as it should be. */
function whatIsWrong<O extends CoreObjects>(
  port: Port<O>,
  host: O['host'],
  component: Component,
  before: string,
): string | undefined {
  const now = host.versions[component];
  return wrongWith(port.startStack(host, component, { before, now }), component, now);
}

export function wrongWith(
  { version, isSound }: Started,
  component: Component,
  wanted: string,
): string | undefined {
  if (version === null) return `${component} ${wanted} did not start`;
  if (version !== wanted)
    return `what started says that it is ${component} ${version}, not ${wanted}`;
  return isSound ? undefined : `${component} ${wanted} started, but its own checks failed`;
}
