import { Command } from 'commander';
import { DeadMan } from '../hosts/simulator/dead-man';
import { loadProfile } from '../hosts/simulator/latency';
import { SimulatedHosts } from '../hosts/simulator/simulated-host';
import { HostStore } from '../hosts/simulator/store';
import { runMain } from './run-main';
import { createLogger, withTelemetryOptions, type TelemetryOptions } from './telemetry';

interface Options extends TelemetryOptions {
  readonly fleetDir: string;
  readonly profile: string;
}

/** Watches the deadlines of paused VMs, in a process of its own: it must live when worker and server do not. */
async function main(): Promise<void> {
  const options = withTelemetryOptions(
    new Command('dead-man')
      .description('Brings VMs back whose deadline has passed.')
      .requiredOption('--fleet-dir <directory>', 'where the hosts are')
      .option('--profile <name|file>', 'latency profile: default, zero, or a JSON file', 'default'),
  )
    .parse()
    .opts<Options>();
  const logger = createLogger('dead-man', options);
  const store = new HostStore(options.fleetDir);
  const hosts = new SimulatedHosts(store, loadProfile(options.profile));
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop.abort();
    });
  }
  await new DeadMan(store, hosts, (line) => {
    logger.warn(line);
  }).watch(stop.signal);
  await store.close();
}

runMain('dead-man', main);
