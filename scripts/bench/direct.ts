import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationSettings } from '../../contract/host';
import { alone, restoreFlow, saveFlow } from '../../contract/flows';
import type { HostDriver } from '../../hosts/host-driver';
import { Hosts } from '../../hosts/open-hosts';

const SETTINGS: OperationSettings = {
  mode: 'modified',
  holdMode: 'instruct-skip',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: 10_000,
  maxSavedForMs: 60_000,
};

const SAVE = alone(saveFlow(SETTINGS));
const RESTORE = alone(restoreFlow(SETTINGS));

/** The limit: the same steps by direct driver calls, without any durable engine. Blackouts of all VMs, ms. */
export async function directBlackouts(vms: number, rounds: number): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const hosts = Hosts.open(directory, { profile: 'zero' });
  try {
    const [hostId = ''] = hosts.create({ hosts: 1, vms, seed: 1 });
    const { driver } = hosts;
    const { signal } = new AbortController();
    const blackouts: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all(
        hosts.vmIds(hostId).map((vmId) => saveAndRestore(driver, hostId, vmId, round, signal)),
      );
      const { vms: seen } = await driver.describe(hostId);
      blackouts.push(...seen.map((vm) => vm.facts.blackoutMs));
    }
    return blackouts;
  } finally {
    await hosts.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function saveAndRestore(
  driver: HostDriver,
  hostId: string,
  vmId: string,
  round: number,
  signal: AbortSignal,
): Promise<void> {
  const request = { hostId, vmId, parent: null, settings: SETTINGS, faults: [] };
  const holder = (kind: string) => ({ workflowId: `${kind}/${vmId}`, runId: String(round) });
  for (const [begin, steps] of [
    [() => driver.beginSave({ ...request, holder: holder('save') }), SAVE],
    [() => driver.beginRestore({ ...request, holder: holder('restore') }), RESTORE],
  ] as const) {
    const { generation } = await begin();
    for (const step of steps)
      await driver.perform(step, { hostId, vmId, generation, direction: 'forward' }, signal);
  }
}
