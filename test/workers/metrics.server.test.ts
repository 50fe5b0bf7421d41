import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parse } from 'yaml';
import * as z from 'zod';
import { HISTOGRAM_BUCKETS } from '../../activities/host-metrics/instruments';
import type { ServiceHostResult } from '../../contract/results';
import { ObservedWorkers, scrape, total, type Sample } from '../support/observed-workers';
import { Suite, type OwnStack } from '../support/suite';

const repository = resolve(__dirname, '../..');

describe('the metrics of real workers', () => {
  let suite: Suite<OwnStack>;
  let workers: ObservedWorkers;
  let serviced: ServiceHostResult;
  let orchestrator: Sample[];
  let host: Sample[];

  beforeAll(async () => {
    suite = await Suite.start('metrics', { hosts: 3, vms: 2 });
    workers = await ObservedWorkers.start(suite, dirname(suite.stack.store.directory));
    await suite.stack.ready();
    serviced = await suite.run('serviceHost', {
      hostId: 'host-01',
      update: { component: 'vpciVsp', version: '2.0.0' },
      faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 2 }],
    });
    await suite.fails('serviceHost', {
      hostId: 'host-02',
      update: { component: 'vpciVsp', version: '2.0.0' },
      faults: [{ vmId: 'vm-01', step: 'restoreVm', kind: 'fail-before', times: 1000 }],
    });
    await suite.run('updateFleet', { update: { version: '3.0.0' }, hosts: ['host-03'] });
    // A type that no worker knows: its workflow tasks fail, which nothing else makes them do.
    await suite.stack.client.workflow.start('noSuchWorkflow', {
      workflowId: 'no-such-workflow',
      taskQueue: 'holdfast',
      workflowExecutionTimeout: '60s',
    });
    // 4 blackouts have ended, and a VM is stranded: the hosts say so when they are next described.
    await until(
      async () =>
        total(await scrape(workers.addresses[1]), BLACKOUTS) >= 5 && (await stranded()) > 0,
    );
    await until(async () => total(await scrape(workers.addresses[0]), TASKS_FAILED) > 0);
    [orchestrator = [], host = []] = await Promise.all(workers.addresses.map(scrape));
  });
  afterAll(async () => {
    await workers.stop();
    await suite.stop();
  });

  const BLACKOUTS = 'holdfast_blackout_duration_seconds_count';
  const TASKS_FAILED = 'temporal_workflow_task_execution_failed_total';
  const stranded = async () =>
    total(await scrape(workers.addresses[1]), 'holdfast_vms', { phase: 'stranded' });

  test('count every blackout of the runs, and how long they were', () => {
    const inMode = { mode: 'modified', path: 'kept' };
    // Of the host that has a stranded VM, one came back; of the other two, two each.
    expect(total(host, BLACKOUTS, inMode)).toBe(5);
    const all = ['host-01', 'host-02', 'host-03'].flatMap((hostId) =>
      ['vm-01', 'vm-02'].flatMap((vmId) => suite.vm(hostId, vmId).blackouts.map(({ ms }) => ms)),
    );
    expect(all).toHaveLength(5);
    const sumMs = all.reduce((sum, ms) => sum + ms, 0);
    expect(total(host, 'holdfast_blackout_duration_seconds_sum')).toBeCloseTo(sumMs / 1000, 6);
    for (const { facts } of serviced.vms) {
      const shorter = total(host, 'holdfast_blackout_duration_seconds_bucket', {
        le: String(bucketAbove(facts.blackoutMs / 1000)),
      });
      expect(shorter).toBeGreaterThanOrEqual(1);
    }
    expect(total(host, 'holdfast_blackout_budget_spent_ratio_count')).toBe(5);
    expect(total(host, 'holdfast_blackout_budget_spent_ratio_sum')).toBeCloseTo(sumMs / 10_000, 6);
    expect(total(host, 'holdfast_vf_outage_seconds_count', inMode)).toBe(5);
    expect(total(host, 'holdfast_dead_man_rescues_total')).toBe(0);
  });

  test('count ways back by host, and gauge the VM that is stranded', () => {
    const ways = (host_id: string, path: string) =>
      total(host, 'holdfast_ways_back_total', { host_id, mode: 'modified', path });
    expect([ways('host-01', 'kept'), ways('host-01', 'stranded')]).toEqual([2, 0]);
    expect([ways('host-02', 'kept'), ways('host-02', 'stranded')]).toEqual([1, 1]);
    const of = (name: string, host_id: string) => total(host, name, { host_id });
    expect([of('holdfast_dark_vms', 'host-01'), of('holdfast_dark_vms', 'host-02')]).toEqual([
      0, 1,
    ]);
    expect([of('holdfast_held_vfs', 'host-01'), of('holdfast_held_vfs', 'host-02')]).toEqual([
      0, 1,
    ]);
    expect(of('holdfast_longest_darkness_seconds', 'host-02')).toBeGreaterThan(0);
    expect(of('holdfast_host_quarantined', 'host-02')).toBe(1);
    expect(of('holdfast_host_quarantined', 'host-01')).toBe(0);
  });

  test('count the steps of the runs as their results do, and the attempts that failed', () => {
    const steps = serviced.vms.flatMap((vm) => vm.steps);
    const pauses = steps.filter(({ name }) => name === 'pauseVm').length;
    expect(pauses).toBe(2);
    // The same step in the same way at each of the three hosts of two VMs.
    const done = { step: 'pauseVm', status: 'done' };
    expect(total(host, 'holdfast_step_duration_seconds_count', done)).toBe(3 * pauses);
    expect(total(host, 'holdfast_step_attempts_total', { step: 'pauseVm' })).toBe(3 * pauses);

    const saves = { step: 'saveVm' };
    expect(total(host, 'holdfast_step_attempts_total', saves)).toBe(3 * pauses + 2);
    expect(total(host, 'holdfast_step_failures_total', { ...saves, failure: 'retried' })).toBe(2);
    expect(total(host, 'holdfast_step_duration_seconds_count', saves)).toBe(3 * pauses);

    // Given up on host-02, with all its attempts; what the host did before that is not timed.
    const attempts = total(host, 'holdfast_step_failures_total', { step: 'restoreVm' });
    expect(attempts).toBeGreaterThan(1);
    expect(total(host, 'holdfast_step_attempts_total', { step: 'restoreVm' })).toBe(5 + attempts);
    expect(total(host, 'holdfast_step_duration_seconds_count', { step: 'restoreVm' })).toBe(5);
  });

  test('have what the hosts count themselves', () => {
    const { forbiddenCommands, invariants } = serviced;
    const of = (name: string) => total(host, name, { host_id: 'host-01' });
    expect(of('holdfast_forbidden_commands_total')).toBe(forbiddenCommands);
    expect(of('holdfast_invariant_breaches_total')).toBe(invariants.violated);
    expect(of('holdfast_invariants_checked_total')).toBeGreaterThanOrEqual(invariants.checked);
  });

  test('count the hosts of fleet updates by outcome, at the orchestrator', () => {
    expect(total(orchestrator, 'holdfast_fleet_hosts_total', { outcome: 'updated' })).toBe(1);
    expect(total(orchestrator, 'holdfast_fleet_hosts_total')).toBe(1);
  });

  test('name no VM in any label', () => {
    const ours = [...host, ...orchestrator].filter(({ name }) => name.startsWith('holdfast_'));
    const labels = new Set(ours.flatMap((sample) => Object.keys(sample.labels)));
    expect([...labels].sort()).toEqual([
      'failure',
      'host_id',
      'kind',
      'le',
      'mode',
      'outcome',
      'path',
      'phase',
      'status',
      'step',
    ]);
    expect(ours.filter(({ labels: l }) => Object.values(l).some((v) => /^vm-/.test(v)))).toEqual(
      [],
    );
  });

  test('have the bounds that were chosen for them', () => {
    for (const [name, bounds] of Object.entries(HISTOGRAM_BUCKETS)) {
      const found = new Set(
        host
          .filter((s) => s.name === `${name}_bucket` || s.name === `temporal_${name}_bucket`)
          .flatMap(({ labels }) => (labels['le'] === '+Inf' ? [] : [Number(labels['le'])])),
      );
      expect({ name, bounds: [...found].sort((a, b) => a - b) }).toEqual({ name, bounds });
    }
  });

  test('are all in the table of the operations page, which has no others', () => {
    const page = readFileSync(join(repository, 'docs', 'operations.md'), 'utf8');
    const table = page.slice(page.indexOf('## Metrics'), page.indexOf('## Alerts'));
    const documented = new Set(
      [...table.matchAll(/^\| `(holdfast_\w+)`/gm)].map(([, name = '']) => name),
    );
    const exported = [...host, ...orchestrator]
      .map(({ name }) => name.replace(/_(bucket|sum|count)$/, ''))
      .filter((name) => name.startsWith('holdfast_'));
    expect([...documented].sort()).toEqual([...new Set(exported)].sort());
  });

  test.each([
    ['dashboard', expressionsOfDashboard()],
    ['alerts', expressionsOfAlerts()],
  ])('have every name that the %s ask for', (_, expressions) => {
    expect(expressions.length).toBeGreaterThan(10);
    const exported = new Set([...host, ...orchestrator, ...OF_PROMETHEUS].map(({ name }) => name));
    const unknown = expressions.flatMap((expr) => namesIn(expr).filter((n) => !exported.has(n)));
    expect(unknown).toEqual([]);
  });

  test.each([
    ['dashboard', expressionsOfDashboard()],
    ['alerts', expressionsOfAlerts()],
  ])('have every label that the %s select by', (_, expressions) => {
    const all = [...host, ...orchestrator];
    const missing = expressions.flatMap((expr) =>
      [...expr.matchAll(/(\w+)\{([^}]*)\}/g)].flatMap(([, name = '', selector = '']) =>
        [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)]
          .map(([, label = '']) => label)
          .filter(() => !OF_PROMETHEUS.some((s) => s.name === name))
          .filter((label) => !all.some((s) => s.name === name && label in s.labels))
          .map((label) => `${name}{${label}}`),
      ),
    );
    expect(missing).toEqual([]);
  });
});

/** What Prometheus itself adds. */
const OF_PROMETHEUS = [{ name: 'up' }, { name: 'ALERTS' }];

/** The names of the metrics of an expression: what looks like a name and is neither function, label nor grouping. */
function namesIn(expression: string): string[] {
  const bare = expression
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}/g, '{}')
    .replace(/\b(?:by|without|on)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/\b(?:holdfast|temporal)_\w+|\bup\b|\bALERTS\b/g)].map(([name]) => name);
}

function expressionsOfDashboard(): string[] {
  const dashboard = z
    .object({
      panels: z.array(z.object({ targets: z.array(z.object({ expr: z.string() })).default([]) })),
      templating: z.object({ list: z.array(z.object({ definition: z.string() })) }),
    })
    .parse(
      JSON.parse(
        readFileSync(join(repository, 'deploy', 'grafana', 'dashboards', 'holdfast.json'), 'utf8'),
      ),
    );
  return [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.map(({ definition }) => definition),
  ];
}

function expressionsOfAlerts(): string[] {
  return z
    .object({
      groups: z.array(z.object({ rules: z.array(z.object({ expr: z.string() })) })),
    })
    .parse(
      parse(readFileSync(join(repository, 'deploy', 'prometheus', 'holdfast.rules.yml'), 'utf8')),
    )
    .groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
}

const bucketAbove = (seconds: number): number =>
  HISTOGRAM_BUCKETS['holdfast_blackout_duration_seconds']?.find((bound) => bound >= seconds) ??
  Infinity;

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error('the metrics never said so');
    await delay(200);
  }
}
