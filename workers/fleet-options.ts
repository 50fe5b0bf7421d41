import { InvalidArgumentError, type Command } from 'commander';
import { Hosts, type Latencies } from '../hosts/open-hosts';

export interface FleetOptions extends Latencies {
  readonly fleetDir: string;
}

const factor = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('must be a number of 0 or more');
  }
  return value;
};

/** The options of every process that performs steps of simulated hosts: they must agree on the latencies. */
export const withFleetOptions = (command: Command): Command =>
  command
    .requiredOption('--fleet-dir <directory>', 'where the hosts are (npm run create-fleet)')
    .option('--profile <name|file>', 'latency profile: default, zero, or a JSON file', 'default')
    .option('--time-scale <factor>', 'scales the latencies of the profile; 1 = real', factor);

export const openFleet = ({ fleetDir, ...latencies }: FleetOptions): Hosts =>
  Hosts.open(fleetDir, latencies);
