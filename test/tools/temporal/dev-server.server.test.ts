import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Connection } from '@temporalio/client';

import { SEARCH_ATTRIBUTES } from '../../../contract/search-attributes';
import { checkDatabaseStamp, stampPath } from '../../../tools/temporal/database-stamp';
import { startDevServer, type DevServer } from '../../../tools/temporal/dev-server';
import { freePort } from '../../../tools/temporal/ports';
import { isAlive, lineOf, startTypeScript, untilGone } from '../processes/run-typescript';

import { writeExecutable } from './fakes';

/** Index: the number in Temporal's IndexedValueType. */
const VALUE_TYPES = ['', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a dev server', () => {
  let servers: DevServer[];
  beforeAll(async () => {
    servers = await Promise.all([
      startDevServer(),
      startDevServer({ ui: false, namespace: 'other', dbFilename: join(folder, 'temporal.db') }),
    ]);
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  it('runs beside another one, each on free ports of its own', async () => {
    const [first, second] = servers;
    expect(first?.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(second?.address).not.toBe(first?.address);
    expect(second?.uiUrl).toBeUndefined();
    expect((await fetch(first?.uiUrl ?? '')).status).toBe(200);
  });

  it('knows its namespace and our search attributes, with their types', async () => {
    for (const { address, namespace } of servers) {
      const connection = await Connection.connect({ address });
      const { customAttributes } = await connection.operatorService.listSearchAttributes({
        namespace,
      });
      await connection.close();
      const typed = Object.entries(customAttributes).map(([name, type]) => [
        name,
        VALUE_TYPES[type],
      ]);
      expect(Object.fromEntries(typed)).toMatchObject(SEARCH_ATTRIBUTES);
    }
  });

  it('keeps its data in the file it was given, in WAL mode, and notes who made it', () => {
    expect(existsSync(join(folder, 'temporal.db-wal'))).toBe(true);
    expect(readFileSync(stampPath(join(folder, 'temporal.db')), 'utf8')).toMatch(
      /temporal version/,
    );
  });

  it('is gone after stop(), which may be called again, and says that it was asked to', async () => {
    for (const server of servers) {
      await Promise.all([server.stop(), server.stop()]);
      expect(isAlive(server.pid)).toBe(false);
      await expect(server.exited).resolves.toMatchObject({ stopRequested: true });
    }
  });

  it('ends when the process that started it is killed with SIGKILL', async () => {
    const parent = startTypeScript(join(__dirname, 'start-dev-server.ts'));
    const pid = Number(await lineOf(parent));
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await untilGone(pid);
  });
});

describe('a dev server that cannot start', () => {
  it('says that the port is taken and what to do', async () => {
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    await expect(startDevServer({ port })).rejects.toMatchObject({
      name: 'DevServerFailed',
      message: expect.stringMatching(`Port ${port} .* in use .*TEMPORAL_ADDRESS`),
    });
    other.close();
  });

  it('fails as soon as the process ends, with the end of its log', async () => {
    const binaryPath = writeExecutable(
      join(folder, 'old-temporal'),
      '#!/bin/sh\n[ "$3" = --help ] && exit 0\necho "Error: unknown flag: --new" >&2; exit 1\n',
    );
    const logFile = join(folder, 'logs', 'server.log');
    const startedAt = Date.now();
    const starting = startDevServer({ binaryPath, logFile });
    await expect(starting).rejects.toThrow(/did not start: it ended by itself \(exit code 1\)/);
    await expect(starting).rejects.toThrow(/unknown flag: --new\n.*too old: update it/);
    // Long before the 60 s that a server is waited for.
    expect(Date.now() - startedAt).toBeLessThan(30_000);
    expect(readFileSync(logFile, 'utf8')).toContain('unknown flag');
  });

  it('says so when the binary is not a Temporal CLI', async () => {
    const binaryPath = writeExecutable(join(folder, 'not-temporal'), '#!/bin/sh\nexit 7\n');
    await expect(startDevServer({ binaryPath })).rejects.toThrow(/Is it a Temporal CLI\?/);
  });
});

describe('the stamp of a database', () => {
  const NEW = 'temporal version 2.0.0';

  it('warns only when another or an unknown version made the database', async () => {
    const stamped = join(folder, 'stamped.db');
    await expect(checkDatabaseStamp(stamped, 'temporal version 1.0.0')).resolves.toBeUndefined();
    writeFileSync(stamped, '');
    await expect(checkDatabaseStamp(stamped, 'temporal version 1.0.0')).resolves.toBeUndefined();
    await expect(checkDatabaseStamp(stamped, NEW)).resolves.toMatch(
      /made by temporal version 1\.0\.0, this is temporal version 2\.0\.0/,
    );
    const foreign = join(folder, 'foreign.db');
    writeFileSync(foreign, '');
    await expect(checkDatabaseStamp(foreign, NEW)).resolves.toMatch(/made by an unknown version/);
  });
});
