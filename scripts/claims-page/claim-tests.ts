import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** What a test may name: a claim of one patent, a block of a figure of another, or a paragraph. */
export type Named = 'claim' | 'block' | 'paragraph';

export interface ClaimTest {
  /** Of the claim, or of the block or paragraph. */
  readonly claim: number;
  /** What stands after `claim N: `. */
  readonly title: string;
  /** Relative to the repository, with slashes. */
  readonly file: string;
}

const FOLDER = 'test/claims';

/** All tests of `test/claims` that name a claim (or a block, or a paragraph), in the order of the files. */
export const claimTests = (repository: string, what: Named = 'claim'): ClaimTest[] =>
  filesOf(repository).flatMap(({ file, source }) => claimTestsIn(file, source, what));

export interface PassageTest extends Omit<ClaimTest, 'claim'> {
  /** `¶56`, or `claim 1`. */
  readonly passage: string;
}

/** All that name a passage of another publication, by this name for it. */
export const passageTests = (repository: string, publication: string): PassageTest[] =>
  filesOf(repository).flatMap(({ file, source }) =>
    testNames(source).flatMap((text) => {
      const [, passage, title] = /^\S+ (¶\d+|claim \d+): (.+)$/.exec(text) ?? [];
      const isOfIt = text.startsWith(`${publication} `);
      return isOfIt && passage !== undefined && title !== undefined
        ? [{ passage, title, file }]
        : [];
    }),
  );

function filesOf(repository: string) {
  const files = readdirSync(join(repository, FOLDER)).filter((name) => name.endsWith('.test.ts'));
  return files.sort().map((name) => {
    const file = `${FOLDER}/${name}`;
    return { file, source: readFileSync(join(repository, file), 'utf8') };
  });
}

export const claimTestsIn = (file: string, source: string, what: Named = 'claim'): ClaimTest[] =>
  testNames(source).flatMap((text) => {
    const [, claim, title] = new RegExp(`^${what} (\\d+): (.+)$`).exec(text) ?? [];
    return claim !== undefined && title !== undefined
      ? [{ claim: Number(claim), title, file }]
      : [];
  });

/** Read from the syntax tree, so that a test which is commented out, skipped or only planned does not count. */
function testNames(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [name] = node.arguments;
      if (name !== undefined && ts.isStringLiteralLike(name)) found.push(name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('', source, ts.ScriptTarget.Latest));
  return found;
}

/** `test(…)` or `test.each(…)(…)`, also `test.concurrent`. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === 'test';
  if (ts.isPropertyAccessExpression(callee))
    return callee.name.text === 'concurrent' && isTest(callee.expression);
  if (!ts.isCallExpression(callee)) return false;
  const each = callee.expression;
  return (
    ts.isPropertyAccessExpression(each) && isTest(each.expression) && each.name.text === 'each'
  );
}
