/** SIGKILL at any instant loses nothing: the next process goes on with the same keys. */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lineOf, startTypeScript } from '../../tools/processes/run-typescript';
import { random } from '../../support/random';
import { SimulatedFleet } from './simulated-fleet';

const KILLS = 15;
const script = join(__dirname, 'save-and-restore-for-ever.ts');

it(`every VM runs with its VF after ${String(KILLS)} kills at random instants`, async () => {
  const fleet = new SimulatedFleet({ vms: 3 });
  const next = random(Number(process.env['SEED'] ?? 20_240_427));
  try {
    const before = (await fleet.hosts.describe('host-01')).vms.map((vm) => vm.identity);
    const env = { ...process.env, FLEET: fleet.directory };
    const progress = () => fleet.store.host('host-01').journalSeq;
    let darkKills = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const child = startTypeScript(script, env);
      const exited = once(child, 'exit');
      await lineOf(child, (line) => line === 'begun');
      // An instant of its progress, not of the clock: on a busy machine it might not have got anywhere yet.
      const until = progress() + Math.floor(next() * 150);
      while (progress() < until) await delay(1);
      child.kill('SIGKILL');
      await exited;
      const vms = fleet.store.host('host-01').vmIds.map((id) => fleet.objects(id).vm);
      darkKills += vms.filter((vm) => vm.partition.state !== 'running').length;
    }
    // The kills did hit VMs that were dark, otherwise this proves nothing.
    expect(darkKills).toBeGreaterThan(3);

    const last = startTypeScript(script, { ...env, ROUNDS: '1' });
    const exited = once(last, 'exit');
    await lineOf(last, (line) => line === 'ended');
    await exited;

    const { vms, forbiddenCommands, invariants, quarantine } =
      await fleet.hosts.describe('host-01');
    expect(vms.map((vm) => vm.identity)).toEqual(before);
    for (const vm of vms)
      expect(vm).toMatchObject({
        phase: 'running',
        holder: null,
        dataPath: 'vf',
        facts: { path: 'kept', guestVisibleEvents: 0 },
      });
    expect({ forbiddenCommands, violated: invariants.violated, quarantine }).toEqual({
      forbiddenCommands: 0,
      violated: 0,
      quarantine: null,
    });
    expect(vms.every((vm) => vm.generation > 2)).toBe(true);

    // No effect happened twice: between two resumes of a VM there is one pause, one commit, one exit.
    for (const id of fleet.store.host('host-01').vmIds) {
      const seen = (await fleet.commands(id)).filter((c) =>
        [
          'Hypervisor.SuspendVirtualProcessors',
          'Repository.Commit',
          'VMWP.Exit',
          'Hypervisor.ResumeVirtualProcessors',
        ].includes(c),
      );
      for (const [i, command] of seen.entries()) {
        expect(command).toBe(
          [
            'Hypervisor.SuspendVirtualProcessors',
            'Repository.Commit',
            'VMWP.Exit',
            'Hypervisor.ResumeVirtualProcessors',
          ][i % 4],
        );
      }
    }
  } finally {
    await fleet.close();
  }
});
