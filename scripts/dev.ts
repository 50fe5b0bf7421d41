import { join } from 'node:path';
import { Command } from 'commander';
import type { UpdateFleetInput } from '../contract/fleet-input';
import type { FastRestoreInput, FastSaveInput, ServiceHostInput } from '../contract/inputs';
import { HOLDFAST_QUEUE } from '../contract/queues';
import { runMain } from '../workers/run-main';
import { positiveNumber, wholeNumber } from './options';
import { Stack } from './stack';

interface Options {
  readonly directory: string;
  readonly hosts: number;
  readonly vms: number;
  readonly faultDomains: number;
  readonly seed: number;
  readonly profile: string;
  readonly timeScale?: number;
  readonly port?: number;
  readonly uiPort?: number;
}

/**
 * One example of each workflow with its smallest input. The UI's form prefills from the latest run of a type, so these
 * are what a person finds there; the children of a servicing run have the same inputs.
 */
const examples = (hosts: string[]) => ({
  // Only a plan, so that whoever presses Start without looking gets one too.
  updateFleet: { update: { version: '2.0.0' }, hosts, dryRun: true } satisfies UpdateFleetInput,
  serviceHost: { hostId: 'host-01', update: { version: '2.0.0' } } satisfies ServiceHostInput,
  fastSave: { hostId: 'host-01', vmId: 'vm-01' } satisfies FastSaveInput,
  fastRestore: { hostId: 'host-01', vmId: 'vm-01' } satisfies FastRestoreInput,
});

/** Keeps everything up for people: server with its data in a file, workers, and links into the UI. */
async function main(): Promise<void> {
  const options = new Command('npm run dev --')
    .description('Keeps server, UI and workers up, with data that survives a restart.')
    .option(
      '--directory <directory>',
      'where server data and hosts are kept',
      join(process.cwd(), '.holdfast'),
    )
    .option('--hosts <number>', 'how many hosts', wholeNumber(1, 100), 3)
    .option('--vms <number>', 'VMs on each', wholeNumber(1, 256), 4)
    .option('--fault-domains <number>', 'over which the hosts are spread', wholeNumber(1, 100), 2)
    .option('--seed <number>', 'same seed, same fleet and latencies', wholeNumber(0, 2 ** 31), 1)
    .option('--profile <name|file>', 'latencies: default, zero, or a JSON file', 'default')
    .option('--time-scale <factor>', 'scales the latencies; 1 = real', positiveNumber)
    .option('--port <port>', 'of the Temporal server; default: a free one', wholeNumber(1, 65_535))
    .option('--ui-port <port>', 'of the web UI; default: a free one', wholeNumber(1, 65_535))
    .parse()
    .opts<Options>();
  const stopRequested = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        resolve();
      });
    }
  });
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const stack = await Stack.start({
    ...options,
    databaseFile: join(options.directory, 'temporal.db'),
    onProgress: say,
  });
  try {
    await Promise.race([seedExamples(stack), stopRequested]);
    say(links(stack));
    await stopRequested;
    say('stopping');
  } finally {
    await stack.stop();
  }
}

/** Runs each example once, for the forms to prefill from; a database that has them is left as it is. */
async function seedExamples({ client, store }: Stack): Promise<void> {
  for (const [workflowType, input] of Object.entries(examples(store.hostIds()))) {
    const workflowId = `example/${workflowType}`;
    const earlier = await client.workflow.count(`WorkflowId = '${workflowId}'`);
    if (earlier.count > 0) continue;
    await client.workflow.execute(workflowType, {
      workflowId,
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
      staticSummary: `example: the smallest input of ${workflowType}`,
    });
  }
}

function links({ uiUrl, address, namespace, store }: Stack): string {
  const base = uiUrl === undefined ? `(the UI of ${address})` : uiUrl;
  const form = (type: string) =>
    `${base}/namespaces/${namespace}/workflows/start-workflow?workflowType=${type}&taskQueue=${HOLDFAST_QUEUE}`;
  return [
    '',
    `Temporal UI:   ${base}`,
    `Server:        ${address} (TEMPORAL_ADDRESS)`,
    '',
    'Start a workflow from its form (the input is filled in from the latest run; change it and press Start):',
    ...Object.entries(examples(store.hostIds())).map(
      ([type, input]) =>
        `  ${type.padEnd(12)} ${form(type)}\n  ${' '.repeat(12)} ${JSON.stringify(input)}`,
    ),
    '',
    'Ctrl-C stops everything; the data stays.',
  ].join('\n');
}

runMain('npm run dev', main);
