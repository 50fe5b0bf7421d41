import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';

import { findTemporalBinary } from '../../../tools/temporal/binary';
import { cachedBinaryPath } from '../../../tools/temporal/cache';
import { freePort } from '../../../tools/temporal/ports';
import { lineOf, startTypeScript, untilGone } from '../processes/run-typescript';

import {
  cliVersion,
  fakeMachine,
  goVersion,
  TEMPORAL_SCRIPT,
  writeExecutable,
  writeFakeGo,
  type FakeMachine,
} from './fakes';

let machine: FakeMachine;
beforeEach(() => {
  machine = fakeMachine();
});
afterEach(() => rmSync(dirname(machine.bin), { recursive: true }));

const find = (more: NodeJS.ProcessEnv = {}) =>
  findTemporalBinary({ env: { ...machine.env, ...more } });

describe('the search for a Temporal CLI', () => {
  it('takes the path in TEMPORAL_CLI_PATH before everything else', async () => {
    writeExecutable(join(machine.bin, 'temporal'), TEMPORAL_SCRIPT);
    const chosen = writeExecutable(join(machine.bin, 'chosen'), TEMPORAL_SCRIPT);
    await expect(find({ TEMPORAL_CLI_PATH: chosen })).resolves.toEqual({
      path: chosen,
      source: 'path',
    });
  });

  it.each(['missing', 'a folder', 'not executable'])(
    'refuses a TEMPORAL_CLI_PATH that is %s, even when there is another one',
    async (what) => {
      writeExecutable(machine.cached, TEMPORAL_SCRIPT);
      const chosen = join(machine.bin, 'chosen');
      if (what === 'a folder') mkdirSync(chosen, { recursive: true });
      if (what === 'not executable') {
        mkdirSync(machine.bin);
        writeFileSync(chosen, TEMPORAL_SCRIPT);
      }
      await expect(find({ TEMPORAL_CLI_PATH: chosen })).rejects.toMatchObject({
        name: 'TemporalCliPathInvalid',
        message: expect.stringContaining(chosen),
      });
    },
  );

  it('takes the one on PATH before the cached one', async () => {
    const onPath = writeExecutable(join(machine.bin, 'temporal'), TEMPORAL_SCRIPT);
    writeExecutable(machine.cached, TEMPORAL_SCRIPT);
    await expect(find()).resolves.toEqual({ path: onPath, source: 'path' });
  });

  it('takes the cached one before a download or a build', async () => {
    const log = writeFakeGo(machine, 0);
    writeExecutable(machine.cached, TEMPORAL_SCRIPT);
    await expect(find()).resolves.toEqual({ path: machine.cached, source: 'cache' });
    expect(existsSync(log)).toBe(false);
  });

  it('keeps the cache in HOLDFAST_CACHE_DIR, else XDG_CACHE_HOME/holdfast, else ~/.cache/holdfast', () => {
    const name = `temporal-${cliVersion}-${process.platform}-${process.arch}/temporal`;
    const path = (env: NodeJS.ProcessEnv): string => cachedBinaryPath(cliVersion, env);
    const all = { HOLDFAST_CACHE_DIR: '/own', XDG_CACHE_HOME: '/xdg', HOME: '/home/me' };
    expect(path(all)).toBe(`/own/${name}`);
    expect(path({ ...all, HOLDFAST_CACHE_DIR: '' })).toBe(`/xdg/holdfast/${name}`);
    expect(path({ HOME: '/home/me' })).toBe(`/home/me/.cache/holdfast/${name}`);
  });

  it('downloads the pinned version when there is neither', async () => {
    const asked: string[] = [];
    const url = await serveDownload(asked);
    await expect(find({ HOLDFAST_TEMPORAL_DOWNLOAD_URL: url })).resolves.toEqual({
      path: machine.cached,
      source: 'download',
    });
    expect(asked[0]).toMatch(
      new RegExp(`^/cli/v${cliVersion}\\?arch=a\\w+64&platform=${process.platform}&format=tar.gz$`),
    );
    expect(readdirSync(dirname(machine.cached))).toEqual(['temporal']);
    await expect(find()).resolves.toMatchObject({ source: 'cache' });
  });

  it('falls through to the build at once when the download cannot be reached', async () => {
    writeFakeGo(machine, 0);
    const lines: string[] = [];
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const env = { ...machine.env, HOLDFAST_TEMPORAL_DOWNLOAD_URL: nobody };
    const binary = await findTemporalBinary({ env, onProgress: (line) => lines.push(line) });
    expect(binary).toEqual({ path: machine.cached, source: 'build' });
    expect(lines[0]).toMatch(
      /^the download of Temporal CLI .* failed: fetch failed: .*ECONNREFUSED/,
    );
  });

  it('gives up on a download service that does not answer after 3 s, and on no service at once', async () => {
    writeFakeGo(machine, 0);
    const msFor = async (url: string): Promise<number> => {
      rmSync(machine.cached, { force: true });
      const startedAt = performance.now();
      await expect(find({ HOLDFAST_TEMPORAL_DOWNLOAD_URL: url })).resolves.toMatchObject({
        source: 'build',
      });
      return performance.now() - startedAt;
    };
    // Everything but the wait is the same, so the machine's speed is in both.
    const refusedMs = await msFor(`http://127.0.0.1:${await freePort()}`);
    const silentMs = await msFor(await serve(() => undefined));
    expect(silentMs - refusedMs).toBeGreaterThan(2_000);
    expect(silentMs - refusedMs).toBeLessThan(5_000);
  });

  it('does not keep a build that is of another version', async () => {
    writeExecutable(
      join(machine.bin, 'go'),
      `#!/bin/sh
while [ "$1" != -o ]; do shift; done
printf '%s' '#!/bin/sh
echo temporal version 0.0.0' > "$2"
`,
    );
    await expect(find()).rejects.toThrow(`expected Temporal CLI ${cliVersion}, got: temporal`);
    expect(existsSync(machine.cached)).toBe(false);
  });

  it('says what was tried, why each failed and what to do when nothing works', async () => {
    const error = await find().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: 'TemporalBinaryNotFound' });
    const message = error instanceof Error ? error.message : '';
    expect(message).toContain('temporal on PATH: not there');
    expect(message).toContain(`${machine.cached}): not there`);
    expect(message).toMatch(/the download of .*: switched off/);
    expect(message).toMatch(/go build .*: cannot start go: spawn go ENOENT/);
    expect(message).toContain(`install Go ${goVersion} or newer`);
    expect(message).toContain('TEMPORAL_CLI_PATH');
    expect(message).toContain('TEMPORAL_ADDRESS');
  });

  it('shows what go said when the build fails', async () => {
    writeExecutable(
      join(machine.bin, 'go'),
      '#!/bin/sh\necho "go: invalid go version" >&2; exit 1\n',
    );
    await expect(find()).rejects.toThrow(/go build ended with code 1\ngo: invalid go version/);
  });

  it('says so when the cache folder cannot be made', async () => {
    mkdirSync(machine.bin);
    writeFileSync(join(machine.bin, 'file'), '');
    await expect(find({ HOLDFAST_CACHE_DIR: join(machine.bin, 'file') })).rejects.toMatchObject({
      name: 'TemporalBinaryNotFound',
      message: expect.stringContaining('the cache folder: ENOTDIR'),
    });
  });
});

describe('the build', () => {
  const startSearch = () => startTypeScript(join(__dirname, 'find-binary.ts'), machine.env);

  it('runs once when two processes need it at the same time; the other one waits and says so', async () => {
    const log = writeFakeGo(machine, 1.5);
    const outputs = await Promise.all(
      [startSearch(), startSearch()].map(async ({ stdout }) => (stdout ? text(stdout) : '')),
    );
    const both = outputs.join('');
    expect(readFileSync(log, 'utf8').trim().split('\n')).toHaveLength(1);
    expect(both).toContain('about 6 minutes, needed once');
    expect(both).toContain('waiting for it');
    expect(both).toContain('"source":"build"');
    expect(both).toContain('"source":"cache"');
    expect(readdirSync(dirname(machine.cached))).toEqual(['temporal']);
  });

  it('asks go for a static, stripped binary that knows its version', async () => {
    const log = writeFakeGo(machine, 0);
    await find();
    const run = readFileSync(log, 'utf8');
    expect(run).toContain('CGO_ENABLED=0 build -v -mod=readonly -trimpath -ldflags -s -w -X ');
    expect(run).toContain(`temporalcli.Version=${cliVersion} -o `);
    expect(run).toContain(' github.com/temporalio/cli/cmd/temporal');
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'ends on %s with its go, and leaves no half file and no lock',
    async (signal) => {
      const log = writeFakeGo(machine, 1000);
      const search = startSearch();
      await lineOf(search, (line) => line.includes('building'));
      const goPid = Number(/^pid (\d+)/.exec(await contentOf(log))?.[1]);
      const rest = search.stdout ? text(search.stdout) : Promise.resolve('');
      search.kill(signal);
      expect(await rest).toContain('"error":"TemporalBuildInterrupted"');
      await untilGone(goPid);
      expect(readdirSync(dirname(machine.cached))).toEqual([]);
      expect(existsSync(`${dirname(machine.cached)}.lock`)).toBe(false);
    },
  );

  it('is taken over from a process that was killed, half-made files and all', async () => {
    const log = writeFakeGo(machine, 1000);
    const killed = startSearch();
    await lineOf(killed, (line) => line.includes('building'));
    const goPid = Number(/^pid (\d+)/.exec(await contentOf(log))?.[1]);
    killed.kill('SIGKILL');
    await untilGone(goPid);
    const lock = `${dirname(machine.cached)}.lock`;
    expect(existsSync(lock)).toBe(true);
    expect(readdirSync(dirname(machine.cached))).toEqual([expect.stringMatching(/^scratch-/)]);

    // As if its 10 s without a sign of life were over.
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    writeFakeGo(machine, 0);
    await expect(find()).resolves.toEqual({ path: machine.cached, source: 'build' });
    expect(readdirSync(dirname(machine.cached))).toEqual(['temporal']);
  });
});

/** Waits for the first line, which go writes a moment after it was started. */
async function contentOf(file: string): Promise<string> {
  while (!existsSync(file) || !readFileSync(file, 'utf8').includes('\n')) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return readFileSync(file, 'utf8');
}

/** HTTP services on the loopback interface; they end with the test file. */
const services: Server[] = [];
afterAll(() => {
  for (const service of services) {
    service.closeAllConnections();
    service.close();
  }
});

async function serve(answer: RequestListener): Promise<string> {
  const service = createServer(answer).listen(0, '127.0.0.1');
  services.push(service);
  await once(service, 'listening');
  return `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
}

async function serveDownload(asked: string[]): Promise<string> {
  const file = writeExecutable(join(machine.bin, 'packed', 'temporal'), TEMPORAL_SCRIPT);
  const archive = execFileSync('tar', ['-czf', '-', '-C', dirname(file), 'temporal']);
  return serve((request, response) => {
    asked.push(request.url ?? '');
    if (request.url === '/archive.tar.gz') {
      response.end(archive);
      return;
    }
    const archiveUrl = `http://${request.headers.host ?? ''}/archive.tar.gz`;
    response.end(JSON.stringify({ archiveUrl, fileToExtract: 'temporal' }));
  });
}
