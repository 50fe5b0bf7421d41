import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claimTests, passageTests, type ClaimTest } from './claims-page/claim-tests';
import { CLAIMS, type Claim } from './claims-page/claims';
import { PASSAGES } from './claims-page/function-policy';
import { MIGRATION } from './claims-page/migration';
import { markdownTable } from './markdown-table';
import { runMain } from '../workers/run-main';

/** The page that is made from `claims-page/claims.ts` and from the names of the tests in `test/claims`. */
export const CLAIMS_PAGE = join('docs', 'claims.md');
const REPOSITORY = join(__dirname, '..');

const INTRODUCTION = `# Claims

The modified fast save and fast restore follow US 2024/0427619 A1. This page leads from each of its claims to the tests that show
it, to the steps that a run performs for it and to the code that does them. The tests start \`fastSave\`, \`fastRestore\` and
\`serviceHost\` on a real Temporal server and compare what the host's journal, the record in its runtime repository and the
description of the VM say afterwards, or while a step is under way. The host is the simulated one.

How a claim is read where its words leave a choice:

- 6 and 7: the bus _interface_ is reset, the bus _connection_ made through it is kept: two objects (see
  [concepts.md](concepts.md)).
- 10 with 9: reading the VF info is part of power-on-restore; by it the adapter retrieves VF ID and LUID.
- 13: the interface goes from none to created, to bound by the assignment, to active by the connection, which is the one that was
  kept: the IOMMU attach count stays 1 all the time.
- 15: the device is alive while it is held, so that nothing is written to it. It has the parameters of the VF info; that each of
  them is so is checked before it is taken over, and a device that differs is given up and attached anew.
- 17: the ids are retrieved by the one function, so that power-on-restore reads version and number of blocks only.
- 18: the skip also applies when optimizations are enabled again by the undo of a save.

Below the claims stand the [figures and paragraphs of US 2023/0153140](#us-20230153140-migration-by-the-emulated-path), which the
migration of a VM follows, and the passages of US 2024/0256320 that the [function policy](#the-function-policy) follows.

The table is made from [scripts/claims-page/claims.ts](../scripts/claims-page/claims.ts) and from the names of the tests, the one below
from [scripts/claims-page/migration.ts](../scripts/claims-page/migration.ts). After a
change there, run \`npm run ts scripts/claims-page.ts\`; a test fails while they differ.
`;

const FUNCTION_POLICY = `## The function policy

The passages of US 2024/0256320 that are quoted against the claims above, and the flow of its first claim. The tests send commands
with \`commandFunction\`; [function-policy.md](function-policy.md) explains it. The table is made from
[scripts/claims-page/function-policy.ts](../scripts/claims-page/function-policy.ts).
`;
const PASSAGES_HEAD = ['passage', 'what it says', 'tests', 'code'] as const;

const HEAD = ['claim', 'what it says', 'tests', 'steps', 'code'] as const;

/** The whole page, as the formatter would leave it. */
export function claimsPage(): string {
  const tests = claimTests(REPOSITORY);
  const rows = CLAIMS.map((claim) => [
    String(claim.number),
    claim.gist,
    cell(tests.filter((test) => test.claim === claim.number).map(testLink)),
    cell(claim.steps.map((step) => `\`${step}\``)),
    cell(claim.code.map(codeLink)),
  ]);
  const ofPolicy = passageTests(REPOSITORY, 'Dawkins');
  const passages = PASSAGES.map(({ name, gist, code }) => [
    name,
    gist,
    cell(ofPolicy.filter(({ passage }) => passage === name).map(testLink)),
    cell(code.map(codeLink)),
  ]);
  return [
    `${INTRODUCTION}\n${markdownTable([HEAD, ...rows])}`,
    migrationSection(),
    `${FUNCTION_POLICY}\n${markdownTable([PASSAGES_HEAD, ...passages])}`,
  ].join('\n');
}

const ON_MIGRATION = `## US 2023/0153140: migration by the emulated path

\`migrateVm\` follows FIG. 5 for network functions and FIG. 6 for NVMe controllers; [migration.md](migration.md) has the whole flow.
Blocks 502-506, 518, 606-610 and the controllers' states at the destination are read from the figures and from what surrounds them;
of the others there are the words of the publication. The tests run \`migrateVm\` on a real server and read the journals of both
hosts. Paragraphs 24 and 25 explain functions and the ways in which a hypervisor presents them: there is nothing to be done in them.
`;

function migrationSection(): string {
  const tests = {
    block: claimTests(REPOSITORY, 'block'),
    paragraph: claimTests(REPOSITORY, 'paragraph'),
  };
  const rows = MIGRATION.map(({ what, number, gist, steps, code }) => [
    what === 'block' ? `FIG. ${String(Math.floor(number / 100))}, ${number}` : `¶ ${number}`,
    gist,
    cell(tests[what].filter((test) => test.claim === number).map(testLink)),
    cell(steps.map((step) => `\`${step}\``)),
    cell(code.map(codeLink)),
  ]);
  return `${ON_MIGRATION}\n${markdownTable([['block or paragraph', ...HEAD.slice(1)], ...rows])}`;
}

/** A test that runs once for each row of a table has a gap in its name. */
const testLink = ({ title, file }: Pick<ClaimTest, 'title' | 'file'>) =>
  `[${title.replaceAll('%s', '…')}](../${file})`;
const codeLink = ({ name, file }: Claim['code'][number]) => `[\`${name}\`](../${file})`;
/** A cell has no paragraphs; each entry begins on a line of its own. */
const cell = (entries: readonly string[]) => entries.join('<br>');

/** Writes the page anew. */
function main(): Promise<void> {
  writeFileSync(join(REPOSITORY, CLAIMS_PAGE), claimsPage());
  process.stdout.write(`wrote ${CLAIMS_PAGE}\n`);
  return Promise.resolve();
}

if (require.main === module) runMain('claims-page', main);
