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
export function claimTests(repository: string, what: Named = 'claim'): ClaimTest[] {
  const files = readdirSync(join(repository, FOLDER)).filter((name) => name.endsWith('.test.ts'));
  return files.sort().flatMap((name) => {
    const file = `${FOLDER}/${name}`;
    return claimTestsIn(file, readFileSync(join(repository, file), 'utf8'), what);
  });
}

/** Read from the syntax tree, so that a test which is commented out, skipped or only planned does not count. */
export function claimTestsIn(file: string, source: string, what: Named = 'claim'): ClaimTest[] {
  const naming = new RegExp(`^${what} (\\d+): (.+)$`);
  const found: ClaimTest[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [name] = node.arguments;
      const text = name !== undefined && ts.isStringLiteralLike(name) ? name.text : '';
      const [, claim, title] = naming.exec(text) ?? [];
      if (claim !== undefined && title !== undefined)
        found.push({ claim: Number(claim), title, file });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest));
  return found;
}

/** `test(…)` or `test.each(…)(…)`. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === 'test';
  if (!ts.isCallExpression(callee)) return false;
  const each = callee.expression;
  return (
    ts.isPropertyAccessExpression(each) && isTest(each.expression) && each.name.text === 'each'
  );
}
