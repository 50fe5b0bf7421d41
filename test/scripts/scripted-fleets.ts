import { setTimeout as delay } from 'node:timers/promises';
import type { Suite } from '../support/suite';
import type { Ran, Running } from '../support/in-process';
import { updateFleet, updateFleetProcess } from './update-fleet-script';

type Saying = Pick<Running, 'output'>;

/** `npm run update-fleet` on the server of a suite. */
export class ScriptedFleets {
  constructor(
    private readonly suite: Suite,
    private readonly file: (name: string, text: string) => string,
  ) {}

  /** A fleet of hosts that no other test has, by the orchestrator's own inventory. */
  fleetOf(name: string, hosts: readonly string[], more: object = {}): string {
    return this.file(
      `${name}.yaml`,
      JSON.stringify({
        name,
        update: { version: '2.0.0' },
        hosts,
        ...more,
        strategy: {
          bakeTime: { giveUpAfter: '0s' },
          ...('strategy' in more ? (more.strategy as object) : {}),
        },
      }),
    );
  }

  run(...args: readonly string[]): Running {
    return this.runIn(this.suite.stack.namespace, args);
  }

  /** The same with another namespace of the server. */
  runIn(namespace: string, args: readonly string[]): Running {
    return updateFleet(args, this.#server(namespace));
  }

  /** The same as a process, for what only a process meets. */
  process(...args: readonly string[]): ReturnType<typeof updateFleetProcess> {
    return updateFleetProcess(args, this.#server(this.suite.stack.namespace));
  }

  #server(namespace: string) {
    return { TEMPORAL_ADDRESS: this.suite.stack.address, TEMPORAL_NAMESPACE: namespace };
  }

  ran(...args: readonly string[]): Promise<Ran> {
    return this.run(...args).ended;
  }

  /** Waits until it has said so. */
  async said({ output }: Saying, what: string | RegExp): Promise<void> {
    const says = () => {
      const { stderr } = output();
      return typeof what === 'string' ? stderr.includes(what) : what.test(stderr);
    };
    for (const until = Date.now() + 60_000; !says(); await delay(50))
      if (Date.now() > until) throw new Error(`never said "${what}":\n${output().stderr}`);
  }

  /** Holds the host in its servicing, at the first step of a VM, until it is let go. */
  held(hostId: string): { readonly faults: object } {
    // However many attempts are given up by then.
    const stuck = { vmId: 'vm-01', step: HELD_AT, kind: 'stuck', times: 1_000 };
    return { faults: { [hostId]: [stuck] } };
  }

  /** The attempt that is stuck sees itself overtaken, so the next one is made, which meets no fault. */
  async letGo(hostId: string): Promise<void> {
    const { store } = this.suite.stack;
    const isHeld = () => store.vm(hostId, 'vm-01').mailbox?.step === HELD_AT;
    for (const until = Date.now() + 60_000; !isHeld(); await delay(20))
      if (Date.now() > until) throw new Error(`${hostId} was never held`);
    store.update(hostId, 'vm-01', ({ vm }) => {
      vm.mailbox = null;
      vm.faults = [];
    });
  }
}

const HELD_AT = 'disableOptimizations';
