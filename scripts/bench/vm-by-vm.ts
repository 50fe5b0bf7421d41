import { WorkflowFailedError } from '@temporalio/client';
import type { ServiceHostInput } from '../../contract/inputs';
import type { ServiceHostResult } from '../../contract/results';
import { VM_STEPS } from '../../contract/steps';
import type { Stack } from '../stack';
import { figures } from './figures';
import { service, withStack } from './serviced';

/** A component that each VM has of its own, default latencies. Times in ms. */
export interface VmByVmFigures {
  readonly defaultProfile: {
    readonly blackouts: number;
    readonly p50Ms: number;
    readonly p99Ms: number;
    /** What a blackout is longer than its VM's own steps. */
    readonly overOwnStepsP99Ms: number;
  };
  /** One VM cannot be saved: the longest blackout of any VM. */
  readonly failedSave: { readonly maxMs: number };
  /** The new version cannot read the record of the canary. */
  readonly retreat: { readonly maxMs: number; readonly vfsLost: number };
}

const VMS = 16;
const RUNS = 13;
const OUTAGE_RUNS = 3;
const rolling = { bakeFor: '0s' };

export async function vmByVmFigures(): Promise<VmByVmFigures> {
  const defaultProfile = await withStack({ vms: VMS, profile: 'default' }, async (stack) => {
    const vms: ServiceHostResult['vms'][number][] = [];
    for (let run = 1; run <= RUNS; run += 1) {
      const { result } = await service(stack, { update: to(run), rolling });
      vms.push(...result.vms);
    }
    const dark = figures(vms.map(({ facts }) => facts.blackoutMs));
    const over = figures(vms.map((vm) => vm.facts.blackoutMs - ownMs(vm)));
    const [p50Ms, p99Ms, overOwnStepsP99Ms] = [dark.p50, dark.p99, over.p99];
    return { blackouts: vms.length, p50Ms, p99Ms, overOwnStepsP99Ms };
  });
  return withStack({ vms: 4, profile: 'default' }, async (stack) => {
    const [saves, retreats]: { maxMs: number; vfsLost: number }[][] = [[], []];
    for (let run = 1; run <= OUTAGE_RUNS; run += 1) {
      const often = { kind: 'fail-before', times: 1_000 } as const;
      saves?.push(await failing(stack, to(run), [{ vmId: 'vm-02', step: 'saveVm', ...often }]));
      await service(stack, { update: to(run), rolling });
      const unreadable = [{ step: 'stageUpdate', kind: 'cannot-read-record' }] as const;
      retreats?.push(await failing(stack, to(run + OUTAGE_RUNS), [...unreadable]));
    }
    const worst = (of: readonly { maxMs: number }[] = []) => Math.max(...of.map((r) => r.maxMs));
    const vfsLost = (retreats ?? []).reduce((sum, run) => sum + run.vfsLost, 0);
    return {
      defaultProfile,
      failedSave: { maxMs: worst(saves) },
      retreat: { maxMs: worst(retreats), vfsLost },
    };
  });
}

const to = (run: number): ServiceHostInput['update'] => ({ version: `2.0.${run}` });

/** What its own dark steps took on the host, from the pause to the resumption. */
export const ownMs = ({ steps }: ServiceHostResult['vms'][number]): number =>
  steps
    .filter(({ name }) => VM_STEPS[name as keyof typeof VM_STEPS].kind === 'dark')
    .reduce((sum, { ms }) => sum + ms, 0);

/** A run that must not succeed: the longest blackout in it, and VFs that are not what they were. */
async function failing(
  stack: Stack,
  update: ServiceHostInput['update'],
  faults: ServiceHostInput['faults'],
) {
  const { driver } = stack.hosts;
  const startedAtMs = (await driver.describe('host-01')).describedAtMs;
  await service(stack, { update, rolling, faults }).then(
    () => {
      throw new Error('a host was updated by an update that could not be');
    },
    (error: unknown) => {
      if (!(error instanceof WorkflowFailedError)) throw error;
    },
  );
  const { vms } = await driver.describe('host-01');
  const dark = vms.flatMap(({ blackouts }) => blackouts.filter((b) => b.endedAtMs > startedAtMs));
  return {
    maxMs: Math.round(Math.max(...dark.map(({ ms }) => ms))),
    vfsLost: vms.filter(({ facts }) => facts.path !== 'kept').length,
  };
}
