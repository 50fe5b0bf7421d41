/**
 * The lint rules that hold architecture.md's table and the workflow sandbox's limits, each proved to fire on a
 * small source and to leave the allowed form alone. The expectations are written out here, not read from the
 * configuration: a row changed there by mistake fails here.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

interface Source {
  filePath: string;
  code: string;
  /** Lint with type information, for the rules that need it. */
  typed?: boolean;
}

interface Finding {
  rule: string;
  message: string;
}

const repository = resolve(__dirname, '../..');

let eslint: ChildProcessWithoutNullStreams;
let answers: AsyncIterator<string>;
beforeAll(() => {
  eslint = spawn(process.execPath, [join(__dirname, 'lint-sources.mjs')], { cwd: repository });
  eslint.stderr.pipe(process.stderr);
  answers = createInterface({ input: eslint.stdout })[Symbol.asyncIterator]();
});
afterAll(async () => {
  const ended = once(eslint, 'exit');
  eslint.stdin.end();
  await ended;
});

async function lint(sources: readonly Source[]): Promise<Finding[][]> {
  eslint.stdin.write(`${JSON.stringify(sources)}\n`);
  const { value, done } = await answers.next();
  if (done === true) throw new Error('ESLint ended without an answer; it says why above');
  return JSON.parse(value) as Finding[][];
}

async function lintTable<Case extends Source>(
  cases: readonly Case[],
): Promise<(Case & { rules: string[] })[]> {
  const findings = await lint(cases);
  return cases.map((source, index) => ({
    ...source,
    rules: (findings[index] ?? []).map(({ rule }) => rule),
  }));
}

const IMPORTS = '@typescript-eslint/no-restricted-imports';
const SYNTAX = 'no-restricted-syntax';
const GLOBALS = 'no-restricted-globals';
const PROPERTIES = 'no-restricted-properties';

const folders = [
  'contract',
  'planning',
  'workflows',
  'activities',
  'hosts',
  'workers',
  'tools',
  'scripts',
  'test',
] as const;
type Folder = (typeof folders)[number];

const mayImport: Record<Folder, readonly Folder[]> = {
  contract: [],
  planning: ['contract'],
  workflows: ['contract', 'planning'],
  activities: ['contract', 'planning', 'hosts'],
  hosts: ['contract'],
  workers: ['contract', 'planning', 'workflows', 'activities', 'hosts'],
  tools: ['contract'],
  scripts: ['contract', 'planning', 'workflows', 'activities', 'hosts', 'workers', 'tools'],
  test: folders,
};

const crossings = folders.flatMap((from) =>
  folders.filter((to) => to !== from).map((to) => ({ from, to })),
);

describe('imports between folders', () => {
  const lintCrossings = () =>
    lintTable(
      crossings.flatMap(({ from, to }) => [
        {
          from,
          to,
          form: 'value' as const,
          filePath: `${from}/nested/probe.ts`,
          code: `import { thing } from '../../${to}/thing';\nexport const probe = thing;\n`,
        },
        {
          from,
          to,
          form: 're-export' as const,
          filePath: `${from}/probe.ts`,
          code: `export * from '../${to}';\n`,
        },
        {
          from,
          to,
          form: 'type' as const,
          filePath: `${from}/probe.ts`,
          code: `import type { Thing } from '../${to}/thing';\nexport type Probe = Thing;\n`,
        },
        {
          from,
          to,
          form: 'dynamic' as const,
          filePath: `${from}/probe.ts`,
          code: `export const probe = import('../${to}/thing');\n`,
        },
      ]),
    );
  let cases: Awaited<ReturnType<typeof lintCrossings>>;
  beforeAll(async () => {
    cases = await lintCrossings();
  });

  it.each(crossings)('$from → $to', ({ from, to }) => {
    const rulesOf = (form: (typeof cases)[number]['form']) =>
      cases.find((c) => c.from === from && c.to === to && c.form === form)?.rules;
    const allowed = mayImport[from].includes(to);
    const allowedAsType = allowed || (from === 'workflows' && to === 'activities');
    // The workflow bundle is one file, so what is replayed has no dynamic imports at all.
    const allowedDynamically = allowed && !['contract', 'planning', 'workflows'].includes(from);

    expect({
      value: rulesOf('value'),
      reExport: rulesOf('re-export'),
      type: rulesOf('type'),
      dynamic: rulesOf('dynamic'),
    }).toEqual({
      value: allowed ? [] : [IMPORTS],
      reExport: allowed ? [] : [IMPORTS],
      type: allowedAsType ? [] : [IMPORTS],
      dynamic: allowedDynamically ? [] : [SYNTAX],
    });
  });

  it('leaves imports within a folder alone', async () => {
    const [within] = await lintTable([
      {
        filePath: 'hosts/simulator/probe.ts',
        code: "import { driver } from '../host-driver';\nimport { state } from './contract/state';\nexport { driver, state };\n",
      },
    ]);
    expect(within?.rules).toEqual([]);
  });

  it('lets one file name a driver: everybody else asks through the interface', async () => {
    const naming = (filePath: string, path: string) => ({
      filePath,
      code: `import { Thing } from '${path}';\nexport const probe = Thing;\n`,
    });
    const found = await lintTable([
      naming('hosts/open-hosts.ts', './simulator/store'),
      naming('hosts/simulator/migration/probe.ts', '../store'),
      naming('hosts/probe.ts', './simulator/store'),
      naming('hosts/engine/probe.ts', '../simulator/store'),
      naming('hosts/engine/operations/probe.ts', '../../simulator/state'),
      naming('activities/probe.ts', '../hosts/simulator/store'),
      naming('workers/probe.ts', '../hosts/simulator/store'),
      naming('scripts/bench/probe.ts', '../../hosts/simulator/store'),
    ]);
    expect(found.map(({ rules }) => rules)).toEqual([
      ...[[], []],
      ...Array.from({ length: 6 }, () => [IMPORTS]),
    ]);
  });

  it('says what the folder may import', async () => {
    const [[finding] = []] = await lint([
      {
        filePath: 'workflows/probe.ts',
        code: "import { createActivities } from '../activities';\nexport const probe = createActivities;\n",
      },
    ]);
    expect(finding?.message).toContain(
      'workflows/ may import contract/, planning/ and types of activities/',
    );
  });
});

describe('packages in replayed code', () => {
  const temporalOnTheHost = [
    '@temporalio/client',
    '@temporalio/worker',
    '@temporalio/activity',
    '@temporalio/testing',
    '@temporalio/envconfig',
    '@temporalio/core-bridge',
  ];
  const builtIns = ['node:fs', 'fs', 'node:fs/promises', 'node:assert', 'assert', 'crypto', 'os'];
  const validation = ['zod', 'zod/mini', 'zod/locales', 'ms'];
  const sandbox = ['@temporalio/workflow', '@temporalio/common'];
  const all = [...temporalOnTheHost, ...builtIns, ...validation, ...sandbox, 'pino', 'lmdb'];

  const allowed = {
    contract: validation,
    planning: [],
    workflows: [...validation, ...sandbox],
  };

  it.each(Object.entries(allowed))('%s/ may import %j only', async (folder, names) => {
    const linted = await lintTable(
      all.map((name) => ({
        name,
        filePath: `${folder}/probe.ts`,
        code: `import * as probe from '${name}';\nexport { probe };\n`,
      })),
    );
    const passed = linted.filter(({ rules }) => !rules.includes(IMPORTS));
    expect(passed.map(({ name }) => name).sort()).toEqual([...names].sort());
  });
});

describe('what the replay cannot repeat', () => {
  const refused = [
    { code: 'export const probe = process.env;\n', rule: GLOBALS },
    { code: 'export const probe = globalThis.process;\n', rule: PROPERTIES },
    { code: 'export const probe = Date.now();\n', rule: PROPERTIES },
    { code: 'export const probe = new Date();\n', rule: SYNTAX },
    { code: 'export const probe = Date();\n', rule: SYNTAX },
    { code: 'export const probe = Math.random();\n', rule: PROPERTIES },
    { code: 'setTimeout(() => undefined, 1000);\n', rule: GLOBALS },
    { code: 'setInterval(() => undefined, 1000);\n', rule: GLOBALS },
    { code: 'export const probe = crypto.randomUUID();\n', rule: GLOBALS },
  ];
  const passing = [
    { code: "export const probe = new Date('2026-01-01T00:00:00Z').getTime();\n" },
    { code: 'export const probe = Math.max(1, 2);\n' },
  ];

  it.each(['workflows', 'contract', 'planning'])('is refused in %s/', async (folder) => {
    const expected = [...refused, ...passing].map((source) => ({
      code: source.code,
      filePath: `${folder}/probe.ts`,
      rules: 'rule' in source ? [source.rule] : [],
    }));
    expect(await lintTable(expected)).toEqual(expected);
  });

  it('is allowed where nothing is replayed', async () => {
    const elsewhere = await lintTable(
      refused.map((s) => ({ ...s, filePath: 'activities/probe.ts' })),
    );
    expect(elsewhere.flatMap(({ rules }) => rules)).toEqual([]);
  });
});

describe('everywhere', () => {
  it('a promise nobody waits for is an error, and one that is awaited is not', async () => {
    const step = 'declare function step(): Promise<void>;\n';
    const [floating, awaited] = await lintTable([
      {
        filePath: 'workflows/floating-probe.ts',
        code: `${step}export function probe(): void {\n  step();\n}\n`,
        typed: true,
      },
      {
        filePath: 'workflows/awaited-probe.ts',
        code: `${step}export async function probe(): Promise<void> {\n  await step();\n}\n`,
        typed: true,
      },
    ]);
    expect(floating?.rules).toEqual(['@typescript-eslint/no-floating-promises']);
    expect(awaited?.rules).toEqual([]);
  });

  it('console is for scripts, and `any` for nobody', async () => {
    const code = "console.log('probe');\n";
    const [inHosts, inScripts, untyped] = await lintTable([
      { filePath: 'hosts/probe.ts', code },
      { filePath: 'scripts/probe.ts', code },
      { filePath: 'hosts/probe.ts', code: 'export const probe: any = 1;\n' },
    ]);
    expect(inHosts?.rules).toEqual(['no-console']);
    expect(inScripts?.rules).toEqual([]);
    expect(untyped?.rules).toEqual(['@typescript-eslint/no-explicit-any']);
  });
});
