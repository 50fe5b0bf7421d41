import { HoldfastError } from '../../contract/failures';
import type {
  Adoption,
  BeginRequest,
  Beginning,
  HostDescription,
  HostRegistration,
  JournalEntry,
  JournalQuery,
  Operation,
  ServicingOrder,
  VmDescription,
} from '../../contract/host';
import type {
  FunctionAnswer,
  FunctionCommandRequest,
  RemoteAnswer,
} from '../../contract/functions';
import type { Holder } from '../../contract/ids';
import type {
  MigrationOperation,
  MigrationRequest,
  ReceptionRequest,
} from '../../contract/migration';
import type {
  AnyStep,
  HostStep,
  HostStepCall,
  StepCall,
  StepOutcome,
  VmStep,
} from '../../contract/steps';
import type { HostDriver } from '../host-driver';
import { admitHost } from './admission';
import { adopt } from './adoption';
import { BOOT_ID } from './clock';
import { giveUpUpdate } from './gates';
import {
  acquireHost,
  beginRestore,
  beginSave,
  fence,
  operationOf,
  quarantineOf,
  stopServicing,
  takeForDeadMan,
} from './leases';
import { vmOperationsOf, type VmOperations } from './operations';
import { describeHolder, sameHolder } from './phase';
import { Performers } from './performers';
import type { Port } from './port';
import { refused } from './refused';
import type { CoreHost, CoreObjects } from './state';
import { StepEngine, notSupported } from './step-engine';
import type { HostStore } from './store';

interface VmOfHost {
  readonly hostId: string;
  readonly vmId: string;
}

/** The hosts of one store: what every hypervisor's have in common, over what its driver answers. */
export class EngineHosts<O extends CoreObjects> implements HostDriver {
  readonly #engine: StepEngine<O>;
  readonly #operations: VmOperations<O>;
  readonly performers: Performers<O>;

  constructor(
    readonly store: HostStore<O>,
    readonly port: Port<O>,
  ) {
    this.#engine = new StepEngine(store, port);
    this.performers = new Performers(store, port, this.#engine);
    this.#operations = vmOperationsOf(port);
  }

  /**
   * The clock of hosts starts again with each boot of their machine. All moments of an earlier boot are shifted, as if this
   * boot had begun at the latest write. Deadlines end with the boot: the dead-man brings dark VMs back at once.
   */
  enterThisBoot(): void {
    const { store, port } = this;
    for (const hostId of store.hostIds()) {
      if (store.host(hostId).bootId === BOOT_ID) continue;
      store.updateHost(hostId, ({ host, putVm, nowMs }) => {
        if (host.bootId === BOOT_ID) return;
        // Those that are on their way here too, and those that have left.
        const all = store.allVms(hostId);
        port.moveClock?.(host, all, nowMs - (host.clockMs ?? nowMs));
        host.bootId = BOOT_ID;
        for (const vm of all) {
          // A VM without a deadline has nobody who brings it back from here, so it gets none.
          if (vm.deadlineMs !== null) vm.deadlineMs = nowMs;
          putVm(vm);
        }
        const entry = {
          vmId: null,
          step: 'boot',
          generation: host.generation,
          kind: 'event',
        } as const;
        store.append(host, { ...entry, command: 'Host.Booted', status: 'done', detail: null });
      });
    }
  }

  ping(hostId: string): Promise<HostRegistration> {
    return settled(() => this.#registration(this.store.host(hostId)));
  }

  describe(hostId: string): Promise<HostDescription> {
    return settled(() => {
      const { store, port } = this;
      const o = store.hostObjects(hostId);
      const { host } = o;
      const { forbidden, forbiddenBeforeServicing = 0 } = host.commands;
      return {
        ...this.#registration(host),
        bootId: host.bootId,
        versions: host.versions,
        ...port.describeHost(o),
        holder: host.lease?.holder ?? null,
        quarantine: quarantineOf(host),
        vms: host.vmIds.map((vmId) => port.describe(store.objects(hostId, vmId))),
        journalSeq: host.journalSeq,
        forbiddenCommands: forbidden,
        forbiddenSinceServicing: forbidden - forbiddenBeforeServicing,
        describedAtMs: Date.now(),
        invariants: {
          checked: host.invariants.checked,
          violated: host.invariants.violations.length,
        },
      };
    });
  }

  #registration({ hostId }: CoreHost): HostRegistration {
    const unsupported = Object.entries({
      ...this.#operations,
      ...this.port.hostOperations,
    }).flatMap(([step, operation]) => ('notSupported' in operation ? [step as AnyStep] : []));
    return {
      hostId,
      driver: this.port.driver,
      faults: this.port.faults,
      ...(unsupported.length === 0 ? {} : { unsupported }),
    };
  }

  describeVm(hostId: string, vmId: string): Promise<VmDescription> {
    return settled(() => this.port.describe(this.store.objects(hostId, vmId)));
  }

  readJournal(hostId: string, query: JournalQuery = {}): Promise<readonly JournalEntry[]> {
    return settled(() =>
      this.store.journal(hostId, query.afterSeq ?? 0, query.limit ?? 1000, query.vmId),
    );
  }

  readBeginnings(hostId: string, holders: readonly Holder[]): Promise<readonly Beginning[]> {
    return settled(() =>
      this.store
        .beginnings(hostId)
        .filter((beginning) => holders.some((holder) => sameHolder(holder, beginning.holder))),
    );
  }

  beginSave(request: BeginRequest): Promise<Operation> {
    if (request.adopt !== undefined) return this.#adopt('save', request, request.adopt);
    return this.begin('beginSave', request, (o) => {
      this.port.refuseUnlessHere?.(o);
      return this.#keptBeginning(o, request, () =>
        this.#authorised(o, () => beginSave(this.port, o, request)),
      );
    });
  }

  beginRestore(request: BeginRequest): Promise<Operation> {
    if (request.adopt !== undefined) return this.#adopt('restore', request, request.adopt);
    return this.begin('beginRestore', request, (o) => {
      this.port.refuseUnlessHere?.(o);
      return this.#keptBeginning(o, request, () => beginRestore(this.port, o, request));
    });
  }

  async fenceOperation(hostId: string, vmId: string, holder: Holder): Promise<Operation> {
    const operation = await this.begin('fenceOperation', { hostId, vmId }, (o) =>
      fence(this.port, o, holder, 'its run stopped'),
    );
    await this.port.fence?.(hostId, vmId, operation.generation);
    return operation;
  }

  async withdrawUnlessCrossed(hostId: string, vmId: string, holder: Holder): Promise<Operation> {
    const operation = await this.begin('withdrawUnlessCrossed', { hostId, vmId }, (o) =>
      o.vm.pointOfNoReturn !== null && sameHolder(o.vm.lease?.holder, holder) && o.vm.lease !== null
        ? operationOf(this.port, o, o.vm.lease)
        : fence(this.port, o, holder, 'its run was cancelled'),
    );
    if (!operation.crossed) await this.port.fence?.(hostId, vmId, operation.generation);
    return operation;
  }

  /** For the dead-man alone: takes the VM from whoever holds it. */
  async takeForDeadMan(hostId: string, vmId: string): Promise<Operation> {
    const operation = await this.begin('takeForDeadMan', { hostId, vmId }, (o) =>
      takeForDeadMan(this.port, o),
    );
    await this.port.fence?.(hostId, vmId, operation.generation);
    return operation;
  }

  readonly perform: HostDriver['perform'] = (...asked) => this.#engine.perform(...asked);

  async ask<Step extends VmStep>(
    step: Step,
    call: StepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>> {
    return this.performers.ask(step, call, signal) as Promise<StepOutcome<Step>>;
  }

  acquireHost(hostId: string, holder: Holder, takeOverFrom?: Holder): Promise<number> {
    return settled(() =>
      this.store.updateHost(hostId, (o) => {
        const { host } = o;
        const { journalSeq, generation: before } = host;
        const simulation = this.port.beginning?.(o) ?? null;
        const generation = acquireHost(host, holder, takeOverFrom);
        if (generation !== before)
          this.store.keepBeginning(hostId, {
            ...{ holder, vmId: null, generation, journalSeq, simulation },
          });
        return generation;
      }),
    );
  }

  armServicing(call: HostStepCall, order: ServicingOrder): Promise<void> {
    return settled(() => {
      this.store.updateHost(call.hostId, ({ host, vms, putVm }) => {
        admitHost(host, call, 'armServicing');
        if (host.servicing?.generation === call.generation || host.lease === null) return;
        const unknown = order.vms.filter((vm) => !host.vmIds.includes(vm.vmId));
        if (unknown.length > 0)
          throw refused(`Host ${host.hostId} has no VM ${unknown.map((v) => v.vmId).join(', ')}.`);
        host.commands.forbiddenBeforeServicing = host.commands.forbidden;
        host.faults = order.faults.filter((f) => f.vmId === undefined);
        host.servicing = {
          generation: call.generation,
          holder: host.lease.holder,
          order,
          members: order.vms.map((vm) => vm.vmId),
          left: [],
          turns: [],
          commitArmedBy: null,
          pauseUntilMs: null,
          notice: null,
          quiet: [],
          armed: [],
          restoreWaiting: [],
          paused: [],
          saved: [],
          down: [],
          crossed: false,
          aborted: null,
          update: 'armed',
          admitted: [],
          resumed: [],
        };
        for (const vm of vms()) {
          if (!host.servicing.members.includes(vm.vmId)) continue;
          vm.faults = order.faults.filter((f) => f.vmId === vm.vmId);
          vm.nextLease = null;
          delete vm.versions;
          this.port.discardSuccessor(vm);
          putVm(vm);
        }
      });
    });
  }

  readonly performHost: HostDriver['performHost'] = (...asked) =>
    this.#engine.performHost(...asked);

  async askHost<Step extends HostStep>(
    step: Step,
    call: HostStepCall,
    signal: AbortSignal,
  ): Promise<StepOutcome<Step>> {
    return this.performers.askHost(step, call, signal) as Promise<StepOutcome<Step>>;
  }

  abortServicing(call: HostStepCall, reason: string): Promise<{ readonly crossed: boolean }> {
    return settled(() =>
      this.store.updateHost(call.hostId, ({ host }) => {
        admitHost(host, call, 'abortServicing');
        const { servicing } = host;
        if (servicing === null) return { crossed: false };
        // A commit that is under way is let be: it is too late for it to be given up.
        if (servicing.update !== 'committing') stopServicing(host, reason);
        return { crossed: servicing.crossed };
      }),
    );
  }

  releaseHost(call: HostStepCall): Promise<void> {
    return settled(() => {
      this.store.updateHost(call.hostId, ({ host }) => {
        if (host.lease?.generation !== call.generation) return;
        host.lease = null;
        // A run that was refused leaves the one before it, whose VMs may still be on their way back.
        if (host.servicing?.generation === call.generation) host.servicing = null;
        host.staged = null;
        host.faults = [];
      });
    });
  }

  beginMigration(_request: MigrationRequest): Promise<MigrationOperation> {
    return this.#cannot('beginMigration');
  }

  beginReception(_request: ReceptionRequest): Promise<MigrationOperation> {
    return this.#cannot('beginReception');
  }

  commandFunction(_request: FunctionCommandRequest): Promise<FunctionAnswer> {
    return this.#cannot('commandFunction');
  }

  returnRemoteAnswer(_answer: RemoteAnswer): Promise<FunctionAnswer> {
    return this.#cannot('returnRemoteAnswer');
  }

  #cannot(call: string): Promise<never> {
    return Promise.reject(notSupported(this.port.driver, call, 'it has none of that'));
  }

  /** For the dead-man alone: an update that has not come is given up, so that the VMs come back on the old stack. */
  giveUpUpdate(hostId: string): void {
    this.store.updateHost(hostId, ({ host }) => {
      giveUpUpdate(host);
    });
  }

  /** Inside a servicing run the beginning of the run is that of the whole host. */
  #keptBeginning(o: O, { holder }: BeginRequest, begin: () => Operation): Operation {
    const { host, vm } = o;
    const { journalSeq } = host;
    const known = vm.generation;
    const simulation = host.servicing === null ? (this.port.beginning?.(o) ?? null) : undefined;
    const operation = begin();
    const { generation } = operation;
    if (simulation !== undefined && generation > known)
      this.store.keepBeginning(host.hostId, {
        ...{ holder, vmId: vm.vmId, generation, journalSeq, simulation },
      });
    return operation;
  }

  /** A new operation on a VM that runs begins only if all that its held VF may need is authorised beforehand. */
  #authorised(o: O, begin: () => Operation): Operation {
    const known = o.vm.generation;
    const operation = begin();
    const denial = operation.generation === known ? undefined : this.port.authorise?.(o);
    if (denial !== undefined) throw denial;
    return operation;
  }

  #adopt(kind: 'save' | 'restore', request: BeginRequest, adoption: Adoption): Promise<Operation> {
    const { port } = this;
    return this.begin(
      'adopt',
      request,
      (o) => {
        port.refuseUnlessHere?.(o);
        const { lease } = o.vm;
        if (lease !== null && sameHolder(lease.holder, request.holder))
          return operationOf(port, o, lease);
        const by = { port, operations: this.#operations };
        return this.#authorised(o, () => adopt(by, o, request, adoption, kind));
      },
      `${describeHolder(request.holder)} goes on at ${adoption.at} with generation ${String(adoption.generation)} of ${describeHolder(adoption)}`,
    );
  }

  protected begin<Begun extends Operation>(
    step: string,
    { hostId, vmId }: VmOfHost,
    begin: (o: O) => Begun,
    detail: string | null = null,
  ): Promise<Begun> {
    return settled(() => {
      try {
        return this.store.update(hostId, vmId, (o) => {
          const operation = begin(o);
          const { generation, phase: status } = operation;
          this.store.append(o.host, {
            ...{ vmId, step, generation, kind: 'result', command: null, status, detail },
          });
          return operation;
        });
      } catch (error) {
        this.#keepDenial(step, { hostId, vmId }, error);
        throw error;
      }
    });
  }

  /** The transaction in which the policy said no is gone; that it did is not. */
  #keepDenial(step: string, { hostId, vmId }: VmOfHost, error: unknown): void {
    if (!(error instanceof HoldfastError) || typeof error.facts['rule'] !== 'string') return;
    const { message, facts } = error;
    this.store.update(hostId, vmId, (o) => {
      this.store.append(o.host, {
        vmId,
        step,
        generation: o.vm.generation,
        kind: 'command',
        command: String(facts['operation']),
        status: 'denied',
        detail: message,
        rule: String(facts['rule']),
      });
    });
  }
}

/** The interface is asynchronous, since real hosts are; a synchronous answer or failure becomes a promise. */
export const settled = <T>(answer: () => T): Promise<T> =>
  new Promise((resolve) => {
    resolve(answer());
  });
