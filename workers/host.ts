import { Command } from 'commander';
import { Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { createHostActivities } from '../activities/host-activities';
import { HostMetrics } from '../activities/host-metrics/host-metrics';
import { createHostRecords } from '../activities/host-records';
import { hostQueue, vmWorkflowQueue } from '../contract/queues';
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
import { workflowCode } from './workflow-code';

interface Options extends TelemetryOptions, FleetOptions {
  readonly name: string;
  readonly hosts?: string[];
  readonly workflowBundle?: string;
  readonly functionPolicy?: string;
}

/**
 * Serves the simulated hosts of a fleet directory: one activity worker for each host, and one workflow worker for the
 * VMs of all of them, whose dark steps then run in this very process. Ends gracefully on SIGTERM.
 */
async function main(): Promise<void> {
  const options = withTelemetryOptions(
    withFleetOptions(new Command('host').description('Performs the steps of simulated hosts.'))
      .option(
        '--name <name>',
        'stable name of this process; its workflow queue is named after it',
        'host-worker-1',
      )
      .option('--hosts <hostId...>', 'only these hosts; default: all of the directory')
      .option(
        '--function-policy <file>',
        'who may command what of a function, YAML or JSON; read again when it changes. Default: what the directory holds',
      )
      .option(
        '--workflow-bundle <file>',
        'prebuilt workflow code (npm run build); without it, it is built at start',
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
  const vms = hostIds.reduce((count, hostId) => count + hosts.vmIds(hostId).length, 0);
  hosts.served(hostIds, options.name);

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
  const workers = await Promise.all([
    Worker.create({
      ...common,
      taskQueue: vmWorkflowQueue(options.name),
      ...workflowCode(options.workflowBundle, { traced: tracing !== undefined }),
      // A local step holds its workflow task's slot: every VM's save and its restore may need one at the same time.
      maxConcurrentWorkflowTaskExecutions: Math.max(40, 2 * vms + 8),
      maxConcurrentLocalActivityExecutions: Math.max(100, 2 * vms + 8),
      maxCachedWorkflows: Math.max(100, 4 * vms),
      stickyQueueScheduleToStartTimeout: '1s',
    }),
    ...hostIds.map((hostId) =>
      Worker.create({
        ...common,
        taskQueue: hostQueue(hostId),
        maxConcurrentActivityTaskPolls: 2,
        maxConcurrentActivityTaskExecutions: 256,
      }),
    ),
  ]);
  const sampling =
    metrics === undefined
      ? undefined
      : sampleHosts(hostIds, driver, metrics, logger, stopped.signal);
  try {
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    stopped.abort();
  }
  await Promise.all([sampling, keepingPolicy]);
  await tracing?.stop();
  await connection.close();
  await hosts.close();
}

runMain('host', main);
