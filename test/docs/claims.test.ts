/** docs/claims.md is made from scripts/claims-page/claims.ts and the names of the tests; nobody writes it by hand. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { restoreFlow, saveFlow } from '../../contract/flows';
import { VIRTUAL_FUNCTION_RESTORES } from '../../contract/inputs';
import { CLAIMS_PAGE, claimsPage } from '../../scripts/claims-page';
import { claimTests, claimTestsIn, passageTests } from '../../scripts/claims-page/claim-tests';
import { CLAIMS, type CodeOfClaim } from '../../scripts/claims-page/claims';
import { PASSAGES } from '../../scripts/claims-page/function-policy';
import { MIGRATION } from '../../scripts/claims-page/migration';

const repository = resolve(__dirname, '../..');
const NUMBERS = Array.from({ length: 20 }, (_, i) => i + 1);

/** What is wrong with a link to code: no such file, or nothing of that name is defined there. */
function brokenCode({ file, name }: CodeOfClaim): string[] {
  const path = join(repository, file);
  if (!existsSync(path)) return [`${file}: no such file`];
  const isDefined = new RegExp(`^(export )?(async )?(function|const|class) ${name}\\b`, 'm');
  return isDefined.test(readFileSync(path, 'utf8')) ? [] : [`${file}: does not define ${name}`];
}

test('the page of claims is up to date (else: npm run ts scripts/claims-page.ts)', () => {
  expect(readFileSync(join(repository, CLAIMS_PAGE), 'utf8')).toBe(claimsPage());
});

test('it has a row for each of the claims 1 to 20', () => {
  const rows = [...claimsPage().matchAll(/^\| (\d+) /gm)].map((match) => Number(match[1]));
  expect(rows).toEqual(NUMBERS);
  expect(CLAIMS.map((claim) => claim.number)).toEqual(NUMBERS);
});

test('every claim has a test of its number, and every such test a claim', () => {
  const tested = new Set(claimTests(repository).map((test) => test.claim));
  expect([...tested].sort((a, b) => a - b)).toEqual(NUMBERS);
});

test.each(CLAIMS)('claim $number names steps and code that exist', ({ steps, code }) => {
  const restores = VIRTUAL_FUNCTION_RESTORES.map((virtualFunctionRestore) =>
    restoreFlow({ mode: 'modified', virtualFunctionRestore }),
  );
  const flows = [saveFlow({ mode: 'modified' }), ...restores].flat();
  expect(steps.filter((step) => !flows.includes(step))).toEqual([]);
  expect(steps).not.toHaveLength(0);
  expect(code.flatMap(brokenCode)).toEqual([]);
  expect(code).not.toHaveLength(0);
});

test.each(['block', 'paragraph'] as const)(
  'every %s of the migration has a test of its number, and every such test a row',
  (what) => {
    const tested = new Set(claimTests(repository, what).map((test) => test.claim));
    const rows = MIGRATION.filter((part) => part.what === what).map(({ number }) => number);
    expect([...tested].sort((a, b) => a - b)).toEqual([...rows].sort((a, b) => a - b));
    expect(rows.length).toBeGreaterThan(7);
  },
);

test.each(MIGRATION)('$what $number of the migration names code that exists', ({ steps, code }) => {
  expect(code.flatMap(brokenCode)).toEqual([]);
  expect(code).not.toHaveLength(0);
  expect(steps).not.toHaveLength(0);
});

test('every passage of the function policy has a test and code, and every such test a passage', () => {
  const tested = new Set(passageTests(repository, 'Dawkins').map(({ passage }) => passage));
  expect([...tested].sort()).toEqual(PASSAGES.map(({ name }) => name).sort());
  expect(PASSAGES.flatMap(({ code }) => code).flatMap(brokenCode)).toEqual([]);
});

describe('the checks themselves', () => {
  test('find the tests of a file, and only those that run', () => {
    const source = `
      test('claim 3: is there', () => {});
      test.each<[number]>([[1]])(
        'claim 4: is there for %s', (n) => { test('claim 5: is inside', () => {}); },
      );
      test.concurrent('claim 10: is beside others', async () => {});
      test.concurrent.each(['a'])('claim 11: is beside others, for %s', async () => {});
      // test('claim 6: is commented out', () => {});
      test.skip('claim 7: is skipped', () => {});
      test.todo('claim 8: is planned');
      test('names claim 9: in the middle', () => {});
    `;
    expect(claimTestsIn('some.test.ts', source)).toEqual([
      { claim: 3, title: 'is there', file: 'some.test.ts' },
      { claim: 4, title: 'is there for %s', file: 'some.test.ts' },
      { claim: 5, title: 'is inside', file: 'some.test.ts' },
      { claim: 10, title: 'is beside others', file: 'some.test.ts' },
      { claim: 11, title: 'is beside others, for %s', file: 'some.test.ts' },
    ]);
  });

  test('find a file that is not there, and a name that is not defined', () => {
    expect(brokenCode({ file: 'no/such.ts', name: 'pauseVm' })).toEqual([
      'no/such.ts: no such file',
    ]);
    expect(brokenCode({ file: 'workflows/fast-save.ts', name: 'restoreVm' })).toEqual([
      'workflows/fast-save.ts: does not define restoreVm',
    ]);
  });
});
