// ESLint loads its configuration with import(), which jest's sandbox refuses; so the test runs this file in a
// plain Node process: [{ filePath, code, typed }] on stdin, one list of { rule, message } per source on stdout.
import { text } from 'node:stream/consumers';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const cwd = process.cwd();
const sources = JSON.parse(await text(process.stdin));

/** The repository's own configuration; sources that are not on disk have no types, so rules that need them are off. */
const untyped = new ESLint({ cwd, overrideConfig: [tseslint.configs.disableTypeChecked] });

/** The same with types: the named sources join TypeScript's default project. */
const typed = new ESLint({
  cwd,
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: {
        parserOptions: {
          projectService: {
            allowDefaultProject: sources.filter((s) => s.typed).map((s) => s.filePath),
            defaultProject: 'tsconfig.json',
          },
        },
      },
    },
  ],
});

const found = [];
for (const { filePath, code, typed: withTypes = false } of sources) {
  const [result] = await (withTypes ? typed : untyped).lintText(code, { filePath });
  found.push(result.messages.map(({ ruleId, message }) => ({ rule: ruleId ?? 'parser', message })));
}
process.stdout.write(JSON.stringify(found));
