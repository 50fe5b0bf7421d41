/**
 * Saves and restores its VMs until it is killed, and goes on where an earlier process of it was killed: each VM's
 * holder is the same one, so it gets the same lease and the same keys. Prints `begun`; with ROUNDS it ends after as many.
 */
import { alone, restoreFlow, saveFlow } from '../../../contract/flows';
import { loadProfile } from '../../../hosts/simulator/latency';
import { SimulatedHosts } from '../../../hosts/simulator/simulated-host';
import { SimulatorStore } from '../../../hosts/simulator/store';
import type { VmStep } from '../../../contract/steps';

const settings = {
  mode: 'modified',
  holdMode: 'omit',
  virtualFunctionRestore: 'step-by-step',
  blackoutBudgetMs: 30_000,
  maxSavedForMs: 300_000,
} as const;

const SAVE = alone(saveFlow(settings));
const RESTORE = alone(restoreFlow(settings));

const store = new SimulatorStore(process.env['FLEET'] ?? '');
const hosts = new SimulatedHosts(store, loadProfile('zero'));
const [hostId] = store.hostIds();
if (hostId === undefined) throw new Error('no host');
const rounds = Number(process.env['ROUNDS'] ?? Infinity);

/** One half of a round; its own run, so that a later one is another holder. */
async function half(
  vmId: string,
  kind: 'save' | 'restore',
  steps: readonly VmStep[],
): Promise<void> {
  if (hostId === undefined) return;
  const request = {
    hostId,
    vmId,
    holder: { workflowId: `${kind}/${vmId}`, runId: 'for-ever' },
    parent: null,
    settings,
    faults: [],
  };
  const { generation } = await (kind === 'save'
    ? hosts.beginSave(request)
    : hosts.beginRestore(request));
  for (const step of steps) {
    await hosts.perform(
      step,
      { hostId, vmId, generation, direction: 'forward' },
      new AbortController().signal,
    );
  }
}

async function forEver(vmId: string): Promise<void> {
  // Where the killed process left it: a VM under a save, saved, or under a restore.
  const left = store.vm(store.hostIds()[0] ?? '', vmId);
  let restoreFirst =
    left.lease?.kind === 'restore' || (left.lease === null && left.partition.state !== 'running');
  for (let round = 0; round < rounds; round += 1) {
    if (!restoreFirst) await half(vmId, 'save', SAVE);
    restoreFirst = false;
    await half(vmId, 'restore', RESTORE);
  }
}

process.stdout.write('begun\n');
void Promise.all(store.host(hostId).vmIds.map(forEver)).then(async () => {
  await store.close();
  process.stdout.write('ended\n');
});
