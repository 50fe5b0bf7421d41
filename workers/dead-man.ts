import { Command } from 'commander';
import { runMain } from './run-main';
import { openFleet, withFleetOptions, type FleetOptions } from './fleet-options';
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
  const hosts = openFleet(options);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop.abort();
    });
  }
  await hosts.watchDeadlines((line) => {
    logger.warn(line);
  }, stop.signal);
  await hosts.close();
}

runMain('dead-man', main);
