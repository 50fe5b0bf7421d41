import { join } from 'node:path';
import type { temporal } from '@temporalio/proto';
import { issuedAhead, restoreFlow, saveFlow } from '../../contract/flows';
import { HOLDFAST_QUEUE, serviceHostId } from '../../contract/queues';
import { spawnGuarded, type GuardedProcess } from '../../tools/processes/spawn-guarded';
import { runTypeScript } from '../../tools/typescript/run-typescript';
import type { serviceHost } from '../../workflows';
import type { Stack } from '../stack';
import type { BareFlow, BareRun, bareRun } from './bare/workflow';
import { BARE_QUEUE } from './bare/worker';
import { figures } from './figures';
import { HOST_WIDE, withStack } from './serviced';

export interface ThroughputFigures {
  readonly hosts: number;
  /** Activities of one run. */
  readonly steps: number;
  readonly stepsPerSecond: { readonly holdfast: number; readonly bare: number };
  /** Ours to that of the bare loop, of the medians. */
  readonly ratio: number;
}

/** All hosts serviced at once, in turn with workflows that schedule as many empty activities in the same way; zero latency. */
export async function throughputFigures(hosts: number, rounds: number): Promise<ThroughputFigures> {
  return withStack({ hosts, vms: 1, profile: 'zero' }, async (stack) => {
    const hostIds = stack.hosts.hostIds();
    const bare = await Promise.all([startBare(stack), startBare(stack, hostIds.map(queueOf))]);
    try {
      const shape = await shapeOfRun(stack, hostIds[0] ?? '');
      const steps = [shape, ...shape.children].reduce((sum, f) => sum + f.oneByOne + f.ahead, 0);
      const took = { holdfast: [] as number[], bare: [] as number[] };
      for (let round = 0; round <= rounds; round += 1) {
        const holdfastMs = await timed(hostIds, (hostId) => serviced(stack, hostId));
        const bareMs = await timed(hostIds, (hostId) => ran(stack, onQueue(shape, hostId)));
        if (round === 0) continue;
        took.holdfast.push(holdfastMs);
        took.bare.push(bareMs);
      }
      const perSecond = (ms: readonly number[]) =>
        Math.round((1_000 * steps * hosts) / figures(ms).p50);
      const stepsPerSecond = { holdfast: perSecond(took.holdfast), bare: perSecond(took.bare) };
      const ratio = Math.round((100 * stepsPerSecond.holdfast) / stepsPerSecond.bare) / 100;
      return { hosts, steps, stepsPerSecond, ratio };
    } finally {
      await Promise.all(bare.map((each) => each.stop()));
    }
  });
}

const queueOf = (hostId: string): string => `${BARE_QUEUE}-${hostId}`;

function onQueue({ children, ...own }: BareRun, hostId: string): BareRun {
  const queue = queueOf(hostId);
  return { ...own, queue, children: children.map((flow) => ({ ...flow, queue })) };
}

function startBare({ address, namespace }: Stack, queues: string[] = []): Promise<GuardedProcess> {
  const worker = runTypeScript(join(__dirname, 'bare', 'worker.ts'));
  return spawnGuarded(process.execPath, [...worker, ...queues], {
    env: { ...process.env, TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace },
  });
}

async function timed(
  hostIds: readonly string[],
  run: (hostId: string) => Promise<unknown>,
): Promise<number> {
  const startedAt = performance.now();
  await Promise.all(hostIds.map(run));
  return performance.now() - startedAt;
}

const serviced = ({ client }: Stack, hostId: string) =>
  client.workflow.execute<typeof serviceHost>('serviceHost', {
    workflowId: serviceHostId(hostId),
    taskQueue: HOLDFAST_QUEUE,
    args: [{ hostId, update: HOST_WIDE }],
  });

const ran = ({ client }: Stack, run: BareRun) =>
  client.workflow.execute<typeof bareRun>('bareRun', {
    workflowId: `bare/${run.queue}`,
    taskQueue: BARE_QUEUE,
    args: [run],
  });

/** How many activities a run of one VM and its children schedule, by their histories, and how many of them in one go. */
async function shapeOfRun(stack: Stack, hostId: string): Promise<BareRun> {
  await serviced(stack, hostId);
  const events = await historyOf(stack, serviceHostId(hostId));
  const children = events.flatMap(({ childWorkflowExecutionStartedEventAttributes: started }) =>
    started?.workflowExecution?.workflowId == null ? [] : [started],
  );
  const settings = { mode: 'modified', virtualFunctionRestore: 'step-by-step' } as const;
  const ahead: Readonly<Record<string, number>> = {
    fastSave: issuedAhead(saveFlow(settings)).length,
    fastRestore: issuedAhead(restoreFlow(settings)).length,
  };
  const flows = children.map(async ({ workflowExecution, workflowType }): Promise<BareFlow> => {
    const inOneGo = ahead[workflowType?.name ?? ''] ?? 0;
    const all = scheduled(await historyOf(stack, workflowExecution?.workflowId ?? ''));
    return { queue: '', oneByOne: all - inOneGo, ahead: inOneGo };
  });
  return { queue: '', oneByOne: scheduled(events), ahead: 0, children: await Promise.all(flows) };
}

type Event = temporal.api.history.v1.IHistoryEvent;

async function historyOf({ client }: Stack, workflowId: string): Promise<readonly Event[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  return events ?? [];
}

const scheduled = (events: readonly Event[]): number =>
  events.filter((event) => event.activityTaskScheduledEventAttributes != null).length;
