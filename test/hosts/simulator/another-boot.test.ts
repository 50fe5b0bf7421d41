/** A host's moments are of one boot's clock: what that means for simulated VMs, at rest and on the move. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostNowMs } from '../../../hosts/engine/clock';
import { createFleet } from '../../../hosts/simulator/fleet';
import { SimulatedHosts } from '../../../hosts/simulator/simulated-host';
import { SimulatorStore } from '../../../hosts/simulator/store';
import { FROM, Move, TO, TwoHosts } from './migration/two-hosts';
import { HOST, NO_LATENCY, SAVE, SimulatedFleet, VmRun } from './simulated-fleet';

/** The clock of the new boot stands this much earlier, ms. */
const EARLIER = 3_600_000;

/** The same directory, after another boot of its machine. */
function booted(store: SimulatorStore): SimulatedHosts {
  for (const hostId of store.hostIds())
    store.updateHost(hostId, ({ host }) => {
      host.bootId = 'an earlier one';
    });
  const hosts = new SimulatedHosts(
    new SimulatorStore(store.directory, () => hostNowMs() - EARLIER),
    NO_LATENCY,
  );
  hosts.enterThisBoot();
  return hosts;
}

test('a saved VM is overdue at once, for as long as it has been dark', async () => {
  const fleet = new SimulatedFleet();
  await (await VmRun.save(fleet)).performAll(SAVE);
  const hosts = booted(fleet.store);
  const { deadlineMs } = hosts.store.vm(HOST, 'vm-01');
  expect(deadlineMs).toBeLessThanOrEqual(hosts.store.nowMs());
  const { darkForMs } = await hosts.describeVm(HOST, 'vm-01');
  expect(darkForMs).toBeGreaterThan(0);
  expect(darkForMs).toBeLessThan(60_000);
  await hosts.store.close();
  await fleet.close();
});

test('a fleet that was made before it and never used can be saved after it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-boot-'));
  const before = new SimulatorStore(directory);
  createFleet(before, { hosts: 1, vms: 1, seed: 1 });
  const hosts = booted(before);
  const save = await VmRun.save({ hosts, store: hosts.store } as unknown as SimulatedFleet);
  await save.performAll(['disableOptimizations', 'pauseVm']);
  expect(hosts.store.host(HOST).quarantine).toBeNull();
  await hosts.store.close();
  await before.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('in the middle of a migration', () => {
  let two: TwoHosts;
  let move: Move;
  let hosts: SimulatedHosts;
  beforeEach(async () => {
    two = new TwoHosts();
    move = await Move.begin(two);
    await move.go({ before: 'resumeMigratedVm' });
    hosts = booted(two.store);
  });
  afterEach(async () => {
    await hosts.store.close();
    await two.close();
  });

  test('the source has nothing to bring back of a VM that it has relinquished', async () => {
    expect(hosts.store.vm(FROM, 'vm-01').deadlineMs).toBeNull();
    await expect(hosts.takeForDeadMan(FROM, 'vm-01')).rejects.toMatchObject({ type: 'Fenced' });
  });

  test('the VM that is on its way goes on by the new clock, and knows how long it was dark', async () => {
    Object.assign(two, { store: hosts.store, hosts });
    await move.perform('destination', 'resumeMigratedVm');
    const { blackoutMs } = hosts.store.vm(TO, 'vm-01');
    expect(blackoutMs).toBeGreaterThan(0);
    expect(blackoutMs).toBeLessThan(60_000);
  });
});
