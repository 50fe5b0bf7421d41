/** What promtool says of the configuration, the alerts and their tests; what it does not look at is checked here. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import * as z from 'zod';

const repository = resolve(__dirname, '../..');
const directory = join(repository, 'deploy', 'prometheus');
const read = (file: string): unknown => parse(readFileSync(join(directory, file), 'utf8'));

const PROMTOOL = ['/usr/bin/promtool', '/usr/local/bin/promtool'].find((path) => existsSync(path));

// CI installs it; on a machine without it this is said, not hidden.
const withPromtool =
  PROMTOOL === undefined && process.env['CI'] === undefined ? describe.skip : describe;
if (PROMTOOL === undefined)
  process.stderr.write(
    'No promtool found: the tests of the alerts need it (apt-get install prometheus).\n',
  );

withPromtool('promtool', () => {
  const promtool = (...args: string[]): string =>
    execFileSync(PROMTOOL ?? 'promtool', args, { cwd: directory, encoding: 'utf8' });

  it('accepts the configuration', () => {
    expect(promtool('check', 'config', 'prometheus.yml')).toContain('1 rule files found');
  });

  it('accepts the rules, and finds none twice', () => {
    expect(promtool('check', 'rules', '--lint-fatal', 'holdfast.rules.yml')).toContain('SUCCESS');
  });

  it('can read every expression of the dashboard', () => {
    // As rules, because promtool reads nothing else.
    const rules = dashboardExpressions().map((expr, index) => ({
      record: `panel:expression:${String(index)}`,
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(host|mode)\b/g, '.*'),
    }));
    expect(rules.length).toBeGreaterThan(20);
    const file = join(mkdtempSync(join(tmpdir(), 'holdfast-dashboard-')), 'rules.yml');
    writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
    try {
      expect(promtool('check', 'rules', file)).toContain(`${String(rules.length)} rules found`);
    } finally {
      rmSync(dirname(file), { recursive: true });
    }
  });

  it('sees every alert fire and stay quiet as its tests say', () => {
    expect(promtool('test', 'rules', 'holdfast.rules.test.yml')).toContain('SUCCESS');
  });
});

function dashboardExpressions(): string[] {
  const file = join(repository, 'deploy', 'grafana', 'dashboards', 'holdfast.json');
  const { panels } = z
    .object({
      panels: z.array(z.object({ targets: z.array(z.object({ expr: z.string() })).default([]) })),
    })
    .parse(JSON.parse(readFileSync(file, 'utf8')));
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
}

const alert = z.object({
  alert: z.string(),
  expr: z.string(),
  labels: z.object({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.object({ summary: z.string(), description: z.string(), runbook: z.string() }),
});
const alerts = z
  .object({ groups: z.array(z.object({ name: z.string(), rules: z.array(alert) })) })
  .parse(read('holdfast.rules.yml'))
  .groups.flatMap((group) => group.rules);

describe.each(alerts)('$alert', ({ alert: name, annotations, labels }) => {
  it('leads to a heading of the operations page', () => {
    const [page, anchor] = annotations.runbook.split('#');
    expect(page).toBe('docs/operations.md');
    const headings = [
      ...readFileSync(join(repository, 'docs', 'operations.md'), 'utf8').matchAll(/^#+ (.+)$/gm),
    ].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    );
    expect(headings).toContain(anchor);
  });

  it('is seen to fire, and to stay quiet, in the tests of the rules', () => {
    const { tests } = z
      .object({
        tests: z.array(
          z.object({
            alert_rule_test: z.array(
              z.object({
                alertname: z.string(),
                exp_alerts: z.array(z.object({ exp_labels: z.record(z.string(), z.string()) })),
              }),
            ),
          }),
        ),
      })
      .parse(read('holdfast.rules.test.yml'));
    const cases = tests.flatMap((t) => t.alert_rule_test).filter((c) => c.alertname === name);
    const fired = cases.flatMap((c) => c.exp_alerts.map((a) => a.exp_labels['severity']));
    expect(fired).toContain(labels.severity);
    expect(cases.some((c) => c.exp_alerts.length === 0)).toBe(true);
  });
});
