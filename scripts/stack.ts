import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { toMs } from '../contract/durations';
import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import { HOLDFAST_QUEUE, hostControlQueue, hostQueue } from '../contract/queues';
import { Hosts, type FleetShape } from '../hosts/open-hosts';
import { spawnGuarded, type GuardedProcess } from '../tools/processes/spawn-guarded';
import { startDevServer, type DevServer } from '../tools/temporal/dev-server';
import { runTypeScript } from '../tools/typescript/run-typescript';
import { connectClient, isClusterConfigured, loadConnection } from '../workers/connection';
import { completeInventory } from '../workers/inventory';
import { buildWorkflowBundle } from './workflow-bundle';

/** The hosts of a stack: a new fleet of this shape, or whatever `fill` makes. */
type HostsOptions = FleetShape | { readonly fill: (hosts: Hosts) => void };

export type StackOptions = HostsOptions & {
  /** Where hosts, logs and the workflow bundle go; made if missing. */
  readonly directory: string;
  /** On top of this process's own environment, for the processes that are started. */
  readonly env?: Readonly<Record<string, string>>;
  /** Latency profile: default, zero, or a file. */
  readonly profile: string;
  readonly timeScale?: number;
  /** A function policy file. Default: the built-in policy, or what the directory holds. */
  readonly functionPolicy?: string;
  /** Keeps the server's data over restarts; in memory without it. */
  readonly databaseFile?: string;
  readonly port?: number;
  readonly uiPort?: number;
  /** Whether a process that dies is started again, as a service manager would. Default: true. */
  readonly restart?: boolean;
  /** A server to use instead of the configured one or a new one, with a namespace that exists. */
  readonly server?: { readonly address: string; readonly namespace: string };
  /** Workflow code that is built already. */
  readonly workflowBundle?: string;
  readonly onProgress?: (line: string) => void;
};

type Role = 'orchestrator' | 'host' | 'dead-man';
export const HOST_WORKER_NAME = 'host-worker-1';

/** Server, orchestrator, host worker and dead-man, each a process of its own, and a client. */
export class Stack {
  readonly #processes = new Map<Role, GuardedProcess>();
  #stopping = false;

  private constructor(
    private readonly options: StackOptions,
    readonly hosts: Hosts,
    readonly client: Client,
    readonly address: string,
    readonly namespace: string,
    readonly uiUrl: string | undefined,
    private readonly server: DevServer | undefined,
    private readonly bundlePath: string,
  ) {}

  static async start(options: StackOptions): Promise<Stack> {
    const say = options.onProgress ?? (() => undefined);
    const { directory, databaseFile: dbFilename, port, uiPort } = options;
    mkdirSync(join(directory, 'logs'), { recursive: true });
    const hosts = Hosts.open(join(directory, 'fleet'), options);
    if ('fill' in options) options.fill(hosts);
    else hosts.create(options);
    completeInventory(inventoryFile(directory), hosts.inventory());
    const bundling =
      options.workflowBundle === undefined
        ? buildWorkflowBundle(join(directory, 'workflow-bundle.js'))
        : Promise.resolve(options.workflowBundle);
    let server: DevServer | undefined;
    try {
      if (options.server === undefined && !isClusterConfigured()) {
        server = await startDevServer({
          logFile: join(directory, 'logs', 'temporal.log'),
          onProgress: say,
          ...(dbFilename === undefined ? {} : { dbFilename }),
          ...(port === undefined ? {} : { port }),
          ...(uiPort === undefined ? {} : { uiPort }),
        });
      }
      const ours = options.server ?? server;
      const connection =
        ours === undefined
          ? loadConnection()
          : { ...ours, connectionOptions: { address: ours.address } };
      const { address, namespace } = connection;
      const client = await connectClient(connection);
      say(server === undefined ? `using Temporal at ${address}` : `Temporal is up at ${address}`);
      const stack = new Stack(
        options,
        hosts,
        client,
        address,
        namespace,
        server?.uiUrl,
        server,
        await bundling,
      );
      try {
        await Promise.all(
          (['orchestrator', 'host', 'dead-man'] as const).map((role) => stack.startProcess(role)),
        );
        await stack.ready();
      } catch (error) {
        await stack.stop();
        throw error;
      }
      say('the workers are ready');
      return stack;
    } catch (error) {
      await bundling.catch(() => undefined);
      await server?.stop();
      await hosts.close();
      throw error;
    }
  }

  /** Where hosts, logs and the workflow bundle are. */
  get directory(): string {
    return this.options.directory;
  }

  /** The process id of a worker, to be killed by tests. */
  pid(role: Role): number {
    const running = this.#processes.get(role);
    if (running === undefined) throw new Error(`${role} does not run`);
    return running.pid;
  }

  /** The process id of the dev server. */
  get serverPid(): number {
    if (this.server === undefined) throw new Error('the server is not ours');
    return this.server.pid;
  }

  async startProcess(role: Role): Promise<void> {
    const { directory, profile, timeScale, functionPolicy, restart = true } = this.options;
    const scale = timeScale === undefined ? [] : ['--time-scale', String(timeScale)];
    const fleet = ['--fleet-dir', join(directory, 'fleet'), '--profile', profile, ...scale];
    const policy = functionPolicy === undefined ? [] : ['--function-policy', functionPolicy];
    const args = {
      orchestrator: [
        ...['--workflow-bundle', this.bundlePath],
        ...['--inventory', inventoryFile(directory)],
        ...['--data-dir', join(directory, 'orchestrator')],
      ],
      host: [...fleet, ...policy, '--name', HOST_WORKER_NAME],
      'dead-man': fleet,
    }[role];
    const log = openSync(join(directory, 'logs', `${role}.log`), 'a');
    const child = await spawnGuarded(
      process.execPath,
      [...script(role), ...args, '--log-level', 'warn'],
      {
        env: {
          ...process.env,
          ...this.options.env,
          TEMPORAL_ADDRESS: this.address,
          TEMPORAL_NAMESPACE: this.namespace,
        },
        output: log,
        ...(role === 'host' ? { graceMs: HOST_GRACE_MS } : {}),
      },
    );
    this.#processes.set(role, child);
    void child.exited.then(async ({ code, signal }) => {
      if (this.#processes.get(role) !== child) return;
      this.options.onProgress?.(`${role} ended (${signal ?? `exit code ${String(code)}`})`);
      if (!restart) return;
      await delay(RESTART_AFTER_MS);
      // It may have been told to stop, or to run no more, in the meantime.
      if (this.#processes.get(role) === child) await this.startProcess(role);
    });
  }

  /** Stops one process for good; with SIGKILL it gets no chance to say good-bye. */
  async stopProcess(role: Role, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#processes.get(role);
    this.#processes.delete(role);
    if (child !== undefined && signal === 'SIGKILL') process.kill(child.pid, signal);
    await child?.stop();
  }

  /** Waits until workers poll every queue. */
  async ready(): Promise<void> {
    const { WORKFLOW, ACTIVITY } = {
      WORKFLOW: temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
      ACTIVITY: temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    };
    await this.#polled(HOLDFAST_QUEUE, WORKFLOW);
    // One after the other: asking for hundreds of hosts at a time would keep the server from serving their workers.
    for (const hostId of this.hosts.hostIds()) {
      await this.#polled(hostQueue(hostId), ACTIVITY);
      await this.#polled(hostControlQueue(hostId), ACTIVITY);
    }
  }

  async #polled(queue: string, taskQueueType: temporal.api.enums.v1.TaskQueueType): Promise<void> {
    const until = Date.now() + READY_WITHIN_MS;
    for (;;) {
      const { pollers } = await this.client.workflowService.describeTaskQueue({
        namespace: this.namespace,
        taskQueue: { name: queue },
        taskQueueType,
      });
      if (pollers.length > 0) return;
      if (Date.now() > until) {
        throw new Error(
          `No worker polls ${queue} after ${String(READY_WITHIN_MS / 1000)} s; see the logs in ${join(this.options.directory, 'logs')}.`,
        );
      }
      await delay(50);
    }
  }

  /** Stops everything it started; any number of calls. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const running = [...this.#processes.values()];
    this.#processes.clear();
    await Promise.all(running.map((child) => child.stop()));
    await this.client.connection.close();
    await this.server?.stop();
    await this.hosts.close();
  }
}

const inventoryFile = (directory: string): string => join(directory, 'inventory.json');

const READY_WITHIN_MS = 60_000;
/** It ends when none of its VMs is dark any more. */
const HOST_GRACE_MS = toMs(HARD_BLACKOUT_LIMIT) + 5_000;
const RESTART_AFTER_MS = 200;

/** How Node runs a worker: compiled beside us, or through the TypeScript loader that we run under ourselves. */
function script(role: Role): string[] {
  const file = join(__dirname, '..', 'workers', role);
  return __filename.endsWith('.ts') ? runTypeScript(`${file}.ts`) : [`${file}.js`];
}
