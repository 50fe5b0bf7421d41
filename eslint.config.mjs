import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Who may import what: the table of docs/architecture.md, held as lint errors.
 *
 * - `ours`: our folders it may import from, besides itself.
 * - `typesOnly`: our folders it may import from with `import type` only.
 * - `packages`: the only packages it may import. Left out: any package, Node's built-ins included.
 */
const LAYERS = {
  contract: { ours: [], packages: ['zod', 'zod/mini', 'zod/locales', 'ms'] },
  planning: { ours: ['contract'], packages: [] },
  workflows: {
    ours: ['contract', 'planning'],
    typesOnly: ['activities'],
    packages: [
      '@temporalio/workflow',
      '@temporalio/common',
      'zod',
      'zod/mini',
      'zod/locales',
      'ms',
    ],
  },
  activities: { ours: ['contract', 'planning', 'hosts'] },
  hosts: { ours: ['contract'] },
  workers: { ours: ['contract', 'planning', 'workflows', 'activities', 'hosts'] },
  tools: { ours: ['contract'] },
  scripts: {
    ours: ['contract', 'planning', 'workflows', 'activities', 'hosts', 'workers', 'tools'],
  },
  // test/ may import everything, and nothing may import test/.
};

const FOLDERS = [...Object.keys(LAYERS), 'test'];

/** Folders whose code is bundled into Temporal's workflow sandbox and replayed there. */
const REPLAYED = ['workflows', 'contract', 'planning'];

/** Globals that do not exist in the sandbox, or that answer differently at the replay. */
const NOT_REPLAYABLE_GLOBALS = [
  'process',
  'Buffer',
  'fetch',
  'crypto',
  'performance',
  'require',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'WeakRef',
  'FinalizationRegistry',
];

const NOT_REPLAYABLE =
  'Workflow code is replayed: it must decide the same again. Use @temporalio/workflow (sleep, uuid4, ' +
  'workflowInfo), or let an activity read it and take its answer.';

const REPLAYED_SYNTAX = [
  { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: NOT_REPLAYABLE },
  { selector: 'CallExpression[callee.name="Date"]', message: NOT_REPLAYABLE },
  {
    selector: 'ImportExpression',
    message: 'The workflow bundle is one file: a dynamic import() cannot be loaded in the sandbox.',
  },
];

const alternatives = (names) => names.map((name) => name.replaceAll('.', '\\.')).join('|');

/** Matches a relative path that leaves the importing folder for one of `folders`. */
const pathInto = (folders) => `^(?:\\./)?(?:\\.\\./)+(?:${alternatives(folders)})(?:/|$)`;
const notRelative = '^(?!\\.{1,2}(?:/|$))';
const packageOtherThan = (packages) =>
  packages.length === 0 ? notRelative : `${notRelative}(?!(?:${alternatives(packages)})$)`;

const list = (names, none = 'nothing of ours') =>
  names.length === 0 ? none : names.map((name) => `${name}/`).join(', ');

const ONE_DOOR =
  'A driver is named in hosts/open-hosts.ts only: ask a HostDriver, so that the hosts may be any (docs/architecture.md).';

/** The refusals that one row of the table comes to: a regular expression over import paths, and what to say. */
function refusals(folder) {
  const { ours, typesOnly = [], packages } = LAYERS[folder];
  const refused = FOLDERS.filter((other) => ![folder, ...ours, ...typesOnly].includes(other));
  const may = `${folder}/ may import ${list(ours)}${typesOnly.length > 0 ? ` and types of ${list(typesOnly)}` : ''}`;

  const found = [{ regex: pathInto(refused), message: `${may} (docs/architecture.md).` }];
  if (folder !== 'hosts') found.push({ regex: pathInto(['hosts/simulator']), message: ONE_DOOR });
  if (typesOnly.length > 0) {
    found.push({ regex: pathInto(typesOnly), message: `${may}: use "import type".`, types: true });
  }
  if (packages !== undefined) {
    found.push({
      regex: packageOtherThan(packages),
      message:
        `${folder}/ is bundled into the workflow sandbox: no Node built-ins, no host-side Temporal ` +
        `packages; of packages it may import ${packages.join(', ') || 'none'}.`,
    });
  }
  return found;
}

/**
 * Two rules from each row, because `no-restricted-imports` sees only static imports:
 * a dynamic `import()` would reach round the layers unseen.
 */
const importRules = (refused, isReplayed = false) => ({
  '@typescript-eslint/no-restricted-imports': [
    'error',
    {
      patterns: refused.map(({ regex, message, types = false }) => ({
        regex,
        message,
        allowTypeImports: types,
      })),
    },
  ],
  'no-restricted-syntax': [
    'error',
    ...(isReplayed
      ? REPLAYED_SYNTAX
      : refused.map(({ regex, message }) => ({
          selector: `ImportExpression[source.value=/${regex.replaceAll('/', '\\/')}/]`,
          message,
        }))),
  ],
});
const layerRules = [
  ...Object.keys(LAYERS).map((folder) => ({
    name: `holdfast/layers/${folder}`,
    files: [`${folder}/**/*.ts`],
    rules: importRules(refusals(folder), REPLAYED.includes(folder)),
  })),
  {
    name: 'holdfast/layers/hosts without a driver',
    files: ['hosts/**/*.ts'],
    ignores: ['hosts/simulator/**', 'hosts/open-hosts.ts'],
    rules: importRules([
      ...refusals('hosts'),
      { regex: '^\\.{1,2}/(?:\\.\\./)*simulator(?:/|$)', message: ONE_DOOR },
    ]),
  },
];

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', '.holdfast/', 'test/histories/']),
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    name: 'holdfast/typescript',
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unnecessary-condition': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      // A union that gains a member (a step, a failure, a phase) must break every switch over it.
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
      'max-lines': ['warn', { max: 300 }],
    },
  },
  layerRules,
  {
    name: 'holdfast/replayed',
    files: REPLAYED.map((folder) => `${folder}/**/*.ts`),
    rules: {
      'no-restricted-globals': [
        'error',
        ...NOT_REPLAYABLE_GLOBALS.map((name) => ({ name, message: NOT_REPLAYABLE })),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: NOT_REPLAYABLE },
        { object: 'Math', property: 'random', message: NOT_REPLAYABLE },
        { object: 'globalThis', property: 'process', message: NOT_REPLAYABLE },
      ],
    },
  },
  {
    name: 'holdfast/clock',
    // The one place in replayed code that reads the clock: the sandbox answers the same again at a replay.
    files: ['workflows/clock.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    name: 'holdfast/scripts',
    // What a person runs answers on the terminal.
    files: ['scripts/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    name: 'holdfast/test',
    files: ['test/**/*.ts'],
    // expect.objectContaining and the like are typed `any` by jest.
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
  {
    name: 'holdfast/plain-javascript',
    files: ['**/*.{js,cjs,mjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        module: 'writable',
        require: 'readonly',
        __dirname: 'readonly',
        process: 'readonly',
        console: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
      },
    },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  prettier,
);
