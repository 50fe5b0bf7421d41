/** `npm run fork` on the server of a suite. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { SimulatedHosts } from '../../hosts/simulator/simulated-host';
import { main } from '../../scripts/fork';
import { runTypeScript } from '../../tools/typescript/run-typescript';
import { inProcess } from '../support/in-process';
import type { Suite } from '../support/suite';

/** As long as a VM may be dark: nobody else brings it back while the script starts, however slow the machine. */
export const LONGEST = '30s';

export const vm = (hostId: string, vmId = 'vm-01') => ({ hostId, vmId });
export const runIdOf = async (handle: WorkflowHandle) => (await handle.describe()).runId;
export const idOfFork = async (old: WorkflowHandle) =>
  `${old.workflowId}/fork-of-${await runIdOf(old)}`;

export class ForkScript {
  constructor(private readonly suite: Suite) {}

  /** The script. */
  async run(...args: string[]) {
    const { code, stdout, stderr } = await inProcess('fork', main, args, this.#env()).ended;
    return { code, out: stdout, err: stderr };
  }

  /** The same as a process. */
  async process(...args: string[]) {
    const child = spawn(process.execPath, [...runTypeScript('scripts/fork.ts'), ...args], {
      cwd: join(__dirname, '..', '..'),
      env: this.#env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const told = { out: '', err: '' };
    child.stdout.on('data', (data: Buffer) => (told.out += data.toString()));
    child.stderr.on('data', (data: Buffer) => (told.err += data.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...told };
  }

  #env(): NodeJS.ProcessEnv {
    const { address, namespace } = this.suite.stack;
    return { ...process.env, TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace };
  }

  /** Answers all that it said. */
  async refuses(message: RegExp | string, ...args: string[]): Promise<string> {
    const { code, out, err } = await this.run(...args);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    return err;
  }

  /**
   * A save whose VM is dark and stays so for as long as its budget allows: a host tries the steps before the mark for a
   * second only.
   */
  async stuckSave(hostId: string, blackoutBudget: string): Promise<WorkflowHandle> {
    const faults = [{ step: 'crossPointOfNoReturn', kind: 'stuck', times: 1000 }];
    const old = await this.suite.start('fastSave', { ...vm(hostId), blackoutBudget, faults });
    await this.suite.until(hostId, 'vm-01', 'crossPointOfNoReturn', 'intent');
    return old;
  }

  async expectUnharmed(hostId: string): Promise<void> {
    const hosts = new SimulatedHosts(this.suite.stack.store, { timeScale: 1, operations: {} });
    const { forbiddenCommands, invariants, quarantine } = await hosts.describe(hostId);
    expect({ forbiddenCommands, violated: invariants.violated, quarantine }).toEqual({
      forbiddenCommands: 0,
      violated: 0,
      quarantine: null,
    });
  }
}
