import { Command } from 'commander';
import { DeadMan } from '../hosts/engine/dead-man';
import { runMain } from './run-main';
import { openFleet, withFleetOptions, type FleetOptions } from './simulated-fleet';
import { createLogger, withLogOptions, type LogOptions } from './telemetry';

type Options = LogOptions & FleetOptions;

/** Watches the deadlines of paused VMs, in a process of its own: it must live when worker and server do not. */
async function main(): Promise<void> {
  const options = withLogOptions(
    withFleetOptions(
      new Command('dead-man').description('Brings VMs back whose deadline has passed.'),
    ),
  )
    .parse()
    .opts<Options>();
  const logger = createLogger('dead-man', options);
  const { store, hosts } = openFleet(options);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop.abort();
    });
  }
  await new DeadMan(hosts, (line) => {
    logger.warn(line);
  }).watch(stop.signal);
  await store.close();
}

runMain('dead-man', main);
