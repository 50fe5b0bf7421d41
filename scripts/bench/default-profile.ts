import { readFileSync } from 'node:fs';
import type { Stack } from '../stack';
import { figures, type Figures } from './figures';
import { HOST_WIDE, service, withStack } from './serviced';
import { ownMs } from './vm-by-vm';

/** A host-wide update: all VMs are dark until the last of them is saved and the update committed. */
export interface HostWideFigures {
  /** The longest blackout of each run, ms. */
  readonly longest: Figures;
  /** Of that, what the commit and the steps of the slowest VM took on the host. */
  readonly ratio: number;
}

/** Default latencies; each run has another version to go to. */
export async function hostWideFigures(vms: number, rounds: number): Promise<HostWideFigures> {
  return withStack({ vms, profile: 'default' }, async (stack) => {
    const longest: number[] = [];
    const ratios: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const update = { ...HOST_WIDE, version: `2.0.${round}` };
      const afterSeq = (await stack.hosts.driver.describe('host-01')).journalSeq;
      const { result } = await service(stack, { update });
      const blackoutMs = Math.max(...result.vms.map((vm) => vm.facts.blackoutMs));
      const slowestMs = Math.max(...result.vms.map(ownMs));
      longest.push(blackoutMs);
      ratios.push(blackoutMs / ((await commitMs(stack, afterSeq)) + slowestMs));
    }
    return { longest: figures(longest), ratio: Math.round(100 * median(ratios)) / 100 };
  });
}

async function commitMs({ hosts }: Stack, afterSeq: number): Promise<number> {
  const journal = await hosts.driver.readJournal('host-01', { afterSeq, limit: 50_000 });
  const ofCommit = journal.filter(({ step }) => step === 'commitUpdate');
  return (ofCommit.at(-1)?.hostTimeMs ?? NaN) - (ofCommit[0]?.hostTimeMs ?? NaN);
}

/** The longest blackout of any VM when one of them cannot be saved, so that none is, ms. */
export async function failedSaveFigures(vms: number, rounds: number): Promise<Figures> {
  return withStack({ vms, profile: 'default' }, async (stack) => {
    const longest: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const faults = [
        { vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1_000 },
      ] as const;
      await service(stack, { faults: [...faults] }).then(
        () => {
          throw new Error('a host was updated although a VM of it could not be saved');
        },
        () => undefined,
      );
      const { vms: seen } = await stack.hosts.driver.describe('host-01');
      longest.push(Math.max(...seen.map((vm) => vm.facts.blackoutMs)));
    }
    return figures(longest);
  });
}

/** Resident memory of the host worker after servicing its host, MB. */
export async function hostWorkerMemoryMb(vms: number): Promise<number> {
  return withStack({ vms, profile: 'zero' }, async (stack) => {
    await service(stack);
    const status = readFileSync(`/proc/${stack.pid('host')}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  });
}

const median = (values: readonly number[]): number => figures(values).p50;
