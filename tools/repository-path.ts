import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Absolute path of a file that is not compiled (go.mod, guard.cjs), whether this code runs from the sources or from
 * `dist/`, which sits one level deeper.
 */
export function repositoryPath(relativePath: string): string {
  for (let directory = __dirname; ; directory = dirname(directory)) {
    const candidate = join(directory, relativePath);
    if (existsSync(candidate)) return candidate;
    if (directory === dirname(directory)) {
      throw new Error(
        `${relativePath} is missing above ${__dirname}; run from a complete checkout of holdfast`,
      );
    }
  }
}
