import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';

import { errorCode } from '../reason';

/** File next to a dev server's database that says which Temporal made it. */
export function stampPath(dbFilename: string): string {
  return `${dbFilename}.made-by`;
}

/**
 * Stamps a database that is about to be made, and checks one that exists.
 * The dev server sets up its schema only in a new file and never migrates one (Temporal CLI, `internal/devserver`).
 *
 * @param version line that `temporal --version` prints
 * @returns a warning for a person when the database was made by another version, else undefined
 */
export async function checkDatabaseStamp(
  dbFilename: string,
  version: string,
): Promise<string | undefined> {
  if (!existsSync(dbFilename)) {
    await writeFile(stampPath(dbFilename), `${version}\n`);
    return undefined;
  }
  const madeBy = await readStamp(dbFilename);
  if (madeBy === version) return undefined;
  return (
    `warning: ${dbFilename} was made by ${madeBy ?? 'an unknown version'}, this is ${version}. ` +
    'Temporal does not migrate dev databases; if it does not start or behaves oddly, move that file away.'
  );
}

async function readStamp(dbFilename: string): Promise<string | undefined> {
  try {
    return (await readFile(stampPath(dbFilename), 'utf8')).trim();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
