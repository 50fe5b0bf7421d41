import type {
  Adoption,
  Beginning,
  HostDescription,
  HostRegistration,
  JournalEntry,
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
import type { HostStep, StepCall, StepOutcome, VmStep } from '../../contract/steps';
import { vmWorkflowQueue } from '../../contract/queues';
import type { BeginRequest, HostDriver, HostStepCall, JournalQuery } from '../host-driver';
import { adopt } from './adoption';
import { beginningOfHost, beginningOfVm, readBeginnings } from './beginnings';
import { HoldfastError } from '../../contract/failures';
import { issueCommand } from './commands';
import { freeFunctions } from './migration/functions';
import { READABLE_RECORD_VERSIONS } from './devices/runtime-repository';
import { describeVm } from './describe';
import { StepEngine } from './engine';
import { commandFunction, returnRemoteAnswer } from './functions/command-function';
import { meetFaults } from './functions/faults';
import { authoriseReadoption } from './functions/readoption';
import type { LatencyProfile } from './latency';
import {
  acquireHost,
  beginRestore,
  beginSave,
  describeHolder,
  fence,
  operationOf,
  quarantineOf,
  sameHolder,
  stopServicing,
  takeForDeadMan,
} from './leases';
import { refused } from './legal-moves';
import { beginMigration, beginReception } from './migration/beginnings';
import { refuseUnlessHere } from './migration/migration-state';
import { admitHost, performHostStep } from './perform-host-step';
import { giveUpUpdate } from './servicing';
import type { HostState, Objects } from './state';
import type { HostStore } from './store';

interface VmOfHost {
  readonly hostId: string;
  readonly vmId: string;
}

/** The simulated hosts of one fleet directory. */
export class SimulatedHosts implements HostDriver {
  readonly #engine: StepEngine;

  constructor(
    private readonly store: HostStore,
    private readonly profile: LatencyProfile,
  ) {
    this.#engine = new StepEngine(store, profile);
  }

  ping(hostId: string): Promise<HostRegistration> {
    return settled(() => registration(this.store.host(hostId)));
  }

  describe(hostId: string): Promise<HostDescription> {
    return settled(() => {
      const host = this.store.host(hostId);
      return {
        ...registration(host),
        bootId: host.bootId,
        versions: host.versions,
        capabilities: {
          custodyBelowVsp: host.custodyBelowVsp,
          recordVersions: READABLE_RECORD_VERSIONS,
        },
        holder: host.lease?.holder ?? null,
        quarantine: quarantineOf(host),
        vms: host.vmIds.map((vmId) => describeVm(this.store.objects(hostId, vmId))),
        physicalFunctions: freeFunctions(this.store.pfs(hostId)),
        forbiddenCommands: host.commands.forbidden,
        forbiddenSinceServicing:
          host.commands.forbidden - (host.commands.forbiddenBeforeServicing ?? 0),
        describedAtMs: Date.now(),
        invariants: {
          checked: host.invariants.checked,
          violated: host.invariants.violations.length,
        },
      };
    });
  }

  describeVm(hostId: string, vmId: string): Promise<VmDescription> {
    return settled(() => describeVm(this.store.objects(hostId, vmId)));
  }

  readJournal(hostId: string, query: JournalQuery = {}): Promise<readonly JournalEntry[]> {
    return settled(() =>
      this.store.journal(hostId, query.afterSeq ?? 0, query.limit ?? 1000, query.vmId),
    );
  }

  readBeginnings(hostId: string, holders: readonly Holder[]): Promise<readonly Beginning[]> {
    return settled(() => readBeginnings(this.store, hostId, holders));
  }

  beginSave(request: BeginRequest): Promise<Operation> {
    if (request.adopt !== undefined) return this.#adopt('save', request, request.adopt);
    return this.#begin('beginSave', request, (o) => {
      refuseUnlessHere(o.host, o.vm);
      return this.#keptBeginning(o, request, () =>
        this.#authorised(o, () => beginSave(o, request)),
      );
    });
  }

  beginRestore(request: BeginRequest): Promise<Operation> {
    if (request.adopt !== undefined) return this.#adopt('restore', request, request.adopt);
    return this.#begin('beginRestore', request, (o) => {
      refuseUnlessHere(o.host, o.vm);
      return this.#keptBeginning(o, request, () => beginRestore(o, request));
    });
  }

  beginMigration(request: MigrationRequest): Promise<MigrationOperation> {
    return this.#begin('beginMigration', request, (o) => beginMigration(o, request));
  }

  beginReception(request: ReceptionRequest): Promise<MigrationOperation> {
    return settled(() => beginReception(this.store, request));
  }

  fenceOperation(hostId: string, vmId: string, holder: Holder): Promise<Operation> {
    return this.#begin('fenceOperation', { hostId, vmId }, (o) =>
      fence(o, holder, 'its run stopped'),
    );
  }

  /** For the dead-man alone: takes the VM from whoever holds it. */
  takeForDeadMan(hostId: string, vmId: string): Promise<Operation> {
    return this.#begin('takeForDeadMan', { hostId, vmId }, takeForDeadMan);
  }

  perform(step: VmStep, call: StepCall, signal: AbortSignal): Promise<StepOutcome> {
    return this.#engine.perform(step, call, signal);
  }

  acquireHost(hostId: string, holder: Holder, takeOverFrom?: Holder): Promise<number> {
    return settled(() =>
      this.store.updateHost(hostId, (host) => {
        const before = beginningOfHost(this.store, host, this.profile);
        const generation = acquireHost(host, holder, takeOverFrom);
        if (generation !== before.host.generation) {
          const { journalSeq } = before.host;
          const beginning = { holder, vmId: null, generation, journalSeq, simulation: before };
          this.store.keepBeginning(hostId, beginning);
        }
        return generation;
      }),
    );
  }

  armServicing(call: HostStepCall, order: ServicingOrder): Promise<void> {
    return settled(() => {
      this.store.updateHost(call.hostId, (host) => {
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
          leftOut: [],
          commitArmed: false,
          notice: null,
          quiet: [],
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
        for (const { vmId } of order.vms) {
          const vm = this.store.vm(host.hostId, vmId);
          vm.faults = order.faults.filter((f) => f.vmId === vmId);
          vm.nextLease = null;
          vm.successor = null;
          this.store.putVm(host.hostId, vm);
        }
      });
    });
  }

  performHost(step: HostStep, call: HostStepCall, signal: AbortSignal): Promise<StepOutcome> {
    return performHostStep(this.store, this.profile, step, call, signal);
  }

  abortServicing(call: HostStepCall, reason: string): Promise<{ readonly crossed: boolean }> {
    return settled(() =>
      this.store.updateHost(call.hostId, (host) => {
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
      this.store.updateHost(call.hostId, (host) => {
        if (host.lease?.generation !== call.generation) return;
        host.lease = null;
        // A run that was refused leaves the one before it, whose VMs may still be on their way back.
        if (host.servicing?.generation === call.generation) host.servicing = null;
        host.staged = null;
        host.faults = [];
      });
    });
  }

  /** For the dead-man alone: an update that has not come is given up, so that the VMs come back on the old stack. */
  giveUpUpdate(hostId: string): void {
    this.store.updateHost(hostId, giveUpUpdate);
  }

  async commandFunction(request: FunctionCommandRequest): Promise<FunctionAnswer> {
    const loseReply = await meetFaults(this.store, request);
    const answer = commandFunction(this.store, request);
    loseReply();
    return answer;
  }

  returnRemoteAnswer(answer: RemoteAnswer): Promise<FunctionAnswer> {
    return settled(() => returnRemoteAnswer(this.store, answer));
  }

  /** What someone else may try on a VM: refused and recorded while its VF is held. */
  foreignCommand(
    hostId: string,
    vmId: string,
    command:
      | 'StopVm'
      | 'CheckpointVm'
      | 'MigrateVm'
      | 'SetIovWeight'
      | 'OID_NIC_SWITCH_FREE_VF'
      | 'OID_SRIOV_RESET_VF'
      | 'VPCI.Eject'
      | 'OID_NIC_SWITCH_DELETE_VPORT'
      | 'OID_RECEIVE_FILTER_MOVE_FILTER'
      | 'VPCI.UnassignDevice',
  ): Promise<void> {
    return settled(() => {
      issueCommand(
        this.store,
        { hostId, vmId, step: 'foreign', generation: 0, by: 'operator' },
        null,
        command,
        () => {
          throw refused(`The simulator does not carry out ${command} for others.`);
        },
      );
    });
  }

  /** Inside a servicing run the beginning of the run is that of the whole host. */
  #keptBeginning(o: Objects, { holder }: BeginRequest, begin: () => Operation): Operation {
    const before = o.host.servicing === null ? beginningOfVm(o, this.profile) : null;
    const known = o.vm.generation;
    const operation = begin();
    if (before !== null && operation.generation > known) {
      const { vmId } = o.vm;
      const { generation } = operation;
      const { journalSeq } = before.host;
      const beginning = { holder, vmId, generation, journalSeq, simulation: before };
      this.store.keepBeginning(o.host.hostId, beginning);
    }
    return operation;
  }

  /** A new operation on a VM that runs begins only if all that its held VF may need is authorised beforehand. */
  #authorised(o: Objects, begin: () => Operation): Operation {
    const known = o.vm.generation;
    const operation = begin();
    if (operation.generation === known) return operation;
    const decision = authoriseReadoption(this.store, o);
    if (decision?.effect === 'deny') throw decision.error;
    return operation;
  }

  #adopt(kind: 'save' | 'restore', request: BeginRequest, adoption: Adoption): Promise<Operation> {
    return this.#begin(
      'adopt',
      request,
      (o) => {
        refuseUnlessHere(o.host, o.vm);
        const { lease } = o.vm;
        if (lease !== null && sameHolder(lease.holder, request.holder))
          return operationOf(o, lease);
        return this.#authorised(o, () => adopt(o, request, adoption, kind));
      },
      `${describeHolder(request.holder)} goes on at ${adoption.at} with generation ${String(adoption.generation)} of ${describeHolder(adoption)}`,
    );
  }

  #begin<Begun extends Operation>(
    step: string,
    { hostId, vmId }: VmOfHost,
    begin: (o: Objects) => Begun,
    detail: string | null = null,
  ): Promise<Begun> {
    return settled(() => {
      try {
        return this.store.update(hostId, vmId, (o) => {
          const operation = begin(o);
          this.store.append(o.host, {
            vmId,
            step,
            generation: operation.generation,
            kind: 'result',
            command: null,
            status: operation.phase,
            detail,
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

const registration = ({ hostId, workerName }: HostState): HostRegistration => ({
  hostId,
  driver: 'simulator',
  vmWorkflowQueue: vmWorkflowQueue(workerName),
  faults: true,
});

/** The interface is asynchronous, since real hosts are; a synchronous answer or failure becomes a promise. */
const settled = <T>(answer: () => T): Promise<T> =>
  new Promise((resolve) => {
    resolve(answer());
  });
