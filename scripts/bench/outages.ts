import { setTimeout as delay } from 'node:timers/promises';
import type { Stack } from '../stack';
import { service, untilStep, withStack } from './serviced';

/** What goes down while one VM is dark. */
const OUTAGES = {
  undisturbed: () => Promise.resolve(),
  hostWorkerKilled: (stack) => kill(stack, 'host'),
  orchestratorKilled: (stack) => kill(stack, 'orchestrator'),
  serverFrozen: async (stack) => {
    process.kill(stack.serverPid, 'SIGSTOP');
    await delay(5_000);
    process.kill(stack.serverPid, 'SIGCONT');
  },
} as const satisfies Readonly<Record<string, (stack: Stack) => Promise<void>>>;

async function kill(stack: Stack, role: 'host' | 'orchestrator'): Promise<void> {
  process.kill(stack.pid(role), 'SIGKILL');
  await Promise.resolve();
}

/** How long the step that each outage hits takes, ms. */
const STEP_MS = 300;

/** By how much each outage prolongs the blackout of one VM, when it comes while the VM is being saved, ms: medians. */
export async function outageExtras(
  rounds: number,
): Promise<Record<Exclude<keyof typeof OUTAGES, 'undisturbed'>, number>> {
  const measured = new Map<string, number[]>();
  await withStack({ vms: 1, profile: 'zero' }, async (stack) => {
    await service(stack);
    for (let round = 0; round < rounds; round += 1)
      for (const [name, happen] of Object.entries(OUTAGES)) {
        const dark = untilStep(stack, 'vm-01', 'saveVm');
        // A slow step keeps the VM dark long enough for the outage to hit it there.
        const serviced = service(stack, {
          faults: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: `${STEP_MS}ms` }],
        });
        await dark;
        await happen(stack);
        const [vm] = (await serviced).result.vms;
        if (vm?.facts.path !== 'kept')
          throw new Error(`${name}: vm-01 came back as ${String(vm?.facts.path)}`);
        measured.set(name, [...(measured.get(name) ?? []), vm.facts.blackoutMs]);
        await stack.ready();
      }
  });
  const median = (name: keyof typeof OUTAGES) => {
    const sorted = [...(measured.get(name) ?? [])].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? NaN;
  };
  const extra = (name: keyof typeof OUTAGES) => Math.round(median(name) - median('undisturbed'));
  return {
    // The step is begun anew, and is not slow the second time: its repeat is not counted.
    hostWorkerKilled: extra('hostWorkerKilled') + STEP_MS,
    orchestratorKilled: extra('orchestratorKilled'),
    serverFrozen: extra('serverFrozen'),
  };
}
