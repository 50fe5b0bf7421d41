// ESLint loads its configuration with import(), which jest's sandbox refuses; so the tests ask this file in a plain Node
// process. A question a line on stdin: [{ filePath, code, typed }]; its answer a line on stdout: one list of
// { rule, message } per source. Starting ESLint costs more than linting a hundred small sources: one process answers all.
import { createInterface } from 'node:readline';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const cwd = process.cwd();

/** The repository's own configuration; sources that are not on disk have no types, so rules that need them are off. */
const untyped = new ESLint({ cwd, overrideConfig: [tseslint.configs.disableTypeChecked] });

/** The same with types: the named sources join TypeScript's default project. */
const typed = (filePaths) =>
  new ESLint({
    cwd,
    overrideConfig: [
      {
        files: ['**/*.ts'],
        languageOptions: {
          parserOptions: {
            projectService: { allowDefaultProject: filePaths, defaultProject: 'tsconfig.json' },
          },
        },
      },
    ],
  });

async function lint(sources) {
  const withTypes = typed(sources.filter((s) => s.typed).map((s) => s.filePath));
  const found = [];
  for (const { filePath, code, typed: isTyped = false } of sources) {
    const [result] = await (isTyped ? withTypes : untyped).lintText(code, { filePath });
    found.push(
      result.messages.map(({ ruleId, message }) => ({ rule: ruleId ?? 'parser', message })),
    );
  }
  return found;
}

for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await lint(JSON.parse(line)))}\n`);
