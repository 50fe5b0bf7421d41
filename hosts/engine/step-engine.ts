import { HoldfastError } from '../../contract/failures';
import type {
  AnyStep,
  EvidenceOf,
  HostStep,
  HostStepCall,
  StepCall,
  VmStep,
} from '../../contract/steps';
import type { HostDriver } from '../host-driver';
import { admit, admitHost, refuseIfTooDark } from './admission';
import { breachesOf, issueCommand, overtaken } from './commands';
import { owns } from './mailbox';
import type { Commands, Operation } from './operation';
import { StepPerformance, type Subject } from './performance';
import { darkForMs } from './phase';
import {
  hostOperationsOf,
  vmOperationsOf,
  type HostOperations,
  type VmOperations,
} from './operations';
import type { Attempt, HostObjectsOf, NotSupported, Port } from './port';
import type { CoreObjects } from './state';
import type { Topic } from './changes';
import type { HostStore } from './store';

/** Performs steps of VMs and of whole hosts: by one protocol, over the operations of engine and driver. */
export class StepEngine<O extends CoreObjects> {
  readonly #ofVms: VmOperations<O>;
  readonly #ofHosts: HostOperations<O>;

  constructor(
    private readonly store: HostStore<O>,
    private readonly port: Port<O>,
  ) {
    this.#ofVms = vmOperationsOf(port);
    this.#ofHosts = hostOperationsOf(port);
  }

  readonly perform: HostDriver['perform'] = async (step, call, signal) =>
    new StepPerformance(this.store, this.#ofVm(step, call), signal).outcome();

  readonly performHost: HostDriver['performHost'] = async (step, call, signal) =>
    new StepPerformance(this.store, this.#ofHost(step, call), signal).outcome();

  /** Whether nothing is left to be done of the list in which the step was issued. */
  endsList(step: VmStep, reason: string | undefined): boolean {
    const operation = this.#ofVms[step];
    return !('notSupported' in operation) && operation.endsList?.(reason) === true;
  }

  #ofVm<Step extends VmStep>(step: Step, call: StepCall): Subject<O, Step> {
    const { store, port } = this;
    const { hostId, vmId, generation, handed = {} } = call;
    const operation = supported(port.driver, step, this.#ofVms[step]);
    const dark = ({ vm, nowMs }: O) => darkForMs(port.image(vm), nowMs);
    return {
      ...{ hostId, vmId, step, generation, operation, handed },
      key: `${vmId}/${generation}/${call.direction}/${step}`,
      topics: [
        // Who waits for its VM to run again is not woken by each command of its restore.
        ...(operation.waitsAt === 'own resume' ? [] : [{ hostId, vmId }]),
        ...(operation.usesDevices === true ? [{ hostId, of: 'devices' } as const] : []),
        ...waitsAt(hostId, vmId, operation),
      ],
      read: () => store.objects(hostId, vmId),
      update: (change) => store.update(hostId, vmId, change),
      hostOf: ({ host }) => host,
      nowMs: (o) => o.nowMs,
      attempt: (o) => port.attempt?.(step, o),
      ...(port.observe === undefined
        ? {}
        : { observe: () => port.observe?.(hostId, vmId) ?? Promise.resolve() }),
      boxes: (o) => [o.vm, ...(operation.usesDevices === true ? (port.devices?.(o) ?? []) : [])],
      waitsForOthers: true,
      admit: (o) => {
        admit(operation, step, o, call);
        refuseIfTooDark(step, o, call, dark(o));
      },
      issue: (intent, command, adapterId, apply) => {
        const target = { hostId, vmId, step, generation };
        const named = adapterId === undefined ? target : { ...target, adapterId };
        return issueCommand({ store, port }, named, intent, command, apply);
      },
      breaches: (o) => breachesOf(port, o, 'result'),
      darkForMs: dark,
      giveUpAtMs: (o) => {
        const { pausedAtMs } = port.image(o.vm);
        const { latestDarkMs } = call;
        // A millisecond later, so that it is over and not just reached.
        return pausedAtMs === null || latestDarkMs === undefined
          ? null
          : pausedAtMs + latestDarkMs + 1;
      },
    };
  }

  /** Its steps come one after the other, from whoever holds the host: a roll-back overtakes a commit that hangs. */
  #ofHost<Step extends HostStep>(step: Step, call: HostStepCall): Subject<HostObjectsOf<O>, Step> {
    const { store, port } = this;
    const { hostId, generation } = call;
    const operation = supported(port.driver, step, this.#ofHosts[step]);
    return {
      ...{ hostId, vmId: null, step, generation, handed: {} },
      operation,
      key: `host/${generation}/forward/${step}`,
      topics: waitsAt(hostId, '', operation),
      read: () => store.hostObjects(hostId),
      update: (change) => store.updateHost(hostId, change),
      hostOf: ({ host }) => host,
      nowMs: (o) => o.nowMs,
      attempt: (o) => port.attempt?.(step, o) as Attempt<Commands<HostObjectsOf<O>>> | undefined,
      boxes: ({ host }) => [host],
      waitsForOthers: false,
      admit: ({ host }) => {
        admitHost(host, call, step);
      },
      issue: (intent, command, _adapterId, apply) =>
        store.updateHost(hostId, (o) => {
          const { host } = o;
          admitHost(host, call, step);
          if (!owns(host, intent)) throw overtaken({ step, vmId: hostId }, command);
          let said: readonly [status: string, detail: string | null] = ['done', null];
          const value = apply(o, (detail, status = 'done') => {
            said = [status, detail];
          });
          const [status, detail] = said;
          const entry = { vmId: null, step, generation, kind: 'command', command } as const;
          store.append(host, { ...entry, status, detail });
          return value;
        }),
      breaches: () => [],
      darkForMs: () => 0,
    };
  }
}

function waitsAt<O>(hostId: string, vmId: string, { waitsAt: of }: Operation<O>): readonly Topic[] {
  if (of === undefined) return [];
  return [of === 'own resume' ? { hostId, vmId, of: 'resume' } : { hostId, of }];
}

/** A step that the driver does not know is refused before anything is asked of the host. */
function supported<O, Step extends AnyStep>(
  driver: string,
  step: Step,
  operation: Operation<O, EvidenceOf<Step>> | NotSupported,
): Operation<O, EvidenceOf<Step>> {
  if ('notSupported' in operation) throw notSupported(driver, step, operation.notSupported);
  return operation;
}

export const notSupported = (driver: string, step: string, why: string) =>
  new HoldfastError('NotSupportedByDriver', `The ${driver} driver cannot do ${step}: ${why}.`, {
    driver,
    step,
  });
