import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { repositoryPath } from '../repository-path';

/** What go.mod in this folder asks for; it is the one place that names versions. */
export interface TemporalRequirement {
  /** Version of the Temporal CLI, as it prints it: `1.8.2`. */
  readonly cliVersion: string;
  /** Lowest Go release that can build it: `1.26.4`. */
  readonly goVersion: string;
  /** Folder of go.mod, where `go build` runs. */
  readonly moduleDirectory: string;
}

/** Reads the requirement from go.mod; an Error names the line that is missing. */
export function temporalRequirement(): TemporalRequirement {
  const goModPath = repositoryPath('tools/temporal/go.mod');
  const goMod = readFileSync(goModPath, 'utf8');
  const field = (pattern: RegExp, line: string): string => {
    const value = pattern.exec(goMod)?.[1];
    if (value === undefined) throw new Error(`${goModPath} has no line "${line}"`);
    return value;
  };
  return {
    cliVersion: field(
      /^\s*(?:require\s+)?github\.com\/temporalio\/cli\s+v(\S+)/m,
      'require github.com/temporalio/cli vX',
    ),
    goVersion: field(/^go\s+(\S+)/m, 'go X'),
    moduleDirectory: dirname(goModPath),
  };
}
