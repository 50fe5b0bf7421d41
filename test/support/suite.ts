import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { Connection, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { JournalEntry, VmDescription } from '../../contract/host';
import type { CommandFunctionInput, CommandFunctionResult } from '../../contract/functions';
import type { UpdateFleetInput } from '../../contract/fleet-input';
import type { FleetResult } from '../../contract/fleet-results';
import type {
  FastRestoreInput,
  FastSaveInput,
  MigrateVmInput,
  ServiceHostInput,
} from '../../contract/inputs';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import type {
  FastRestoreResult,
  FastSaveResult,
  MigrateVmResult,
  ServiceHostResult,
} from '../../contract/results';
import { describeVm } from '../../hosts/simulator/describe';
import { Stack, type StackOptions } from '../../scripts/stack';

interface Inputs {
  fastSave: FastSaveInput;
  fastRestore: FastRestoreInput;
  migrateVm: MigrateVmInput;
  serviceHost: ServiceHostInput;
  updateFleet: UpdateFleetInput;
  commandFunction: CommandFunctionInput;
}
interface Results {
  fastSave: FastSaveResult;
  fastRestore: FastRestoreResult;
  migrateVm: MigrateVmResult;
  serviceHost: ServiceHostResult;
  updateFleet: FleetResult;
  commandFunction: CommandFunctionResult;
}

/** How a run ended that was expected to fail: our own failure type and what it says. */
export interface Ended {
  readonly type: string;
  readonly message: string;
  readonly details: unknown;
}

/** Workers on the suite's server, in a namespace of their own, with hosts of zero latency unless it says otherwise. */
export class Suite {
  #runs = 0;
  /** Where each host's journal was when the latest run was started. */
  readonly #startedAt = new Map<string, number>();
  private constructor(
    readonly stack: Stack,
    private readonly directory: string,
  ) {}

  static async start(name: string, options: Partial<StackOptions> = {}): Promise<Suite> {
    const address = required('HOLDFAST_TEST_ADDRESS');
    const connection = await Connection.connect({ address });
    await connection.workflowService.registerNamespace({
      namespace: name,
      workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
    });
    await connection.close();
    const directory = mkdtempSync(join(tmpdir(), `holdfast-${name}-`));
    const stack = await Stack.start({
      directory,
      hosts: 12,
      vms: 3,
      seed: 1,
      profile: 'zero',
      server: { address, namespace: name },
      workflowBundle: required('HOLDFAST_TEST_BUNDLE'),
      ...options,
    });
    return new Suite(stack, directory);
  }

  async stop(): Promise<void> {
    await this.stack.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  start<Type extends keyof Inputs>(
    type: Type,
    input: unknown,
    within: '120s' | '300s' = '120s',
  ): Promise<WorkflowHandle> {
    this.#runs += 1;
    for (const hostId of this.stack.store.hostIds()) {
      this.#startedAt.set(hostId, this.stack.store.host(hostId).journalSeq);
    }
    return this.stack.client.workflow.start(type, {
      workflowId: `${type}-${String(this.#runs)}`,
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
      workflowExecutionTimeout: within,
    });
  }

  async run<Type extends keyof Inputs>(type: Type, input: Inputs[Type]): Promise<Results[Type]> {
    const handle = await this.start(type, input);
    return (await handle.result()) as Results[Type];
  }

  /** Runs what must fail; fails the test if it does not. */
  async fails(type: keyof Inputs, input: unknown): Promise<Ended> {
    return ending(await this.start(type, input));
  }

  vm(hostId: string, vmId: string): VmDescription {
    return describeVm(this.stack.store.objects(hostId, vmId));
  }

  journal(hostId: string, vmId?: string): JournalEntry[] {
    return this.stack.store.journal(hostId, 0, 100_000, vmId);
  }

  /** Waits until, in the latest run, a step of a VM (or of the host) has got as far as `kind`. */
  async until(
    hostId: string,
    vmId: string | null,
    step: string,
    kind: JournalEntry['kind'],
  ): Promise<void> {
    const deadline = Date.now() + 30_000;
    while (
      !this.stack.store
        .journal(hostId, this.#startedAt.get(hostId) ?? 0, 100_000)
        .some((e) => e.vmId === vmId && e.step === step && e.kind === kind)
    ) {
      if (Date.now() > deadline)
        throw new Error(`${String(vmId)} of ${hostId} never came to ${step} (${kind})`);
      await delay(5);
    }
  }

  async untilPhase(
    hostId: string,
    vmId: string,
    phase: VmDescription['phase'],
    withinMs = 20_000,
  ): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (this.vm(hostId, vmId).phase !== phase) {
      if (Date.now() > deadline)
        throw new Error(`${vmId} is ${this.vm(hostId, vmId).phase}, not ${phase}`);
      await delay(20);
    }
  }
}

/** How a run that must not succeed ends. */
export async function ending(handle: WorkflowHandle): Promise<Ended> {
  try {
    const result: unknown = await handle.result();
    throw new Error(`expected a failure, but it answered ${JSON.stringify(result)}`);
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof CancelledFailure)
      return { type: 'Cancelled', message: cause.message, details: undefined };
    if (!(cause instanceof ApplicationFailure))
      throw new Error(`an untyped end: ${String(cause)}`, { cause: error });
    return { type: cause.type ?? '', message: cause.message, details: cause.details?.[0] };
  }
}

export function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this through jest`);
  return value;
}
