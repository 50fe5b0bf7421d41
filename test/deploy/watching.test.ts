/** Prometheus and Grafana of docker-compose.yml find what they watch, and each other. */
import { parse } from 'yaml';
import * as z from 'zod';
import { before, named, read, valueOf, wordsOf } from './compose-file';

describe('Prometheus and Grafana', () => {
  const prometheus = z
    .object({
      rule_files: z.array(z.string()),
      scrape_configs: z.array(
        z.object({
          job_name: z.string(),
          static_configs: z.array(z.object({ targets: z.array(z.string()) })),
        }),
      ),
    })
    .parse(parse(read('deploy/prometheus/prometheus.yml')));

  it('scrape every process that serves metrics, where it serves them', () => {
    const scraped = prometheus.scrape_configs.flatMap(({ job_name: job, static_configs: all }) =>
      all.flatMap(({ targets }) => targets.map((target) => [job, target])),
    );
    const listening = (name: string) => valueOf(name, '--metrics-address').replace('0.0.0.0', name);
    const server = named('temporal').environment['PROMETHEUS_ENDPOINT'] ?? '';
    expect(Object.fromEntries(scraped)).toEqual({
      'holdfast-host-worker': listening('host-worker'),
      'holdfast-orchestrator': listening('orchestrator'),
      temporal: server.replace('0.0.0.0', 'temporal'),
    });
  });

  it('find their files where they are mounted', () => {
    const mounts = named('prometheus').volumes.map((mount) => mount.split(':')[1]);
    for (const file of ['prometheus.yml', ...prometheus.rule_files])
      expect(mounts).toContain(`/etc/prometheus/${file}`);
    expect(wordsOf(named('prometheus'))).toContain('--config.file=/etc/prometheus/prometheus.yml');

    const { providers } = z
      .object({ providers: z.array(z.object({ options: z.object({ path: z.string() }) })) })
      .parse(parse(read('deploy/grafana/provisioning/dashboards/holdfast.yml')));
    expect(named('grafana').volumes).toContain(
      `./deploy/grafana/dashboards:${providers[0]?.options.path ?? ''}:ro`,
    );
  });

  it('reach each other by the name and port of the service', () => {
    const { datasources } = z
      .object({ datasources: z.array(z.object({ uid: z.string(), url: z.string() })) })
      .parse(parse(read('deploy/grafana/provisioning/datasources/prometheus.yml')));
    expect(datasources).toEqual([{ uid: 'prometheus', url: 'http://prometheus:9090' }]);
  });

  it('start without holdfast, since they are there to tell that it is gone', () => {
    expect([...before('prometheus'), ...before('grafana')]).toEqual(['prometheus']);
  });
});
