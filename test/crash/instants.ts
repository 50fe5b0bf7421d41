import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { issuedAhead, restoreFlow, saveFlow } from '../../contract/flows';
import { VM_STEPS, type VmStep } from '../../contract/steps';
import { startDevServer, type DevServer } from '../../tools/temporal/dev-server';
import { random } from '../support/random';
import { Suite, ending, type OwnStack } from '../support/suite';

const INSTANTS = 10;
/** So long each VM is in the step that its instant is in: all ten are, when the processes die. */
const SLOW_MS = 3_000;
const settings = { mode: 'modified', virtualFunctionRestore: 'step-by-step' } as const;
const DARK: readonly VmStep[] = [saveFlow(settings), restoreFlow(settings)]
  .flatMap(issuedAhead)
  .filter((step) => VM_STEPS[step].kind === 'dark');

/** Ten hosts with a VM each, whose processes die while each VM is in another step of its blackout. On a server of their own. */
export class Instants {
  private constructor(
    private readonly suite: Suite<OwnStack>,
    private server: DevServer,
    private readonly dbFilename: string,
    private readonly next: () => number,
  ) {}

  static async start(name: string): Promise<Instants> {
    const dbFilename = join(mkdtempSync(join(tmpdir(), `${name}-server-`)), 'temporal.db');
    const server = await startDevServer({ ui: false, dbFilename });
    const suite = await Suite.start(name, { hosts: INSTANTS, vms: 1 }, server.address);
    return new Instants(suite, server, dbFilename, random(Number(process.env['SEED'] ?? 2_024)));
  }

  async stop(): Promise<void> {
    await this.suite.stop();
    await this.server.stop();
  }

  /** What dies is started again, as by a service manager. */
  kill(...roles: ('host' | 'orchestrator' | 'dead-man')[]): Promise<void> {
    for (const role of roles) process.kill(this.suite.stack.pid(role), 'SIGKILL');
    return Promise.resolve();
  }

  /** The VMs do not need it to run again. It comes back later, with all that it knew. */
  async killServer(): Promise<void> {
    const { server, dbFilename } = this;
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
    await this.#untilAllRun();
    const port = Number(server.address.split(':')[1]);
    this.server = await startDevServer({ ui: false, dbFilename, port });
  }

  /** Every VM runs with its VF, each run ends as what it did to its host, and the next run succeeds. */
  async expectNothingLost(version: string, happen: () => Promise<void>): Promise<void> {
    const { suite } = this;
    const instants = suite.hostIds.map((hostId) => ({
      hostId,
      step: DARK[Math.floor(this.next() * DARK.length)] ?? 'saveVm',
      identity: this.#vm(hostId).identity,
    }));
    const runs = await Promise.all(
      instants.map(({ hostId, step }) =>
        suite.start('serviceHost', {
          ...{ hostId, update: { version }, blackoutBudget: '30s' },
          faults: [{ vmId: 'vm-01', step, kind: 'slow', delay: `${SLOW_MS}ms` }],
        }),
      ),
    );
    await Promise.all(
      instants.map(({ hostId, step }) => suite.until(hostId, 'vm-01', step, 'intent')),
    );
    await happen();
    await this.#untilAllRun();
    const ends = await Promise.all(
      runs.map((run) =>
        run.result().then(
          () => 'updated',
          async () => (await ending(run)).type,
        ),
      ),
    );
    for (const [i, { hostId, step, identity }] of instants.entries()) {
      const { facts, phase, identity: now } = this.#vm(hostId);
      const at = `${hostId} in ${step}: ${String(ends[i])}`;
      expect([at, phase, facts.path, now]).toEqual([at, 'running', 'kept', identity]);
      expect(facts).toMatchObject({ guestVisibleEvents: 0, withinBudget: true });
      const { versions, commands, invariants } = suite.stack.store.host(hostId);
      expect([commands.forbidden, invariants.violations]).toEqual([0, []]);
      // Who goes on in the place of the dead commits no update that nobody is there for.
      const isUpdated = versions.vmWorkerProcess === version;
      expect([at, ends[i]]).toEqual([at, isUpdated ? 'updated' : 'HostNotUpdated']);
    }
    await suite.stack.ready();
    const again = await Promise.all(
      suite.hostIds.map((hostId) =>
        suite.run('serviceHost', { hostId, update: { version: `${version}+again` } }),
      ),
    );
    expect(again.map(({ outcome }) => outcome)).toEqual(again.map(() => 'updated'));
  }

  #vm(hostId: string) {
    return this.suite.vm(hostId, 'vm-01');
  }

  async #untilAllRun(): Promise<void> {
    while (!this.suite.hostIds.every((hostId) => this.#vm(hostId).facts.running)) await delay(20);
  }
}
