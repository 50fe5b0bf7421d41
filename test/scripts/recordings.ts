import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { WorkflowHandle } from '@temporalio/client';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { newStamp, stampPath } from '../../workers/workflow-code';
import { required } from '../support/required';
import { Suite } from '../support/suite';
import { runTypeScript } from '../../tools/typescript/run-typescript';

const SCRIPT = join(__dirname, '..', '..', 'scripts', 'replay.ts');

/** What `--json` prints. */
export interface Told {
  readonly workflowId: string;
  readonly type: string;
  readonly recorded: object;
  readonly reenacted: readonly object[];
}
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The directories that it left behind, by their names. */
  readonly left: readonly string[];
}
interface Options {
  readonly runId?: string;
  readonly json?: boolean;
  readonly workflowBundle?: string;
}

/** Sees what a process says on standard error, and may stop it. */
type Watch = (said: string, stop: () => void) => void;

/** Runs on a server, bundles of them, and `npm run replay -- <bundle> --on-simulator` as a process of its own. */
export class Recordings {
  readonly #directory = mkdtempSync(join(tmpdir(), 'holdfast-re-enact-test-'));
  #edited = 0;
  private constructor(readonly suite: Suite) {}

  static async start(hosts: number): Promise<Recordings> {
    return new Recordings(await Suite.on({ vms: 2 }, hosts));
  }

  async stop(): Promise<void> {
    rmSync(this.#directory, { recursive: true, force: true });
    await this.suite.stop();
  }

  handle(workflowId: string): WorkflowHandle {
    return this.suite.stack.client.workflow.getHandle(workflowId);
  }

  start(type: string, workflowId: string, input: object): Promise<WorkflowHandle> {
    const options = { workflowId, taskQueue: HOLDFAST_QUEUE, args: [input] };
    return this.suite.stack.client.workflow.start(type, options);
  }

  /** Runs it to its end, whatever that is, and takes it home. */
  async recorded(type: string, workflowId: string, input: object): Promise<string> {
    await ends(await this.start(type, workflowId, input));
    return this.exported(workflowId);
  }

  async exported(workflowId: string): Promise<string> {
    const file = join(this.#directory, `${workflowId.replaceAll('/', '-')}.hfbundle`);
    const bundle = ['--workflow-bundle', required('HOLDFAST_TEST_BUNDLE')];
    const { code, err } = await this.#node(['--export', workflowId, file, ...bundle]);
    if (code !== 0) throw new Error(err);
    return file;
  }

  reEnact(
    bundle: string,
    { runId, json, workflowBundle }: Options = {},
    watch?: Watch,
  ): Promise<Said> {
    const args = [
      ...['--workflow-bundle', workflowBundle ?? required('HOLDFAST_TEST_BUNDLE')],
      ...(runId === undefined ? [] : ['--run-id', runId]),
      ...(json === true ? ['--json'] : []),
    ];
    return this.#node([bundle, '--on-simulator', ...args], watch);
  }

  /** Stopped, as by Ctrl-C, as soon as it has said this. */
  interrupted(bundle: string, when: string): Promise<Said> {
    return this.reEnact(bundle, {}, (said, stop) => {
      if (said.includes(when)) stop();
    });
  }

  async told(bundle: string, options: Options = {}): Promise<Told & { readonly code: number }> {
    const { code, out, err } = await this.reEnact(bundle, { ...options, json: true });
    if (out === '') throw new Error(err);
    return { ...(JSON.parse(out) as Told), code };
  }

  /** The bundle with other lines; without those for which the edit answers nothing. */
  edited(bundle: string, edit: (line: Record<string, unknown>) => unknown): string {
    const lines = gunzipSync(readFileSync(bundle)).toString().trimEnd().split('\n');
    const changed = lines
      .map((line) => edit(JSON.parse(line) as Record<string, unknown>))
      .filter((line) => line !== undefined)
      .map((line) => `${JSON.stringify(line)}\n`);
    this.#edited += 1;
    const file = join(this.#directory, `edited-${this.#edited}.hfbundle`);
    writeFileSync(file, gzipSync(changed.join('')));
    return file;
  }

  /** The workflow code of this checkout as if somebody had mended it: no run meets a fault. */
  mendedCode(): string {
    const code = readFileSync(required('HOLDFAST_TEST_BUNDLE'), 'utf8');
    const mended = code.replaceAll(
      'checkFaultsSupported)(host, faults);',
      'checkFaultsSupported)(host, faults); faults.length = 0;',
    );
    if (mended === code) throw new Error('the code has changed, so it is not mended');
    const file = join(this.#directory, 'mended.js');
    writeFileSync(file, mended);
    writeFileSync(stampPath(file), JSON.stringify(newStamp('mended')));
    return file;
  }

  /** With the server of the recorded runs as the one that a person works with. */
  #node(args: readonly string[], watch?: Watch): Promise<Said> {
    const { address, namespace } = this.suite.stack;
    const temporary = mkdtempSync(join(this.#directory, 'left-'));
    return new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        [...runTypeScript(SCRIPT), ...args],
        {
          env: {
            ...process.env,
            TEMPORAL_ADDRESS: address,
            TEMPORAL_NAMESPACE: namespace,
            TMPDIR: temporary,
          },
        },
        (error, out, err) => {
          const code = typeof error?.code === 'number' ? error.code : -1;
          const left = readdirSync(temporary).filter((name) =>
            name.startsWith('holdfast-re-enact-'),
          );
          resolve({ code: error === null ? 0 : code, out, err, left });
        },
      );
      let said = '';
      child.stderr?.on('data', (text: string) => {
        said += text;
        watch?.(said, () => child.kill('SIGINT'));
      });
    });
  }
}

export async function ends(run: WorkflowHandle): Promise<void> {
  await run.result().catch(() => undefined);
}

/** A bundle whose run met no fault, from a server whose workers named no bundle. */
export function withoutFaultsAndCode(line: Record<string, unknown>): unknown {
  if (line['kind'] === 'code') return undefined;
  const text = JSON.stringify(line).replaceAll(/"data":"([^"]*)"/g, (whole, data: string) => {
    const value = Buffer.from(data, 'base64').toString();
    if (!value.includes('"faults":[{')) return whole;
    const without = value.replace(/"faults":\[\{.*?\}\]/, '"faults":[]');
    return `"data":"${Buffer.from(without).toString('base64')}"`;
  });
  return JSON.parse(text);
}

export const withStateVersion =
  (version: number) =>
  (line: Record<string, unknown>): unknown =>
    JSON.parse(JSON.stringify(line).replaceAll(/"stateVersion":\d+/g, `"stateVersion":${version}`));
