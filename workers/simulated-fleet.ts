import { InvalidArgumentError, type Command } from 'commander';
import { ensurePolicy } from '../hosts/simulator/functions/policy-in-force';
import { loadProfile } from '../hosts/simulator/latency';
import { SimulatedHosts } from '../hosts/simulator/simulated-host';
import { SimulatorStore } from '../hosts/simulator/store';

export interface FleetOptions {
  readonly fleetDir: string;
  readonly profile: string;
  readonly timeScale?: number;
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

/** Opens the hosts of a fleet directory with their latencies. */
export function openFleet(options: FleetOptions): { store: SimulatorStore; hosts: SimulatedHosts } {
  const profile = loadProfile(options.profile);
  const timeScale = options.timeScale ?? profile.timeScale;
  const store = new SimulatorStore(options.fleetDir);
  ensurePolicy(store);
  return { store, hosts: new SimulatedHosts(store, { ...profile, timeScale }) };
}
