import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { FleetShape } from '../../hosts/simulator/fleet';
import type { Stack } from '../../scripts/stack';
import { required } from './required';
import { startStack } from './start-stack';

/** What the hosts of a stack are like. Test files that want the same share one. */
export type SharedShape = Pick<FleetShape, 'vms' | 'adapters'>;

/** Hosts of a shared stack that nobody else uses, and where they are. */
export interface LentHosts {
  readonly namespace: string;
  /** The directory of the stack. */
  readonly directory: string;
  readonly hostIds: readonly string[];
}

interface Wish {
  readonly shape: SharedShape;
  readonly hosts: number;
}

/** A host costs processor time also when nobody uses it, so a stack has no more than a few files need. */
const HOSTS_PER_STACK = 24;

interface Shared {
  readonly started: Promise<Stack>;
  readonly hosts: number;
  /** So many are in use, or were. */
  lent: number;
  borrowers: number;
}

/**
 * The stacks that several test files share, one for each shape, each with hosts of zero latency and a namespace of its own. It
 * lives in the process of Jest itself and answers the processes that run the files over HTTP. A stack starts when it is
 * first asked for; one that has no host to lend any more stops with its last borrower, and another takes its place.
 */
export class SharedStacks {
  /** By their namespaces. */
  readonly #stacks = new Map<string, Shared>();
  /** The one of each shape that lends. */
  readonly #lending = new Map<string, Shared>();
  #started = 0;

  private constructor(
    private readonly temporalAddress: string,
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async open(temporalAddress: string): Promise<SharedStacks> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const stacks = new SharedStacks(temporalAddress, server, `http://127.0.0.1:${port}`);
    server.on('request', (request, response) => {
      const answering =
        request.method === 'DELETE'
          ? stacks.#takeBack((request.url ?? '').slice(1))
          : json(request).then((wish) => stacks.#lend(wish as Wish));
      answering.then(
        (answer) => response.end(JSON.stringify(answer ?? null)),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
    return stacks;
  }

  /** Stops all of them; nobody may ask for hosts any more. Any number of calls. */
  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await Promise.all([...this.#stacks.keys()].map((namespace) => this.#stop(namespace)));
  }

  async #lend({ shape, hosts }: Wish): Promise<LentHosts> {
    const key = JSON.stringify(shape);
    const before = this.#lending.get(key);
    const isFull = before === undefined || before.lent + hosts > before.hosts;
    const shared = isFull ? this.#start(shape, Math.max(hosts, HOSTS_PER_STACK)) : before;
    this.#lending.set(key, shared);
    // Before anything is waited for: the next who asks must not get the same hosts.
    const from = shared.lent;
    shared.lent += hosts;
    shared.borrowers += 1;
    if (isFull && before?.borrowers === 0) await this.#stop((await before.started).namespace);
    const { hosts: all, namespace, directory } = await shared.started;
    return { namespace, directory, hostIds: all.hostIds().slice(from, from + hosts) };
  }

  async #takeBack(namespace: string): Promise<void> {
    const shared = this.#stacks.get(namespace);
    if (shared === undefined) return;
    shared.borrowers -= 1;
    const lends = [...this.#lending.values()].includes(shared) && shared.lent < shared.hosts;
    if (shared.borrowers === 0 && !lends) await this.#stop(namespace);
  }

  #start(shape: SharedShape, hosts: number): Shared {
    this.#started += 1;
    const namespace = `shared-${this.#started}`;
    const started = startStack(this.temporalAddress, namespace, { ...shape, hosts });
    const shared = { started, hosts, lent: 0, borrowers: 0 };
    this.#stacks.set(namespace, shared);
    return shared;
  }

  async #stop(namespace: string): Promise<void> {
    const shared = this.#stacks.get(namespace);
    this.#stacks.delete(namespace);
    // One that did not start has told so whoever asked for it.
    const stack = await shared?.started.catch(() => undefined);
    await stack?.stop();
  }
}

/** Hosts of the shared stack of this shape. Fails, with its reason, if that stack does not start. */
export async function lendHosts(wish: Wish): Promise<LentHosts> {
  const response = await fetch(required('HOLDFAST_TEST_STACKS'), {
    method: 'POST',
    body: JSON.stringify(wish),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as LentHosts;
}

/** Tells that a file has done with the hosts that it was lent. */
export async function giveBack({ namespace }: LentHosts): Promise<void> {
  await fetch(`${required('HOLDFAST_TEST_STACKS')}/${namespace}`, { method: 'DELETE' });
}
