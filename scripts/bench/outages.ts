import { setTimeout as delay } from 'node:timers/promises';
import type { StepPlacement } from '../../contract/inputs';
import type { Stack } from '../stack';
import { service, untilStep, withStack } from './serviced';

/** What goes down while one VM is dark. */
const OUTAGES: Readonly<Record<string, (stack: Stack) => Promise<void>>> = {
  'host worker killed': (stack) => kill(stack, 'host'),
  'orchestrator killed': (stack) => kill(stack, 'orchestrator'),
  'server frozen for 5 s': async (stack) => {
    process.kill(stack.serverPid, 'SIGSTOP');
    await delay(5_000);
    process.kill(stack.serverPid, 'SIGCONT');
  },
};

async function kill(stack: Stack, role: 'host' | 'orchestrator'): Promise<void> {
  process.kill(stack.pid(role), 'SIGKILL');
  await Promise.resolve();
}

/** The blackout that each outage costs one VM, when it comes while the VM is being saved, ms. */
export async function outageBlackouts(placement: StepPlacement): Promise<Record<string, number>> {
  const blackouts: Record<string, number> = {};
  for (const [name, happen] of Object.entries(OUTAGES)) {
    blackouts[name] = await withStack({ vms: 1, profile: 'zero' }, async (stack) => {
      await service(stack, { stepPlacement: placement });
      const dark = untilStep(stack, 'vm-01', 'saveVm');
      // A slow step keeps the VM dark long enough for the outage to hit it there.
      const serviced = service(stack, {
        stepPlacement: placement,
        faults: [{ vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: '300ms' }],
      });
      await dark;
      await happen(stack);
      const { result } = await serviced;
      const [vm] = result.vms;
      if (vm?.facts.path !== 'kept')
        throw new Error(`${name}: vm-01 came back as ${String(vm?.facts.path)}`);
      return Math.round(vm.facts.blackoutMs);
    });
  }
  return blackouts;
}
