import { condition } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import type { VmDescription } from '../contract/host';
import type { Rolling } from '../contract/inputs';
import { canaryFailure, type Turns } from '../planning/canaries';
import { failure, failureMessage, failureType } from './failures';
import { hostStepCalls } from './host-steps';
import type { ServicedVms } from './serviced-vms';

interface InTurn extends Turns {
  readonly hostId: string;
  readonly generation: number;
  readonly version: string;
  readonly rolling: Rolling;
  readonly describe: (vmId: string) => Promise<VmDescription>;
  /** Why the VM must not go dark now; null: it may. */
  readonly notNow: (vmId: string) => Promise<string | null>;
}

/**
 * An update of what each VM has of its own: canaries first, each alone and looked at once it has run for a while, then the
 * others, some at a time. No VM waits for another, and none is dark for longer than its own steps take. What the update
 * does to one VM stops it before the next; the default of the host flips when all VMs have it.
 */
export async function serviceInTurn(vms: ServicedVms, run: InTurn): Promise<void> {
  const { canaries, others, rolling, version } = run;
  vms.onFailure = async (vmId, error) => {
    const isFatal = failureType(error) === 'VmStranded' || failureType(error) === 'InvariantBreach';
    if (rolling.onSaveFailure === 'continue' && !isFatal) vms.failed(error);
    else await vms.stopFor(`${vmId}: ${failureMessage(error)}`, error);
  };
  const turn = async (vmId: string): Promise<void> => {
    const why = await run.notNow(vmId);
    if (why !== null) {
      vms.failed(failure('BlackoutAllowanceSpent', `${vmId} was left as it is: ${why}`));
      return;
    }
    await vms.service(vmId);
    const back = vms.restored.get(vmId)?.vm;
    if (back !== undefined && back.stackVersion !== version && vms.goesOn()) {
      const what = `${vmId} runs ${back.stackVersion}: ${back.pathReason ?? 'its save was undone'}`;
      await vms.onFailure(vmId, failure('UpdateFailed', what));
    }
  };

  for (const vmId of canaries) {
    if (!vms.goesOn()) break;
    const before = await run.describe(vmId);
    await turn(vmId);
    if (!vms.goesOn()) break;
    const back = await run.describe(vmId);
    await condition(() => !vms.goesOn(), toMs(rolling.bakeFor));
    const baked = await run.describe(vmId);
    const wrong = canaryFailure({ before, back, baked, version });
    if (wrong !== null) await vms.stopFor(wrong, failure('CanaryFailed', wrong));
  }
  const waiting = [...others];
  const oneAfterTheOther = async (): Promise<void> => {
    while (vms.goesOn()) {
      const vmId = waiting.shift();
      if (vmId === undefined) return;
      await turn(vmId);
    }
  };
  await Promise.all(Array.from({ length: rolling.parallelism }, oneAfterTheOther));

  const all = [...canaries, ...others];
  if (all.some((vmId) => vms.restored.get(vmId)?.vm.stackVersion !== version)) return;
  try {
    await hostStepCalls(run.hostId).commitUpdate(run);
  } catch (error) {
    vms.failed(error);
  }
}
