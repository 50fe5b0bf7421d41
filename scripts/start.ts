import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { Command, Option } from 'commander';
import type { FaultInput } from '../contract/faults';
import { COMPONENTS, HOLD_MODES, MODES, type ServiceHostInput } from '../contract/inputs';
import type { UpdateFleetInput } from '../contract/fleet-input';
import type { FleetDryRun, FleetResult } from '../contract/fleet-results';
import { HOLDFAST_QUEUE, serviceHostId, updateFleetId } from '../contract/queues';
import type { ServiceHostResult } from '../contract/results';
import { loadProfile, vmIdsOf } from '../hosts/open-hosts';
import type { updateFleet } from '../workflows';
import { runMain } from '../workers/run-main';
import { LiveProgress } from './live-progress';
import {
  adaptersOption,
  blackoutBudget,
  faultOption,
  positiveNumber,
  wholeNumber,
  type AdapterMix,
} from './options';
import { servicingReport, servicingTable, succeeded, type HostRun } from './servicing-report';
import { Stack } from './stack';

interface Options {
  readonly hosts: number;
  readonly vms: number;
  readonly faultDomains: number;
  readonly adapters: AdapterMix;
  readonly seed: number;
  readonly profile: string;
  readonly timeScale?: number;
  readonly functionPolicy?: string;
  readonly mode: NonNullable<ServiceHostInput['mode']>;
  readonly component: NonNullable<ServiceHostInput['update']['component']>;
  readonly toVersion: string;
  readonly holdMode: NonNullable<ServiceHostInput['holdMode']>;
  readonly onCannotKeep: NonNullable<ServiceHostInput['onCannotKeep']>;
  readonly blackoutBudget: string;
  readonly fault?: FaultInput[];
  readonly json?: true;
  readonly keep?: true;
}

const program = new Command('npm start --')
  .description(
    'Updates a simulated fleet full of VMs through a real Temporal server, every VF kept.',
  )
  .option('--hosts <number>', 'how many hosts', wholeNumber(1, 100), 3)
  .option('--vms <number>', 'VMs on each', wholeNumber(1, 256), 4)
  .option('--fault-domains <number>', 'over which the hosts are spread', wholeNumber(1, 100), 2)
  .addOption(adaptersOption())
  .option('--seed <number>', 'same seed, same fleet and latencies', wholeNumber(0, 2 ** 31), 1)
  .option('--profile <name|file>', 'latencies: default, zero, or a JSON file', 'default')
  .option('--function-policy <file>', 'who may command what of a function; default: built-in')
  .option('--time-scale <factor>', 'scales the latencies; 1 = real', positiveNumber)
  .addOption(
    new Option('--mode <mode>', 'keep the VFs, or the conventional way')
      .choices(MODES)
      .default('modified'),
  )
  .addOption(
    new Option('--component <name>', 'what is updated')
      .choices(COMPONENTS)
      .default('vmWorkerProcess'),
  )
  .option('--to-version <version>', 'the version it is updated to', '2.0.0')
  .addOption(
    new Option('--hold-mode <mode>', 'how the VSP is kept from releasing')
      .choices(HOLD_MODES)
      .default('instruct-skip'),
  )
  .addOption(
    new Option('--on-cannot-keep <what>', 'VMs whose VF cannot be kept')
      .choices(['refuse', 'conventional'])
      .default('refuse'),
  )
  .option(
    '--blackout-budget <duration>',
    'how long a VM may be dark, at most 30s',
    blackoutBudget,
    '10s',
  )
  .option(
    '--fault <vmId:step:kind[:times]>',
    'meet this fault; "host" as vmId for host steps; may be repeated',
    faultOption,
  )
  .option('--json', 'print the result as one JSON document on standard output')
  .option('--keep', 'leave everything up for a look at the UI, until Ctrl-C')
  .parse();
const options = program.opts<Options>();
for (const { vmId } of options.fault ?? []) {
  const vms = vmIdsOf(options.vms);
  if (vmId !== undefined && !vms.includes(vmId))
    program.error(
      `error: option '--fault': there is no ${vmId}; ${vms.length === 0 ? 'the hosts have no VMs' : `each host has ${vms.join(', ')}`}.`,
    );
}

/** Of the fleet's run. */
const FLEET_ID = updateFleetId('simulated');

async function main(): Promise<void> {
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const timeScale = options.timeScale ?? loadProfile(options.profile).timeScale;
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-'));
  const waiting = new AbortController();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        waiting.abort();
        reject(new Interrupted(signal));
      });
    }
  });
  const started = Stack.start({ ...options, directory, onProgress: say });
  try {
    const stack = await Promise.race([started, interrupted]);
    const hostIds = stack.hosts.hostIds();
    const progress = await LiveProgress.start(stack.hosts.driver, hostIds);
    let runs: HostRun[];
    try {
      runs = await Promise.race([updateHosts(stack, hostIds, waiting.signal), interrupted]);
    } finally {
      await progress.stop();
    }
    const link = uiLink(stack);
    if (options.json) {
      process.stdout.write(
        `${JSON.stringify(servicingReport(randomUUID(), timeScale, runs), null, 2)}\n`,
      );
      for (const { failure } of runs) if (failure !== null) say(failure);
    } else {
      for (const run of runs) process.stdout.write(`\n${servicingTable(run)}\n`);
      process.stdout.write(`\n${link}\n`);
    }
    process.exitCode = succeeded(runs) ? 0 : 1;
    if (options.keep) {
      say(`Everything stays up until Ctrl-C. ${link}`);
      await interrupted;
    }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    if (!options.keep) process.exitCode = 130;
    say('stopping');
  } finally {
    await started.then(
      (stack) => stack.stop(),
      () => undefined,
    );
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Updates the fleet, one wave after the other; `signal` ends the waiting, so that the connection can be closed. */
async function updateHosts(
  { client }: Stack,
  hostIds: readonly string[],
  signal: AbortSignal,
): Promise<HostRun[]> {
  const { component, toVersion, mode, holdMode, onCannotKeep, blackoutBudget } = options;
  const faults = options.fault ?? [];
  const input: UpdateFleetInput = {
    update: { component, version: toVersion },
    hosts: [...hostIds],
    strategy: {
      maxConcurrentHosts: options.faultDomains,
      bakeTime: { giveUpAfter: '10s', every: '1s' },
      onFailure: 'abort',
      // An exercise is meant for every host, whatever comes of it.
      ...(faults.length === 0 ? {} : { canary: 0, failureLimit: '100%' }),
    },
    // Long enough to see that a simulated canary goes on.
    servicing: { mode, holdMode, onCannotKeep, blackoutBudget, rolling: { bakeFor: '300ms' } },
    faults: Object.fromEntries(hostIds.map((hostId) => [hostId, faults])),
  };
  return client.withAbortSignal(signal, async () => {
    const fleet = await ended(
      client.workflow.execute<typeof updateFleet>('updateFleet', {
        workflowId: FLEET_ID,
        taskQueue: HOLDFAST_QUEUE,
        args: [input],
        staticSummary: `update ${component} of ${hostIds.length} hosts to ${toVersion}`,
      }),
    );
    return Promise.all(hostIds.map((hostId) => hostRun(client, hostId, fleet.failure)));
  });
}

/** What became of one host, by its own run; if it has none, the fleet says why. */
async function hostRun(
  client: Stack['client'],
  hostId: string,
  fleetFailure: string | null,
): Promise<HostRun> {
  const handle = client.workflow.getHandle(serviceHostId(hostId));
  try {
    await handle.describe();
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    return { hostId, result: null, failure: fleetFailure ?? 'it was left out', started: false };
  }
  const { result, failure } = await ended(handle.result() as Promise<ServiceHostResult>);
  return { hostId, result, failure, started: true };
}

/** The result of a run, also that of one which failed but carries it, and what a failure says. */
async function ended<Result extends ServiceHostResult | FleetResult | FleetDryRun>(
  running: Promise<Result>,
): Promise<{ readonly result: Result | null; readonly failure: string | null }> {
  try {
    return { result: await running, failure: null };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    const carried =
      cause instanceof ApplicationFailure
        ? (cause.details?.[0] as Partial<Result> | undefined)
        : undefined;
    const result = carried?.outcome === undefined ? null : (carried as Result);
    return { result, failure: cause?.message ?? error.message };
  }
}

function uiLink(stack: Stack): string {
  if (stack.uiUrl === undefined)
    return `See the runs in the UI of ${stack.address}, namespace ${stack.namespace}.`;
  const path = `namespaces/${stack.namespace}/workflows/${encodeURIComponent(FLEET_ID)}`;
  return options.keep
    ? `See every step in the Temporal UI: ${stack.uiUrl}/${path}`
    : `Every step was in the Temporal UI at ${stack.uiUrl}/${path}, which stops now; with --keep it stays.`;
}

class Interrupted extends Error {}

runMain('npm start', main);
