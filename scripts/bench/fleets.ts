import { readFileSync } from 'node:fs';
import * as z from 'zod/mini';
import { updateFleetInput } from '../../contract/fleet-input';
import type { Surveyed } from '../../contract/fleet-plan';
import type { FleetResult } from '../../contract/fleet-results';
import { COMPONENTS, type Component } from '../../contract/inputs';
import { HOLDFAST_QUEUE, updateFleetId } from '../../contract/queues';
import { planFleet } from '../../planning/fleet-plan';
import type { updateFleet } from '../../workflows';
import type { Stack } from '../stack';
import { figures, type Figures } from './figures';
import { withStack } from './serviced';

/** How often the orchestrator's memory is looked at, ms. */
const SAMPLE_MS = 500;
const CONCURRENCY = 16;

interface FleetFigures {
  readonly hosts: number;
  readonly tookMs: number;
  readonly msPerHost: number;
  readonly longestBlackout: Figures;
  /** Resident memory of the orchestrator's process, MB. */
  readonly orchestratorMb: {
    readonly before: number;
    readonly peak: number;
    readonly after: number;
  };
  readonly histories: number;
  readonly longestHistory: number;
}

/** Updates a fleet of hosts with one VM each, without simulated latency. */
export const fleetFigures = (hosts: number): Promise<FleetFigures> =>
  withStack({ hosts, vms: 1, faultDomains: 2 * CONCURRENCY, profile: 'zero' }, async (stack) => {
    const before = residentMb(stack);
    let peak = before;
    const timer = setInterval(() => (peak = Math.max(peak, residentMb(stack))), SAMPLE_MS);
    const startedAt = performance.now();
    const workflowId = updateFleetId('bench');
    try {
      const answer = await stack.client.workflow.execute<typeof updateFleet>('updateFleet', {
        workflowId,
        taskQueue: HOLDFAST_QUEUE,
        // A run that pauses would never end.
        workflowExecutionTimeout: '1h',
        args: [
          {
            update: { version: '2.0.0' },
            servicing: { rolling: { bakeFor: '0s' } },
            hosts: [...stack.hosts.hostIds()],
            maxHosts: hosts,
            strategy: {
              maxConcurrentHosts: CONCURRENCY,
              bakeTime: { giveUpAfter: '0s' },
              onFailure: 'abort',
            },
          },
        ],
      });
      const tookMs = performance.now() - startedAt;
      const result = answer as FleetResult;
      if (result.counts.updated !== hosts)
        throw new Error(`${result.counts.updated} of ${hosts} hosts were updated`);
      const lengths = await historyLengths(stack, workflowId);
      return {
        hosts,
        tookMs: Math.round(tookMs),
        msPerHost: Math.round(tookMs / hosts),
        longestBlackout: figures(result.hosts.map((host) => host.longestBlackoutMs ?? 0)),
        orchestratorMb: { before, peak, after: residentMb(stack) },
        histories: lengths.length,
        longestHistory: Math.max(...lengths),
      };
    } finally {
      clearInterval(timer);
    }
  });

function residentMb(stack: Stack): number {
  const status = readFileSync(`/proc/${stack.pid('orchestrator')}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

async function historyLengths({ client }: Stack, workflowId: string): Promise<number[]> {
  const lengths: number[] = [];
  let runId: string | undefined;
  for (;;) {
    const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    lengths.push(events?.length ?? 0);
    const started = events?.[0]?.workflowExecutionStartedEventAttributes;
    if (!started?.continuedExecutionRunId) return lengths;
    runId = started.continuedExecutionRunId;
  }
}

const VERSIONS = Object.fromEntries(COMPONENTS.map((c) => [c, '1.0.0'])) as Record<
  Component,
  string
>;

/** How long the pure planner needs for a fleet of hosts with eight VMs each, ms. */
export function planningFigures(hosts: number): Figures {
  const inventory = Array.from({ length: hosts }, (_, i) => ({
    hostId: `host-${i}`,
    faultDomain: `fd-${i % 20}`,
    availabilityGroups: [],
    labels: {},
    vms: [],
    custodyBelowVsp: false,
  }));
  const vms = Array.from({ length: 8 }, (_, i) => ({
    vmId: `vm-0${i}`,
    phase: 'running' as const,
    blackouts: [],
    stackVersion: '1.0.0',
    adapterClass: 'network',
  }));
  const surveys = new Map<string, Surveyed>(
    inventory.map(({ hostId }) => [
      hostId,
      {
        hostId,
        versions: VERSIONS,
        capabilities: { custodyBelowVsp: false, recordVersions: [1] },
        quarantine: null,
        describedAtMs: 0,
        vms,
      },
    ]),
  );
  const settings = z.parse(updateFleetInput, {
    update: { version: '2.0.0' },
    hosts: ['host-0'],
    strategy: { waves: ['5%'] },
  });
  const took = Array.from({ length: 9 }, () => {
    const startedAt = performance.now();
    planFleet(inventory, surveys, settings);
    return performance.now() - startedAt;
  });
  return figures(took);
}
