import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { repositoryPath } from '../tools/repository-path';

/** What workflow code was built from. Its worker writes it into every history, as the build id. */
export interface Build {
  readonly version: string;
  /** The commit of the checkout, with `-dirty` where files were changed; null if it was built outside one. */
  readonly commit: string | null;
  /** SHA-256 of the bundle, in hex: equal code has the same. */
  readonly sha256: string;
}

export const buildIdOf = ({ version, commit, sha256 }: Build): string =>
  `holdfast@${version}+${commit ?? 'unknown'}.${sha256}`;

/** Null for a build id that is not ours, such as the SDK's own for code that was bundled at start. */
export function buildOf(buildId: string): Build | null {
  const parts = /^holdfast@([^+]+)\+(unknown|[0-9a-f]{40}(?:-dirty)?)\.([0-9a-f]{64})$/.exec(
    buildId,
  );
  if (parts === null) return null;
  const [, version = '', commit = '', sha256 = ''] = parts;
  return { version, commit: commit === 'unknown' ? null : commit, sha256 };
}

export const holdfastVersion = (): string =>
  (JSON.parse(readFileSync(repositoryPath('package.json'), 'utf8')) as { version: string }).version;

/** The commit that this checkout is at; HOLDFAST_COMMIT says it where an image is built without one. */
export function presentCommit(env: NodeJS.ProcessEnv = process.env): string | null {
  if (env['HOLDFAST_COMMIT']) return env['HOLDFAST_COMMIT'];
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: __dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const commit = git('rev-parse', 'HEAD');
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}-dirty`;
  } catch {
    // No git, or no checkout: an installed package has neither.
    return null;
  }
}
