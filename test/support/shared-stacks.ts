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

/** As many as a file may ask for. More cost little: a host that nobody uses only polls. */
const HOSTS_PER_STACK = 64;

/**
 * The stacks that several test files share, one for each shape, each with hosts of zero latency and a namespace of its own. It
 * lives in the process of Jest itself and answers the processes that run the files over HTTP. A stack starts when it is
 * first asked for.
 */
export class SharedStacks {
  readonly #stacks = new Map<string, { readonly started: Promise<Stack>; lent: number }>();
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
      void json(request)
        .then((wish) => stacks.#lend(wish as Wish))
        .then(
          (lent) => response.end(JSON.stringify(lent)),
          (error: unknown) => response.writeHead(500).end(String(error)),
        );
    });
    return stacks;
  }

  /** Stops all of them; nobody may ask for hosts any more. Any number of calls. */
  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    const stacks = [...this.#stacks.values()];
    await Promise.all(
      stacks.map(({ started }) =>
        started.then(
          (stack) => stack.stop(),
          () => undefined,
        ),
      ),
    );
  }

  async #lend({ shape, hosts }: Wish): Promise<LentHosts> {
    const key = JSON.stringify(shape);
    let stack = this.#stacks.get(key);
    if (stack === undefined || stack.lent + hosts > HOSTS_PER_STACK) {
      // The full one runs on for those who use it, and is stopped at the end like all.
      if (stack !== undefined) this.#stacks.set(`${key}, ${this.#started} before`, stack);
      stack = { started: this.#start(shape), lent: 0 };
      this.#stacks.set(key, stack);
    }
    const from = stack.lent;
    stack.lent += hosts;
    const { store, namespace, directory } = await stack.started;
    return { namespace, directory, hostIds: store.hostIds().slice(from, from + hosts) };
  }

  async #start(shape: SharedShape): Promise<Stack> {
    this.#started += 1;
    return startStack(this.temporalAddress, `shared-${this.#started}`, {
      ...shape,
      hosts: HOSTS_PER_STACK,
    });
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
