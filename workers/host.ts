import { Command } from 'commander';
import { Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { createHostActivities } from '../activities/host-activities';
import { HostMetrics } from '../activities/host-metrics/host-metrics';
import { createHostRecords } from '../activities/host-records';
import { hostControlQueue, hostQueue } from '../contract/queues';
import { connectWorker, loadConnection } from './connection';
import { keepFunctionPolicy } from './function-policy';
import { lookAtHosts, sampleHosts } from './host-sampler';
import { runMain } from './run-main';
import { openFleet, withFleetOptions, type FleetOptions } from './fleet-options';
import {
  createLogger,
  installRuntime,
  withTelemetryOptions,
  type TelemetryOptions,
} from './telemetry';
import { startTracing } from './tracing';

interface Options extends TelemetryOptions, FleetOptions {
  readonly name: string;
  readonly hosts?: string[];
  readonly functionPolicy?: string;
}

/**
 * Serves the simulated hosts of a fleet directory: one activity worker for each host. What was issued for a dark VM is
 * gone on with before anything else, and ended on SIGTERM before the process is.
 */
async function main(): Promise<void> {
  const options = withTelemetryOptions(
    withFleetOptions(new Command('host').description('Performs the steps of simulated hosts.'))
      .option('--name <name>', 'stable name of this process, in logs and traces', 'host-worker-1')
      .option('--hosts <hostId...>', 'only these hosts; default: all of the directory')
      .option(
        '--function-policy <file>',
        'who may command what of a function, YAML or JSON; read again when it changes. Default: what the directory holds',
      ),
  )
    .parse()
    .opts<Options>();
  const logger = createLogger(options.name, options);
  installRuntime(logger, options);

  const hosts = openFleet(options);
  const { driver } = hosts;
  const hostIds = options.hosts ?? hosts.hostIds();
  if (hostIds.length === 0)
    throw new Error(
      `There is no host in ${options.fleetDir}: make some with "npm run create-fleet".`,
    );
  for (const hostId of hostIds) hosts.goOn(hostId);

  const stopped = new AbortController();
  const metrics =
    options.metricsAddress === undefined
      ? undefined
      : new HostMetrics(Runtime.instance().metricMeter);
  const { functionPolicy } = options;
  const keepingPolicy =
    functionPolicy === undefined
      ? undefined
      : keepFunctionPolicy(
          hosts,
          functionPolicy,
          {
            onLoaded: (version) => {
              logger.warn(`function policy ${version} of ${functionPolicy} is in force`);
              metrics?.functionPolicy({ inForce: true, rejected: false });
            },
            onRejected: (why, staysInForce) => {
              const then =
                staysInForce === null
                  ? 'there is no other: every function command is denied'
                  : `version ${staysInForce} stays in force`;
              logger.error(`function policy rejected, ${then}: ${why}`);
              metrics?.functionPolicy({ inForce: staysInForce !== null, rejected: true });
            },
          },
          stopped.signal,
        );
  metrics?.functionPolicy({ inForce: hosts.hasFunctionPolicy(), rejected: false });

  if (metrics !== undefined) await lookAtHosts(hostIds, driver, metrics, logger);

  const configuration = loadConnection();
  const connection = await connectWorker(configuration);
  const tracing = await startTracing(options, options.name, logger);
  const performed = createHostActivities(driver);
  const activities = {
    ...(metrics?.around(performed) ?? performed),
    ...createHostRecords(driver),
  };
  const common = {
    connection,
    namespace: configuration.namespace,
    activities,
    shutdownGraceTime: '1s',
    ...tracing?.workerOptions,
  } satisfies Partial<WorkerOptions>;
  const workers = await Promise.all(
    hostIds.flatMap((hostId) => [
      Worker.create({
        ...common,
        taskQueue: hostQueue(hostId),
        maxConcurrentActivityTaskPolls: 5,
        maxConcurrentActivityTaskExecutions: slotsFor(hosts.vmIds(hostId).length),
      }),
      Worker.create({
        ...common,
        taskQueue: hostControlQueue(hostId),
        maxConcurrentActivityTaskPolls: 2,
      }),
    ]),
  );
  const sampling =
    metrics === undefined
      ? undefined
      : sampleHosts(hostIds, driver, metrics, logger, stopped.signal);
  try {
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    stopped.abort();
    await hosts.endBlackouts();
  }
  await Promise.all([sampling, keepingPolicy]);
  await tracing?.stop();
  await connection.close();
  await hosts.close();
}

/** Every step of every VM's save and restore may wait on the host at once, beside the calls about them. */
const slotsFor = (vms: number): number => 64 + vms * (VM_STEPS_AT_ONCE + 4);
const VM_STEPS_AT_ONCE = 24;

runMain('host', main);
