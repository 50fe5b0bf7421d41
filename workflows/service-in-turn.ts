import { condition } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import type { VmDescription } from '../contract/host';
import type { Rolling } from '../contract/inputs';
import { canaryFailure } from '../planning/canaries';
import { failure, failureMessage, failureType } from './failures';
import { hostStepCalls } from './host-steps';
import type { ServicedVms } from './serviced-vms';

interface InTurn {
  /** VMs of one class meet an update in the same way. */
  readonly classes: readonly (readonly string[])[];
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
  const { classes, rolling, version } = run;
  vms.onFailure = async (vmId, error) => {
    const isFatal = failureType(error) === 'VmStranded' || failureType(error) === 'InvariantBreach';
    if (rolling.onSaveFailure === 'continue' && !isFatal) vms.failed(error);
    else await vms.stopFor(`${vmId}: ${failureMessage(error)}`, error);
  };
  const isThere = (vmId: string) => vms.restored.get(vmId)?.vm.stackVersion === version;
  const turn = async (vmId: string): Promise<void> => {
    const why = await run.notNow(vmId);
    if (why !== null) {
      vms.failed(failure('BlackoutAllowanceSpent', `${vmId} was left as it is: ${why}`));
      return;
    }
    await vms.service(vmId);
    const back = vms.restored.get(vmId)?.vm;
    if (back !== undefined && !isThere(vmId) && vms.goesOn()) {
      const what = `${vmId} runs ${back.stackVersion}: ${back.pathReason ?? 'its save was undone'}`;
      await vms.onFailure(vmId, failure('UpdateFailed', what));
    }
  };
  const asCanary = async (vmId: string): Promise<void> => {
    const before = await run.describe(vmId);
    await turn(vmId);
    if (!isThere(vmId) || !vms.goesOn()) return;
    const back = await run.describe(vmId);
    const summary = `the canary ${vmId} runs for ${rolling.bakeFor}`;
    await condition(() => !vms.goesOn(), toMs(rolling.bakeFor), { summary });
    const baked = await run.describe(vmId);
    const wrong = canaryFailure({ before, back, baked, version });
    if (wrong !== null) await vms.stopFor(wrong, failure('CanaryFailed', wrong));
  };

  const waiting: string[] = [];
  for (const of of classes) {
    // One that was not updated has proved nothing: the next of its class is the canary then.
    const rest = [...of];
    while (vms.goesOn() && rest.length > 0 && of.filter(isThere).length < rolling.canary)
      await asCanary(rest.shift() ?? '');
    waiting.push(...rest);
  }
  const oneAfterTheOther = async (): Promise<void> => {
    while (vms.goesOn()) {
      const vmId = waiting.shift();
      if (vmId === undefined) return;
      await turn(vmId);
    }
  };
  await Promise.all(Array.from({ length: rolling.parallelism }, oneAfterTheOther));

  if (!vms.goesOn() || !classes.flat().every(isThere)) return;
  try {
    await hostStepCalls(run.hostId).commitUpdate(run);
  } catch (error) {
    vms.failed(error);
  }
}
