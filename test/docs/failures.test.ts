/** docs/failures.md is made from contract/failures.ts; nobody writes it by hand. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FAILURES } from '../../contract/failures';
import { FAILURES_PAGE, failuresPage } from '../../scripts/failures-table';

const path = join(resolve(__dirname, '../..'), FAILURES_PAGE);

test('the page of failures is up to date (else: npm run ts scripts/failures-table.ts)', () => {
  expect(readFileSync(path, 'utf8')).toBe(failuresPage());
});

test('it has a row for every failure, in the order of the contract', () => {
  const types = [...failuresPage().matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]);
  expect(types).toEqual(Object.keys(FAILURES));
});
