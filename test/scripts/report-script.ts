/** `npm run report`, without npm, in a folder of its own. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryPath } from '../../tools/repository-path';
import { runTypeScript } from '../../tools/typescript/run-typescript';

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class ReportScript {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-report-'));

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.directory, name);
  }
  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Answer> {
    return this.node(repositoryPath('scripts/report.ts'), args, env);
  }

  /** The text of a report that must be written. */
  async written(name: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string> {
    const { code, err } = await this.run([...args, '--out', name], env);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return this.read(name);
  }

  /** TypeScript, as the scripts are run. By default there is no server. */
  node(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Answer> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [...runTypeScript(file), ...args],
        {
          cwd: this.directory,
          env: { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1', ...env },
          maxBuffer: 64_000_000,
        },
        (error, out, err) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ code, out, err });
        },
      );
    });
  }
}
