import { setTimeout as delay } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { UpdateFleetInput } from '../../../contract/fleet-input';
import type { FleetProgress, FleetResult } from '../../../contract/fleet-results';
import { serviceHostId } from '../../../contract/queues';
import { ending, type Suite } from '../../support/suite';

/** Generous: what is waited for comes as soon as the machine lets it. */
const WITHIN_MS = 60_000;
export const WHY = { by: 'ada', reason: 'the test says so' };
export const update = { version: '2.0.0' };

/** No second look: these tests wait for what they mean to wait for. */
export const QUICK = { bakeTime: { giveUpAfter: '0s' } } as const;

/** No canary VM is waited for. */
export const SOON = { rolling: { bakeFor: '0s' } } as const;

/** An inventory of these hosts, each in the fault domain that is named for it, or in one of its own. */
export const inventory = (
  hosts: readonly string[],
  domains: Readonly<Record<string, string>> = {},
) => ({
  hosts: hosts.map((hostId) => ({ hostId, faultDomain: domains[hostId] ?? `fd-${hostId}` })),
});

/** The smallest run over these hosts. */
export const over = (
  hosts: readonly string[],
  strategy: NonNullable<UpdateFleetInput['strategy']> = {},
): UpdateFleetInput => ({
  update,
  hosts: [...hosts],
  inventory: inventory(hosts),
  strategy: { ...QUICK, ...strategy },
  servicing: SOON,
});

/** One running fleet update, as a person sees and steers it. */
export class FleetUnderTest {
  private constructor(
    private readonly suite: Suite,
    readonly handle: WorkflowHandle,
  ) {}

  static async start(
    suite: Suite,
    input: UpdateFleetInput,
    within?: '300s',
  ): Promise<FleetUnderTest> {
    return new FleetUnderTest(suite, await suite.start('updateFleet', input, within));
  }

  progress(): Promise<FleetProgress> {
    return this.handle.query<FleetProgress>('progress');
  }

  /** Waits until the run's progress is as described; fails with the progress it had at last. */
  async until(what: string, holds: (progress: FleetProgress) => boolean): Promise<FleetProgress> {
    for (const deadline = Date.now() + WITHIN_MS; ; await delay(25)) {
      const progress = await this.progress();
      if (holds(progress)) return progress;
      if (Date.now() > deadline) throw new Error(`never ${what}: ${JSON.stringify(progress)}`);
    }
  }

  waitsFor(reason: NonNullable<FleetProgress['waiting']>['for']): Promise<FleetProgress> {
    return this.until(`waits for ${reason}`, (p) => p.waiting?.for === reason);
  }

  control(name: string, request: object = {}): Promise<string> {
    return this.handle.executeUpdate<string, [object]>(name, { args: [{ ...WHY, ...request }] });
  }

  /** Why a control was refused. */
  async refused(name: string, request: object = {}): Promise<string> {
    try {
      const answer = await this.control(name, request);
      return `it was not refused: ${answer}`;
    } catch (error) {
      const { cause } = error as { cause?: { message?: string } };
      return cause?.message ?? String(error);
    }
  }

  async result(): Promise<FleetResult> {
    return (await this.handle.result()) as FleetResult;
  }

  /** How a run ended that is not a success, with its result. */
  async fails(): Promise<{ type: string; message: string; result: FleetResult }> {
    const { type, message, details } = await ending(this.handle);
    return { type, message, result: details as FleetResult };
  }

  /** The value that the server has for a search attribute of the run. */
  async attribute(name: string): Promise<unknown> {
    const { searchAttributes } = await this.handle.describe();
    return (searchAttributes as Record<string, unknown[] | undefined>)[name]?.[0];
  }

  /** When a host was being serviced, by the server's clock, ms. */
  async serviced(hostId: string): Promise<{ from: number; to: number }> {
    const seen = await this.suite.stack.client.workflow.getHandle(serviceHostId(hostId)).describe();
    return { from: seen.startTime.getTime(), to: seen.closeTime?.getTime() ?? Infinity };
  }
}

export const outcomes = (result: FleetResult): Record<string, string> =>
  Object.fromEntries(result.hosts.map((host) => [host.hostId, host.outcome]));

export const versionOf = (suite: Suite, hostId: string): string =>
  suite.stack.store.host(hostId).versions.vmWorkerProcess;

/** No run has ever touched the host. */
export const isUntouched = (suite: Suite, hostId: string): boolean =>
  suite.stack.store.host(hostId).generation === 0;

export const allRun = (suite: Suite, hostIds: readonly string[]): boolean =>
  hostIds.every((hostId) =>
    suite.stack.store
      .host(hostId)
      .vmIds.every((vmId) => suite.vm(hostId, vmId).phase === 'running'),
  );
