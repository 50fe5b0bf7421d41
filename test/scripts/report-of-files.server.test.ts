import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HISTORIES, historyFiles } from '../workflows/recorded';
import { ReportScript } from './report-script';

const ROOT = join(__dirname, '..', '..');

const scripts: ReportScript[] = [];
function newScript(): ReportScript {
  const script = new ReportScript();
  scripts.push(script);
  return script;
}
afterAll(() => {
  for (const script of scripts) script.remove();
});

describe('npm run report', () => {
  const history = join(HISTORIES, 'fast-save.undone.json');

  it.concurrent(
    'names the file after the workflow, says its size, and writes over a report of its own',
    async () => {
      const script = newScript();
      const first = await script.run([history]);
      expect(first).toMatchObject({ code: 0, err: '' });
      const [, file = '', size] = /^(\S+\.html): (\d+) KB\n$/.exec(first.out) ?? [];
      expect(file).toMatch(/^fast-save-host-\d+-vm-01\.html$/);
      expect(Number(size)).toBe(Math.ceil(statSync(script.path(file)).size / 1024));
      expect(await script.run([history])).toEqual(first);
      expect(readdirSync(script.directory).filter((name) => name.endsWith('.part'))).toEqual([]);
    },
  );

  it.concurrent('writes over nothing else', async () => {
    const script = newScript();
    writeFileSync(script.path('mine.html'), 'something of mine');
    const { code, out, err } = await script.run([history, '--out', 'mine.html']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('mine.html is there already and is no report: name another file');
    expect(script.read('mine.html')).toBe('something of mine');
  });

  it.concurrent.each<readonly [string, readonly string[], number, string]>([
    ['a file that is not there', ['none.hfbundle'], 2, 'There is no file none.hfbundle'],
    ['no server', ['service-host/host-01'], 4, 'No Temporal server answers'],
    ['no argument', [], 2, 'missing required argument'],
    [
      'an address that is none',
      [history, '--ui-url', 'javascript:alert(1)'],
      2,
      '--ui-url must be an address such as http://localhost:8233',
    ],
    [
      'a folder that is not there',
      [history, '--out', 'no/such/folder.html'],
      2,
      'cannot be written',
    ],
  ])('%s: exit code and what to do', async (_what, args, code, message) => {
    const answer = await newScript().run(args);
    expect(answer.err).toContain(message);
    expect(answer).toMatchObject({ code, out: '' });
  });

  it.concurrent(
    'tells of every kind of run that was ever recorded',
    async () => {
      const script = newScript();
      const all = script.path('all.ts');
      writeFileSync(
        all,
        `import { writeFileSync } from 'node:fs';
import { readTree } from ${JSON.stringify(join(ROOT, 'scripts/report/read-tree'))};
import { page } from ${JSON.stringify(join(ROOT, 'scripts/report/page'))};
void (async () => {
  for (const name of ${JSON.stringify(historyFiles())})
    writeFileSync(name + '.html', await page(await readTree(${JSON.stringify(HISTORIES)} + '/' + name, {}), null));
})();`,
      );
      expect(await script.node(all)).toEqual({ code: 0, out: '', err: '' });
      for (const name of historyFiles()) {
        const text = script.read(`${name}.html`);
        expect(text).toContain('</html>');
        expect(text).not.toMatch(/undefined|NaN|\[object|Infinity/);
        expect(text).not.toContain('href="http');
        expect(text).toContain('make the report with --ui-url');
      }
      expect(script.read('fast-restore.stranded.json.html')).toMatch(/stranded<\/th><td>1</);
      expect(script.read('service-host.updated.json.html')).toContain('fast-restore/host-01/vm-02');
      expect(script.read('update-fleet.busy.json.html')).toContain('another run services it');
      expect(script.read('update-fleet.steered.json.html')).toContain('Interventions');
    },
    300_000,
  );
});
