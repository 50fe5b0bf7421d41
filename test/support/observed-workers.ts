import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { HOST_WORKER_NAME } from '../../scripts/stack';
import { spawnGuarded, type GuardedProcess } from '../../tools/processes/spawn-guarded';
import { required } from './required';
import type { OwnStack, Suite } from './suite';
import { runTypeScript } from '../../tools/typescript/run-typescript';

/** Orchestrator and host worker of a suite, started anew with options that observe them. */
export class ObservedWorkers {
  private constructor(
    private readonly running: readonly GuardedProcess[],
    /** Of the orchestrator and of the host worker; `host:port`. */
    readonly addresses: readonly [string, string],
  ) {}

  /** `directory`: where the suite keeps its fleet; `args`: options of both. */
  static async start(
    suite: Suite<OwnStack>,
    directory: string,
    args: readonly string[] = [],
  ): Promise<ObservedWorkers> {
    const { stack } = suite;
    await Promise.all([stack.stopProcess('orchestrator'), stack.stopProcess('host')]);
    const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as const;
    const start = (role: 'orchestrator' | 'host', address: string, own: readonly string[]) =>
      spawnGuarded(
        process.execPath,
        [
          ...runTypeScript(join(__dirname, '..', '..', 'workers', `${role}.ts`)),
          ...['--log-level', 'warn', '--metrics-address', address],
          ...own,
          ...args,
        ],
        {
          env: {
            ...process.env,
            TEMPORAL_ADDRESS: stack.address,
            TEMPORAL_NAMESPACE: stack.namespace,
          },
          output: openSync(join(directory, 'logs', `observed-${role}.log`), 'a'),
        },
      );
    const running = await Promise.all([
      start('orchestrator', addresses[0], [
        ...['--data-dir', join(directory, 'orchestrator')],
        ...['--inventory', join(directory, 'inventory.json')],
        ...['--workflow-bundle', required('HOLDFAST_TEST_BUNDLE')],
      ]),
      start('host', addresses[1], [
        ...['--fleet-dir', join(directory, 'fleet'), '--profile', 'zero'],
        ...['--name', HOST_WORKER_NAME],
      ]),
    ]);
    return new ObservedWorkers(running, addresses);
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((child) => child.stop()));
  }
}

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return String(address.port);
}

/** One sample of an exposition: name, labels, value. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What an endpoint exports now. */
export async function scrape(address: string): Promise<Sample[]> {
  const response = await fetch(`http://${address}/metrics`);
  const text = await response.text();
  return text.split('\n').flatMap((line): Sample[] => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']) => [
      key,
      text,
    ]);
    return [
      { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) },
    ];
  });
}

/** The sum of all samples of a name that have these labels. */
export const total = (
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number =>
  samples
    .filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))
    .reduce((sum, s) => sum + s.value, 0);
