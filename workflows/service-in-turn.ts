import { condition } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import type { VmDescription } from '../contract/host';
import type { Mode, Rolling } from '../contract/inputs';
import { canaryFailure, type VmClass } from '../planning/canaries';
import { failure, failureMessage, failureType } from './failures';
import { hostStepCalls } from './host-steps';
import type { ServicedVms } from './serviced-vms';

interface InTurn {
  readonly classes: readonly VmClass[];
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
    if (back?.path === 'restarted') {
      // Whatever the policy says: the next VM would lose its memory too.
      const what = `${vmId} was started cold: ${back.pathReason ?? ''}`;
      await vms.stopFor(what, failure('VmRestarted', what));
    } else if (back !== undefined && !isThere(vmId) && vms.goesOn()) {
      const what = `${vmId} runs ${back.stackVersion}: ${back.pathReason ?? 'its save was undone'}`;
      await vms.onFailure(vmId, failure('UpdateFailed', what));
    }
  };
  const asCanary = async (vmId: string, mode: Mode): Promise<void> => {
    const before = await run.describe(vmId);
    await turn(vmId);
    if (!isThere(vmId) || !vms.goesOn()) return;
    const back = await run.describe(vmId);
    const summary = `the canary ${vmId} runs for ${rolling.bakeFor}`;
    await condition(() => !vms.goesOn(), toMs(rolling.bakeFor), { summary });
    const baked = await run.describe(vmId);
    const wrong = canaryFailure({ before, back, baked, version, mode });
    if (wrong !== null) await vms.stopFor(wrong, failure('CanaryFailed', wrong));
  };

  /** A host that cannot be asked ends the turns, not the run: what was done is still to be told. */
  const orStop = async (vmId: string, done: Promise<void>): Promise<void> => {
    try {
      await done;
    } catch (error) {
      await vms.stopFor(`${vmId}: ${failureMessage(error)}`, error);
    }
  };

  const waiting: string[] = [];
  for (const { mode, vmIds } of classes) {
    // One that was not updated has proved nothing: the next of its class is the canary then.
    const rest = [...vmIds];
    while (vms.goesOn() && rest.length > 0 && vmIds.filter(isThere).length < rolling.canary) {
      const vmId = rest.shift() ?? '';
      await orStop(vmId, asCanary(vmId, mode));
    }
    waiting.push(...rest);
  }
  const oneAfterTheOther = async (): Promise<void> => {
    while (vms.goesOn()) {
      const vmId = waiting.shift();
      if (vmId === undefined) return;
      await orStop(vmId, turn(vmId));
    }
  };
  await Promise.all(Array.from({ length: rolling.parallelism }, oneAfterTheOther));

  if (!vms.goesOn() || !classes.flatMap(({ vmIds }) => vmIds).every(isThere)) return;
  try {
    await hostStepCalls(run.hostId).commitUpdate(run);
  } catch (error) {
    vms.failed(error);
  }
}
