import { Command } from 'commander';
import { Hosts } from '../hosts/open-hosts';
import { completeInventory } from '../workers/inventory';
import { runMain } from '../workers/run-main';
import { adaptersOption, wholeNumber, type AdapterMix } from './options';

/** Makes simulated hosts in a directory; those that exist already are left as they are. */
async function main(): Promise<void> {
  const options = new Command('create-fleet')
    .description('Makes simulated hosts full of VMs.')
    .requiredOption('--fleet-dir <directory>', 'where they go')
    .option('--hosts <number>', 'how many hosts', wholeNumber(1, 1000), 1)
    .option('--vms <number>', 'VMs on each', wholeNumber(0, 256), 8)
    .option('--empty-hosts <number>', 'more hosts, without VMs', wholeNumber(0, 1000), 0)
    .option('--fault-domains <number>', 'over which they are spread', wholeNumber(1, 1000), 2)
    .option(
      '--inventory <file>',
      'write the hosts into this inventory; what it says of hosts it has already stays',
    )
    .option('--seed <number>', 'same seed, same fleet and latencies', wholeNumber(0, 2 ** 31), 1)
    .addOption(adaptersOption())
    .option(
      '--custody-below-vsp',
      'the hosts keep bus connections below the VPCI VSP, so that it can be updated too',
    )
    .parse()
    .opts<{
      fleetDir: string;
      hosts: number;
      vms: number;
      emptyHosts: number;
      seed: number;
      faultDomains: number;
      inventory?: string;
      custodyBelowVsp?: boolean;
      adapters: AdapterMix;
    }>();
  const fleet = Hosts.open(options.fleetDir, { profile: 'default' });
  const hostIds = fleet.create({ ...options, hosts: options.hosts + options.emptyHosts });
  if (options.inventory !== undefined) completeInventory(options.inventory, fleet.inventory());
  process.stdout.write(`${options.fleetDir}: ${hostIds.join(', ')}\n`);
  await fleet.close();
}

runMain('create-fleet', main);
