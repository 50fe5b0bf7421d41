/** What the documents point at exists: files, headings, npm scripts. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const repository = resolve(__dirname, '../..');
const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(repository, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const read = (document: string): string => readFileSync(join(repository, document), 'utf8');

/** Code shows links and headings that are none. */
const withoutCode = (text: string): string =>
  text.replace(/^(`{3,}|~{3,}).*\n[\s\S]*?^\1.*$/gm, '').replace(/`[^`\n]*`/g, '');
const withoutFences = (text: string): string =>
  text.replace(/^(`{3,}|~{3,}).*\n[\s\S]*?^\1.*$/gm, '');

/** The anchors of a document's headings, made as GitHub makes them. */
function anchors(text: string): Set<string> {
  const seen = new Map<string, number>();
  const found = new Set<string>();
  for (const [, heading = ''] of withoutFences(text).matchAll(/^#{1,6}\s+(.+)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim();
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    found.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return found;
}

/** What is wrong with the relative links of a document. */
function brokenLinks(document: string, text: string): string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)].map(
    ([, target = '']) => target,
  );
  return links
    .filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
    .flatMap((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (relative(repository, join(repository, file)).startsWith('..')) {
        return [`${target}: leaves the repository`];
      }
      if (!existsSync(join(repository, file))) return [`${target}: no such file`];
      if (anchor === undefined || !file.endsWith('.md')) return [];
      const known = anchors(file === document ? text : read(file));
      return known.has(anchor) ? [] : [`${target}: no such heading in ${file}`];
    });
}

/** The npm scripts that a document names: `npm run bench`, `npm -s run dev`, `npm start`, `npm test`. */
function namedScripts(text: string): string[] {
  return [
    ...[...text.matchAll(/\bnpm (?:-\S+ )*run (?:-\S+ )*([a-z][\w:-]*)/g)].map(([, name]) => name),
    ...[...text.matchAll(/\bnpm (?:-\S+ )*(start|test)\b/g)].map(([, name]) => name),
  ].filter((name) => name !== undefined);
}
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
const unknownScripts = (text: string): string[] =>
  namedScripts(text).filter((name) => !Object.hasOwn(scripts, name));

describe.each(DOCUMENTS)('%s', (document) => {
  test('every relative link leads to a file, and to a heading where it names one', () => {
    expect(brokenLinks(document, read(document))).toEqual([]);
  });

  test('every npm script that it names exists', () => {
    expect(unknownScripts(read(document))).toEqual([]);
  });
});

test('README names every npm script', () => {
  const named = new Set(namedScripts(read('README.md')));
  expect(Object.keys(scripts).filter((name) => !named.has(name))).toEqual([]);
});

describe('the checks themselves', () => {
  test('find a file that is not there, a heading that is not there, a way out of the repository', () => {
    const text = [
      '# One heading',
      '[good](README.md) [good](#one-heading) [elsewhere](https://example.com/x)',
      '[file](no/such.md) [heading](#two) [out](../other/README.md) `[code](no.md)`',
    ].join('\n');
    expect(brokenLinks('README.md', text)).toEqual([
      'no/such.md: no such file',
      '#two: no such heading in README.md',
      '../other/README.md: leaves the repository',
    ]);
  });

  test('find a script that is not there', () => {
    expect(unknownScripts('`npm ci`, `npm test`, `npm -s start`, `npm -s run no-such`')).toEqual([
      'no-such',
    ]);
  });
});
