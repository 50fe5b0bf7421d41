import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServiceHostInput } from '../../contract/inputs';
import { HOLDFAST_QUEUE, serviceHostId } from '../../contract/queues';
import type { ServiceHostResult } from '../../contract/results';
import type { serviceHost } from '../../workflows';
import { Stack } from '../stack';

/** A stack in a directory of its own, gone afterwards. */
export async function withStack<T>(
  shape: {
    readonly hosts?: number;
    readonly vms: number;
    readonly faultDomains?: number;
    readonly profile: string;
  },
  use: (stack: Stack) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const stack = await Stack.start({
    ...{ directory, hosts: 1, seed: 1, custodyBelowVsp: true },
    ...shape,
  });
  try {
    return await use(stack);
  } finally {
    await stack.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What all VMs of a host share: they are dark together. */
export const HOST_WIDE = { component: 'vpciVsp', version: '2.0.0' } as const;

/** Services host-01 once, all VMs together unless it says otherwise; answers its result and the time it took, ms. */
export async function service(
  stack: Stack,
  wish: Partial<ServiceHostInput> = {},
): Promise<{ result: ServiceHostResult; tookMs: number }> {
  const startedAt = performance.now();
  const result = await stack.client.workflow.execute<typeof serviceHost>('serviceHost', {
    workflowId: serviceHostId('host-01'),
    taskQueue: HOLDFAST_QUEUE,
    args: [{ hostId: 'host-01', update: HOST_WIDE, ...wish }],
  });
  return { result, tookMs: performance.now() - startedAt };
}

/** Waits until the host's journal shows that a VM began a step. */
export async function untilStep(stack: Stack, vmId: string, step: string): Promise<void> {
  const { driver } = stack.hosts;
  const { journalSeq: afterSeq } = await driver.describe('host-01');
  const begun = async () =>
    (await driver.readJournal('host-01', { afterSeq, limit: 10_000, vmId })).some(
      (e) => e.step === step && e.kind === 'intent',
    );
  while (!(await begun())) await delay(2);
}
