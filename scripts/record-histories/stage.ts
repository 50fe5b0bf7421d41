import { setTimeout as delay } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import type { UpdateFleetInput } from '../../contract/fleet-input';
import type { FleetProgress } from '../../contract/fleet-results';
import type {
  FastRestoreInput,
  FastSaveInput,
  MigrateVmInput,
  ServiceHostInput,
} from '../../contract/inputs';
import { runsOnServer } from '../recorded-runs/server-runs';
import { headerOf, writeBundle } from '../recorded-runs/write-bundle';
import type { Stack } from '../stack';
import {
  HOLDFAST_QUEUE,
  fastRestoreId,
  fastSaveId,
  migrateVmId,
  serviceHostId,
  updateFleetId,
} from '../../contract/queues';

/** One run of a workflow, whose history can be fetched. */
export interface Run {
  readonly workflowId: string;
  readonly runId: string;
}

export type Recorded = temporal.api.history.v1.IHistory;
type Input<T> = Omit<T, 'hostId' | 'vmId'>;

const STARTED_WITHIN_MS = 20_000;
const LOOK_AGAIN_MS = 20;

/** Simulated hosts of its own for one scenario, so that none finds what another left behind. */
export class Stage {
  private readonly client: Client;

  constructor(
    private readonly stack: Stack,
    readonly hostIds: readonly string[],
    /** Hosts without VMs. */
    private readonly emptyHostIds: readonly string[] = [],
    readonly vmId = 'vm-01',
  ) {
    this.client = stack.client;
  }

  /** The only one, or the first. */
  get hostId(): string {
    return this.hostIds[0] ?? '';
  }

  get emptyHostId(): string {
    return this.emptyHostIds[0] ?? '';
  }

  /** Of all hosts of the scenario, each in a fault domain of its own; a gate that fails is not looked at again. */
  updateFleet(
    input: Partial<UpdateFleetInput> = {},
    strategy: UpdateFleetInput['strategy'] = {},
  ): Promise<Run> {
    return this.start('updateFleet', updateFleetId(this.hostId), {
      update: { version: '2.0.0' },
      hosts: [...this.hostIds],
      inventory: {
        hosts: this.hostIds.map((hostId) => ({ hostId, faultDomain: `fd-${hostId}` })),
      },
      strategy: { bakeTime: { giveUpAfter: '0s' }, ...strategy },
      servicing: { rolling: { bakeFor: '100ms' } },
      ...input,
    });
  }

  fastSave(input: Input<FastSaveInput> = {}): Promise<Run> {
    return this.start('fastSave', fastSaveId(this.hostId, this.vmId), { ...this.#vm, ...input });
  }

  fastRestore(input: Input<FastRestoreInput> = {}): Promise<Run> {
    return this.start('fastRestore', fastRestoreId(this.hostId, this.vmId), {
      ...this.#vm,
      ...input,
    });
  }

  /** To the host without VMs, unless it says otherwise. */
  migrateVm(input: Partial<MigrateVmInput> = {}): Promise<Run> {
    const { vmId, hostId: fromHostId, emptyHostId: toHostId } = this;
    const given = { vmId, fromHostId, toHostId, ...input };
    return this.start('migrateVm', migrateVmId(given.fromHostId, vmId), given);
  }

  /** A component that all VMs share is updated: they are dark together. */
  serviceHost(input: Partial<Input<ServiceHostInput>> = {}): Promise<Run> {
    const { hostId } = this;
    return this.start('serviceHost', serviceHostId(hostId), {
      hostId,
      update: { component: 'vpciVsp', version: '2.0.0' },
      ...input,
    });
  }

  /** Each VM gets a new worker process, in its turn. */
  serviceVmByVm(input: Partial<Input<ServiceHostInput>> = {}): Promise<Run> {
    return this.serviceHost({
      update: { version: '2.0.0' },
      rolling: { bakeFor: '100ms' },
      ...input,
    });
  }

  async start(type: string, workflowId: string, input: unknown): Promise<Run> {
    const handle = await this.client.workflow.start(type, {
      taskQueue: HOLDFAST_QUEUE,
      workflowId,
      args: [input],
    });
    return { workflowId, runId: handle.firstExecutionRunId };
  }

  /** The latest run of a VM's save or restore, once its parent has started it. */
  async child(kind: 'save' | 'restore', vmId = this.vmId): Promise<Run> {
    const workflowId = (kind === 'save' ? fastSaveId : fastRestoreId)(this.hostId, vmId);
    return eventually(`${workflowId} is started`, async () => {
      try {
        const { runId } = await this.client.workflow.getHandle(workflowId).describe();
        return { workflowId, runId };
      } catch {
        return undefined;
      }
    });
  }

  /** Waits until a run has asked for a step on the task queue; a fault keeps the step busy meanwhile. */
  async scheduled(run: Run, step: string): Promise<void> {
    await eventually(`${run.workflowId} has scheduled ${step}`, async () => {
      const { events } = await this.history(run);
      return events?.some(
        (e) => e.activityTaskScheduledEventAttributes?.activityType?.name === step,
      )
        ? true
        : undefined;
    });
  }

  /** Waits until a fleet update waits for this, or is in this wave. */
  async fleetIs(run: Run, holds: (progress: FleetProgress) => boolean): Promise<void> {
    await eventually(`${run.workflowId} has got that far`, async () =>
      holds(await this.#handle(run).query<FleetProgress>('progress')) ? true : undefined,
    );
  }

  /** Waits until the journal of a host has begun a step of the host itself. */
  async begun(hostId: string, step: string): Promise<void> {
    await eventually(`${hostId} begins ${step}`, () =>
      this.stack.hosts.driver
        .readJournal(hostId, { limit: 100_000 })
        .then((journal) => (journal.some((e) => e.step === step) ? true : undefined)),
    );
  }

  /** The runs that this one started of a type, in their order. */
  async childrenOf(run: Run, type: string): Promise<Run[]> {
    const { events } = await this.history(run);
    return (events ?? []).flatMap((event) => {
      const started = event.childWorkflowExecutionStartedEventAttributes;
      const { workflowId, runId } = started?.workflowExecution ?? {};
      return started?.workflowType?.name === type && workflowId && runId
        ? [{ workflowId, runId }]
        : [];
    });
  }

  /** Waits until the VM is dark. */
  async paused(): Promise<void> {
    await eventually(`${this.vmId} on ${this.hostId} is paused`, () =>
      this.stack.hosts.driver
        .describeVm(this.hostId, this.vmId)
        .then(({ facts }) => (facts.running ? undefined : true)),
    );
  }

  /** Ends the worker at this very instant; the stack starts it again, as a service manager would. */
  killHostWorker(): void {
    process.kill(this.stack.pid('host'), 'SIGKILL');
  }

  cancel(run: Run): Promise<unknown> {
    return this.#handle(run).cancel();
  }

  terminate(run: Run, reason: string): Promise<unknown> {
    return this.#handle(run).terminate(reason);
  }

  update<T>(run: Run, name: string, argument: unknown): Promise<T> {
    return this.#handle(run).executeUpdate<T, [unknown]>(name, { args: [argument] });
  }

  /** Waits until this very run has ended, however it did. */
  async ended(run: Run): Promise<Run> {
    try {
      await this.client.workflow
        .getHandle(run.workflowId, run.runId, { followRuns: false })
        .result();
    } catch {
      // Most scenarios end in a failure: what the history must show is checked when it is kept.
    }
    return run;
  }

  history(run: Run): Promise<Recorded> {
    return this.#handle(run).fetchHistory();
  }

  /** Writes it into a bundle, with the runs below it and the journals of their hosts, but without workflow code. */
  async exportTo(file: string, run: Run): Promise<void> {
    const { client } = this;
    const { namespace } = this.stack;
    await writeBundle(file, {
      client,
      header: await headerOf(client, { ...run, namespace, uiUrl: null }),
      runs: runsOnServer(client, run.workflowId, run.runId),
      code: null,
      onProgress: () => undefined,
    });
  }

  /** The run that this one continued as. */
  async next(run: Run): Promise<Run> {
    const { events } = await this.history(run);
    const runId = events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
    if (!runId) throw new Error(`${run.workflowId} did not continue as new`);
    return { workflowId: run.workflowId, runId };
  }

  get #vm() {
    return { hostId: this.hostId, vmId: this.vmId };
  }

  #handle({ workflowId, runId }: Run): WorkflowHandle {
    return this.client.workflow.getHandle(workflowId, runId);
  }
}

async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const until = Date.now() + STARTED_WITHIN_MS; ; await delay(LOOK_AGAIN_MS)) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > until) throw new Error(`waited ${STARTED_WITHIN_MS} ms in vain until ${what}`);
  }
}
