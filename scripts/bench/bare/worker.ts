import { Worker, type WorkerOptions } from '@temporalio/worker';
import { connectWorker, loadConnection } from '../../../workers/connection';
import { runMain } from '../../../workers/run-main';

/** The queue of the bare workflows; those of empty activities are named on the command line, and then nothing else is served. */
export const BARE_QUEUE = 'bare';

/** As many workers as an orchestrator or a host worker of ours has, with nothing in them. */
async function main(): Promise<void> {
  const queues = process.argv.slice(2);
  const configuration = loadConnection();
  const connection = await connectWorker(configuration);
  const common = { connection, namespace: configuration.namespace };
  const options: WorkerOptions[] =
    queues.length === 0
      ? [{ ...common, taskQueue: BARE_QUEUE, workflowsPath: require.resolve('./workflow') }]
      : queues.map((taskQueue) => ({
          ...common,
          taskQueue,
          activities: { nothing: () => undefined },
          maxConcurrentActivityTaskPolls: 5,
        }));
  const workers = await Promise.all(options.map((each) => Worker.create(each)));
  await Promise.all(workers.map((worker) => worker.run()));
  await connection.close();
}

if (require.main === module) runMain('bare worker', main);
