import { join } from 'node:path';
import { Command } from 'commander';
import { HOLDFAST_QUEUE } from '../contract/queues';
import { runMain } from '../workers/run-main';
import { examples, links } from './dev/links';
import { adaptersOption, positiveNumber, wholeNumber, type AdapterMix } from './options';
import { Stack } from './stack';

interface Options {
  readonly directory: string;
  readonly hosts: number;
  readonly vms: number;
  readonly emptyHosts: number;
  readonly faultDomains: number;
  readonly adapters: AdapterMix;
  readonly seed: number;
  readonly profile: string;
  readonly timeScale?: number;
  readonly functionPolicy?: string;
  readonly port?: number;
  readonly uiPort?: number;
}

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
    .option('--empty-hosts <number>', 'more hosts, without VMs', wholeNumber(0, 100), 1)
    .option('--fault-domains <number>', 'over which the hosts are spread', wholeNumber(1, 100), 2)
    .addOption(adaptersOption())
    .option('--seed <number>', 'same seed, same fleet and latencies', wholeNumber(0, 2 ** 31), 1)
    .option('--profile <name|file>', 'latencies: default, zero, or a JSON file', 'default')
    .option('--function-policy <file>', 'who may command what of a function; default: built-in')
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
    hosts: options.hosts + options.emptyHosts,
    databaseFile: join(options.directory, 'temporal.db'),
    onProgress: say,
  });
  try {
    await Promise.race([seedExamples(stack), stopRequested]);
    const { hosts } = stack;
    const empty = hosts.hostIds().find((id) => hosts.vmIds(id).length === 0);
    say(links(stack, hostsWithVms(stack), empty));
    await stopRequested;
    say('stopping');
  } finally {
    await stack.stop();
  }
}

const hostsWithVms = ({ hosts }: Stack): string[] =>
  hosts.hostIds().filter((hostId) => hosts.vmIds(hostId).length > 0);

/**
 * Runs each example once, for the forms to prefill from; a database that has them is left as it is. Without a summary,
 * which the form would take over too.
 */
async function seedExamples(stack: Stack): Promise<void> {
  const { client } = stack;
  for (const [workflowType, input] of Object.entries(examples(hostsWithVms(stack)))) {
    const workflowId = `example/${workflowType}`;
    const earlier = await client.workflow.count(`WorkflowId = '${workflowId}'`);
    if (earlier.count > 0) continue;
    await client.workflow.execute(workflowType, {
      workflowId,
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
    });
  }
}

runMain('npm run dev', main);
