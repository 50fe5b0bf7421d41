import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
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
import { SimulatorStore } from '../../hosts/simulator/store';
import type { Stack, StackOptions } from '../../scripts/stack';
import { connectClient } from '../../workers/connection';
import { required } from './required';
import { giveBack, lendHosts, type SharedShape } from './shared-stacks';
import { startStack } from './start-stack';

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

/** Where the hosts of a suite are: a stack of its own, or one that it shares. */
type Running = Pick<Stack, 'address' | 'client' | 'directory' | 'namespace'> & WithStore;
interface WithStore {
  /** What its hosts are, read and changed behind their backs. */
  readonly store: SimulatorStore;
}
/** A stack of a suite's own. */
export type OwnStack = Stack & WithStore;

/** Hosts, of zero latency unless it says otherwise, and workers that serve them, on the dev server of the test run. */
export class Suite<On extends Running = Running> {
  #runs = 0;
  #fresh = 0;
  /** Where each host's journal was when the latest run that names it was started. */
  readonly #startedAt = new Map<string, number>();
  private constructor(
    readonly stack: On,
    /** Of this suite alone. */
    readonly hostIds: readonly string[],
    private readonly close: () => Promise<void>,
  ) {}

  /** So many hosts of a stack that other files use too: for tests that do nothing to its processes. */
  static async on(shape: SharedShape, hosts: number): Promise<Suite> {
    const lent = await lendHosts({ shape, hosts });
    const { namespace, directory, hostIds } = lent;
    const address = required('HOLDFAST_TEST_ADDRESS');
    const client = await connectClient({ address, namespace, connectionOptions: { address } });
    const store = new SimulatorStore(join(directory, 'fleet'));
    return new Suite({ address, client, directory, namespace, store }, hostIds, async () => {
      await client.connection.close();
      await store.close();
      await giveBack(lent);
    });
  }

  /** A stack of its own, in a namespace of this name; on the dev server of the test run unless the address is another's. */
  static async start(
    name: string,
    options: Partial<StackOptions> = {},
    address = required('HOLDFAST_TEST_ADDRESS'),
  ): Promise<Suite<OwnStack>> {
    const stack = await startStack(address, name, options);
    const store = new SimulatorStore(join(stack.directory, 'fleet'));
    return new Suite(Object.assign(stack, { store }), store.hostIds(), async () => {
      await stack.stop();
      await store.close();
    });
  }

  async stop(): Promise<void> {
    await this.close();
  }

  /** A host that no other test has touched. */
  freshHost(): string {
    const hostId = this.hostIds[this.#fresh];
    if (hostId === undefined)
      throw new Error(`all ${this.hostIds.length} hosts are in use: ask for more`);
    this.#fresh += 1;
    return hostId;
  }

  freshHosts(count: number): string[] {
    return Array.from({ length: count }, () => this.freshHost());
  }

  start<Type extends keyof Inputs>(
    type: Type,
    input: unknown,
    within: '120s' | '300s' = '120s',
  ): Promise<WorkflowHandle> {
    this.#runs += 1;
    const text = JSON.stringify(input ?? null);
    for (const hostId of this.hostIds.filter((id) => text.includes(`"${id}"`))) {
      this.#startedAt.set(hostId, this.stack.store.host(hostId).journalSeq);
    }
    return this.stack.client.workflow.start(type, {
      workflowId: `${type}-of-${this.hostIds[0] ?? 'none'}-${this.#runs}`,
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
      workflowExecutionTimeout: within,
    });
  }

  async run<Type extends keyof Inputs>(type: Type, input: Inputs[Type]): Promise<Results[Type]> {
    const handle = await this.start(type, input);
    const result = (await handle.result()) as Results[Type];
    // What the workers have written since the latest look at the store here is seen from the next turn on.
    await delay(1);
    return result;
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
      await delay(15);
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
    // See `run`.
    await delay(1);
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof CancelledFailure)
      return { type: 'Cancelled', message: cause.message, details: undefined };
    if (!(cause instanceof ApplicationFailure))
      throw new Error(`an untyped end: ${String(cause)}`, { cause: error });
    return { type: cause.type ?? '', message: cause.message, details: cause.details?.[0] };
  }
}
