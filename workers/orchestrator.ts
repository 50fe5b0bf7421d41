import { join } from 'node:path';
import { Command } from 'commander';
import { Runtime, Worker } from '@temporalio/worker';
import { createFleetActivities } from '../activities/fleet/create-fleet-activities';
import { countedFleetActivities } from '../activities/fleet/fleet-metrics';
import { FleetStore } from '../activities/fleet/fleet-store';
import { createOrchestratorActivities } from '../activities/orchestrator-activities';
import { HOLDFAST_QUEUE } from '../contract/queues';
import { connectClient, connectWorker, loadConnection } from './connection';
import { loadInventory } from './inventory';
import { runMain } from './run-main';
import { ensureSearchAttributes } from './search-attributes';
import {
  createLogger,
  installRuntime,
  withTelemetryOptions,
  type TelemetryOptions,
} from './telemetry';
import { startTracing } from './tracing';
import { workflowCode } from './workflow-code';

interface Options extends TelemetryOptions {
  readonly workflowBundle?: string;
  readonly inventory?: string;
  readonly dataDir: string;
}

/** Polls the queue that people and scripts start workflows on. Ends gracefully on SIGTERM. */
async function main(): Promise<void> {
  const options = withTelemetryOptions(
    new Command('orchestrator')
      .description(
        'Runs what people start: updateFleet, serviceHost, and fastSave and fastRestore on their own.',
      )
      .option(
        '--inventory <file>',
        'the hosts that fleet updates choose from, YAML or JSON; without it, each run brings its own',
      )
      .option(
        '--data-dir <directory>',
        'where fleet updates keep plans and what became of each host',
        join('.holdfast', 'orchestrator'),
      )
      .option(
        '--workflow-bundle <file>',
        'prebuilt workflow code (npm run build); without it, it is built at start',
      ),
  )
    .parse()
    .opts<Options>();
  const logger = createLogger('orchestrator', options);
  installRuntime(logger, options);

  const configuration = loadConnection();
  const client = await connectClient(configuration);
  await ensureSearchAttributes(client, configuration.namespace);
  const connection = await connectWorker(configuration);
  const store = new FleetStore(options.dataDir);
  const tracing = await startTracing(options, 'orchestrator', logger);
  const fleet = createFleetActivities(store, () => loadInventory(options.inventory), process.env);
  const worker = await Worker.create({
    connection,
    namespace: configuration.namespace,
    taskQueue: HOLDFAST_QUEUE,
    ...workflowCode(options.workflowBundle, { traced: tracing !== undefined }),
    activities: {
      ...createOrchestratorActivities(client),
      ...countedFleetActivities(fleet, Runtime.instance().metricMeter),
    },
    stickyQueueScheduleToStartTimeout: '1s',
    ...tracing?.workerOptions,
  });
  await worker.run();
  await tracing?.stop();
  await connection.close();
  await client.connection.close();
  await store.close();
}

runMain('orchestrator', main);
