/**
 * What can be known of docker-compose.yml, the Dockerfile and deploy/ without an engine: that they refer to things that
 * exist, in an order that can come up, with the same settings as the code and the dev server.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';

import { toMs } from '../../contract/durations';
import { HARD_BLACKOUT_LIMIT } from '../../contract/inputs';
import { SEARCH_ATTRIBUTES } from '../../contract/search-attributes';
import { serverArguments } from '../../tools/temporal/server-arguments';
import {
  before,
  compose,
  named,
  read,
  repository,
  services,
  valueOf,
  wordsOf,
} from './compose-file';

describe.each(services)('compose service %s', (name, { image, build, ...rest }) => {
  it('runs an image of an explicit version', () => {
    expect(image).toMatch(/^[a-z0-9./-]+:v?\d+\.\d+/);
    if (build !== undefined) {
      const { version } = z.object({ version: z.string() }).parse(JSON.parse(read('package.json')));
      expect(image).toBe(`holdfast:${version}`);
    }
  });

  it('depends on services that can fulfil the condition', () => {
    for (const [target, { condition }] of Object.entries(rest.depends_on)) {
      const { healthcheck, restart } = named(target);
      if (condition === 'service_healthy')
        expect({ target, healthcheck }).toHaveProperty('healthcheck.test');
      // A service that is restarted never completes, and one that completes is never there to be depended on.
      expect({ target, restart }).toEqual({
        target,
        restart: condition === 'service_completed_successfully' ? 'no' : 'unless-stopped',
      });
    }
    expect(before(name)).not.toContain(name);
  });

  it('mounts declared volumes and files that exist', () => {
    for (const mount of rest.volumes) {
      const source = mount.split(':')[0] ?? '';
      if (source.startsWith('.')) {
        expect({ mount, exists: existsSync(join(repository, source)) }).toEqual({
          mount,
          exists: true,
        });
        expect(mount).toMatch(/:ro$/);
      } else {
        expect(Object.keys(compose.volumes)).toContain(source);
      }
    }
    for (const network of rest.networks) expect(Object.keys(compose.networks)).toContain(network);
  });

  it('publishes ports to this machine only', () => {
    for (const port of rest.ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });
});

it('only what people look at in a browser publishes a port', () => {
  expect(services.filter(([, { ports }]) => ports.length > 0).map(([name]) => name)).toEqual([
    'temporal-ui',
    'prometheus',
    'grafana',
  ]);
});

describe('holdfast processes', () => {
  const ours = services.filter(([, { build }]) => build !== undefined);
  const entryPoints = ours
    .map(([name, ours]) => ({ name, words: wordsOf(ours) }))
    .filter(({ words }) => words[0] === 'node')
    .map(({ name, words }) => ({ name, script: words[1] ?? '' }));

  it('are the four roles', () => {
    expect(entryPoints.map(({ name }) => name).sort()).toEqual([
      'create-fleet',
      'dead-man',
      'host-worker',
      'orchestrator',
    ]);
  });

  it.each(entryPoints)('$name starts $script, which is built from a source', ({ script }) => {
    expect(script).toMatch(/^dist\/.*\.js$/);
    const source = script.replace(/^dist\//, '').replace(/\.js$/, '.ts');
    expect({ source, exists: existsSync(join(repository, source)) }).toEqual({
      source,
      exists: true,
    });
  });

  it('connect to the server of this file', () => {
    for (const [name, { environment }] of ours) {
      expect({ name, address: environment['TEMPORAL_ADDRESS'] }).toEqual({
        name,
        address: 'temporal:7233',
      });
    }
  });

  it('that open the fleet directory share a PID namespace that outlives each of them', () => {
    const owner = 'fleet-processes';
    const open = services.filter(([, { volumes }]) => volumes.some((v) => v.startsWith('fleet:')));
    expect(open.map(([name]) => name).sort()).toEqual(['create-fleet', 'dead-man', 'host-worker']);
    for (const [name, { pid }] of open)
      expect({ name, pid }).toEqual({ name, pid: `service:${owner}` });
    // Its own process must not be one of those that are judged, updated or crash.
    expect(wordsOf(named(owner))).toEqual(['sleep', 'infinity']);
  });

  it('make an inventory that the orchestrator reads and cannot write', () => {
    const path = valueOf('create-fleet', '--inventory');
    expect(valueOf('orchestrator', '--inventory')).toBe(path);
    const mounted = (name: string) =>
      named(name)
        .volumes.map((mount) => mount.split(':'))
        .find(([, target = '']) => path.startsWith(`${target}/`));
    const [volume = '', target = ''] = mounted('create-fleet') ?? [];
    expect(mounted('create-fleet')).toEqual([volume, target]);
    expect(mounted('orchestrator')).toEqual([volume, target, 'ro']);
    // The owner of a volume is that of the directory that it is first mounted over: whoever writes has to come first.
    expect(named('orchestrator').depends_on['create-fleet']?.condition).toBe(
      'service_completed_successfully',
    );
    // One that is written by hand must not lie where the simulation keeps its hosts.
    expect(volume).not.toBe('fleet');
  });

  it('keep fleet updates in a volume that only the orchestrator opens', () => {
    const directory = valueOf('orchestrator', '--data-dir');
    const mounts = (name: string) => named(name).volumes.filter((v) => v.endsWith(`:${directory}`));
    const [mount = ''] = mounts('orchestrator');
    const volume = mount.split(':')[0] ?? '';
    expect(Object.keys(compose.volumes)).toContain(volume);
    const open = services.filter(([, s]) => s.volumes.some((v) => v.startsWith(`${volume}:`)));
    expect(open.map(([name]) => name)).toEqual(['orchestrator']);
  });

  it('give the secret of the webhooks to the orchestrator only, and have no default for it', () => {
    const SECRET = 'HOLDFAST_WEBHOOK_SECRET';
    const having = services.filter(([, { environment }]) => SECRET in environment);
    expect(having.map(([name]) => name)).toEqual(['orchestrator']);
    expect(named('orchestrator').environment[SECRET]).toBe('${HOLDFAST_WEBHOOK_SECRET:-}');
  });

  it('give a host worker the time to end the longest blackout before it is killed', () => {
    const { stop_grace_period: grace = '10s' } = named('host-worker');
    expect(toMs(grace)).toBeGreaterThan(toMs(HARD_BLACKOUT_LIMIT));
  });

  it('load workflow code in the orchestrator only', () => {
    const having = services.filter(([, s]) => wordsOf(s).includes('--workflow-bundle'));
    expect(having.map(([name]) => name)).toEqual(['orchestrator']);
  });

  it('never leave a host worker without a dead-man', () => {
    expect(before('host-worker')).toContain('dead-man');
    expect(before('dead-man')).not.toContain('host-worker');
  });
});

describe('the Temporal server', () => {
  it('has the version of its schema and admin tools', () => {
    const version = (name: string) => named(name).image.split(':')[1];
    expect(version('temporal-schema')).toBe(version('temporal'));
    expect(version('temporal-namespace')).toBe(version('temporal'));
  });

  it('is set up and used with the same database and password', () => {
    const { POSTGRES_USER: user, POSTGRES_PASSWORD: password } = named('postgresql').environment;
    expect(password).toMatch(/^\$\{HOLDFAST_POSTGRES_PASSWORD:-/);
    expect(named('temporal-schema').environment).toMatchObject({
      SQL_HOST: 'postgresql',
      SQL_USER: user,
      SQL_PASSWORD: password,
    });
    expect(named('temporal').environment).toMatchObject({
      POSTGRES_SEEDS: 'postgresql',
      POSTGRES_USER: user,
      POSTGRES_PWD: password,
    });
  });

  it('knows the search attributes that the workflows set', () => {
    const attributes = [
      ...read('deploy/create-namespace.sh').matchAll(/--name (\w+) --type (\w+)/g),
    ].map(([, name, type]) => [name, type]);
    expect(Object.fromEntries(attributes)).toEqual(SEARCH_ATTRIBUTES);
    // Waits for each of them, in backticks: MODE is a word of the query language.
    const query = /--query '(.*)'/.exec(read('deploy/create-namespace.sh'))?.[1] ?? '';
    expect(query.match(/`\w+`/g)).toEqual(Object.keys(SEARCH_ATTRIBUTES).map((n) => `\`${n}\``));
  });

  it('is tuned like the dev server that the tests run on', () => {
    const mounted = named('temporal').environment['DYNAMIC_CONFIG_FILE_PATH'];
    expect(named('temporal').volumes).toEqual([
      `./deploy/temporal-dynamic-config.yaml:${mounted}:ro`,
    ]);

    const settings = z
      .record(z.string(), z.array(z.object({ value: z.unknown() })).length(1))
      .parse(parse(read('deploy/temporal-dynamic-config.yaml')));
    const flags = Object.entries(settings).map(
      ([key, [entry]]) => `${key}=${JSON.stringify(entry?.value)}`,
    );

    const devServer = serverArguments({
      port: 1,
      uiPort: undefined,
      namespace: 'default',
      dbFilename: undefined,
      help: '',
    });
    const devServerFlags = devServer.filter(
      (_, index) => devServer[index - 1] === '--dynamic-config-value',
    );
    expect(flags.sort()).toEqual(devServerFlags.sort());
  });
});

describe('the Dockerfile', () => {
  const instructions = read('Dockerfile')
    .replaceAll(/\\\n/g, '')
    .split('\n')
    .filter((line) => /^[A-Z]+ /.test(line));
  const lastStage = instructions.slice(instructions.findLastIndex((l) => l.startsWith('FROM ')));

  it('pins one base image for all its stages', () => {
    const bases = instructions.flatMap((line) => /^FROM (\S+)/.exec(line)?.[1] ?? []);
    expect(new Set(bases)).toEqual(new Set(['node:20.20.2-bookworm-slim']));
  });

  it('runs as a user other than root, who owns the directory of every volume', () => {
    expect(lastStage.filter((line) => line.startsWith('USER '))).toEqual(['USER node']);
    const [, owned = ''] = /chown node:node (.*)/.exec(lastStage.join('\n')) ?? [];
    const mounted = services
      .filter(([, { build }]) => build !== undefined)
      .flatMap(([, { volumes }]) => volumes.map((mount) => mount.split(':')[1] ?? ''));
    expect(owned.trim().split(/\s+/).sort()).toEqual([...new Set(mounted)].sort());
  });

  it('ships neither development dependencies nor secrets', () => {
    expect(lastStage.join('\n')).toContain('npm ci --omit=dev');
    expect(instructions.join('\n')).not.toMatch(/password|api_key|token|secret/i);
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(
      expect.arrayContaining(['.git', '.env', 'temporal.toml', '*.pem', '*.key', 'node_modules']),
    );
  });
});
