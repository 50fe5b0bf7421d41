import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAILURES } from '../contract/failures';
import { runMain } from '../workers/run-main';
import { markdownTable } from './markdown-table';

/** The page for operators that is made from contract/failures.ts. */
export const FAILURES_PAGE = join('docs', 'failures.md');

const INTRODUCTION = `# Failures

Every run that does not succeed ends with one of these types. The type stands in the failure of the run and, as \`Outcome\`, in
its search attributes; the message says what happened, to which host, VM or VF, and what to do. What to do next also stands in
the memo of the run, as \`nextAction\`.

A failure can be the answer of one step, the end of a run, or both: then the run names the step's failure as its cause.
"Retried" says whether the step is attempted again, within its window. A failure that is not retried is decided on at once.

The table is made from [contract/failures.ts](../contract/failures.ts). After a change there, run
\`npm run ts scripts/failures-table.ts\`; a test fails while the two differ.
`;

const HEAD = ['type', 'retried', 'what it means', 'what to do'] as const;

/** The whole page, as the formatter would leave it. */
export function failuresPage(): string {
  const rows = Object.entries(FAILURES).map(([type, { retryable, meaning, nextAction }]) => [
    `\`${type}\``,
    retryable ? 'yes' : 'no',
    meaning,
    nextAction,
  ]);
  return `${INTRODUCTION}\n${markdownTable([HEAD, ...rows])}`;
}

/** Writes the page anew. */
function main(): Promise<void> {
  writeFileSync(join(__dirname, '..', FAILURES_PAGE), failuresPage());
  process.stdout.write(`wrote ${FAILURES_PAGE}\n`);
  return Promise.resolve();
}

if (require.main === module) runMain('failures-table', main);
