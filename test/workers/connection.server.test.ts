import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startDevServer } from '../../tools/temporal/dev-server';
import { freePort } from '../../tools/temporal/ports';
import {
  connectClient,
  connectWorker,
  isClusterConfigured,
  loadConnection,
} from '../../workers/connection';

const TOML = `
[profile.default]
address = "default.example:7233"
namespace = "from-file"

[profile.cloud]
address = "cloud.example:7233"
namespace = "prod"
api_key = "secret"

[profile.nowhere]
namespace = "only-a-namespace"
`;

let folder: string;
let env: NodeJS.ProcessEnv;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  const file = join(folder, 'temporal.toml');
  writeFileSync(file, TOML);
  env = { HOME: folder, TEMPORAL_CONFIG_FILE: file };
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the connection', () => {
  it('is localhost:7233, namespace default, and no configured cluster, when nothing is said', () => {
    const nothing = { HOME: folder };
    expect(loadConnection(nothing)).toMatchObject({
      address: 'localhost:7233',
      namespace: 'default',
      connectionOptions: { address: 'localhost:7233' },
    });
    expect(isClusterConfigured(nothing)).toBe(false);
  });

  it('comes from the default profile of temporal.toml', () => {
    expect(loadConnection(env)).toMatchObject({
      address: 'default.example:7233',
      namespace: 'from-file',
    });
    expect(isClusterConfigured(env)).toBe(true);
  });

  it('comes from the named profile, and an API key brings TLS', () => {
    const { address, namespace, connectionOptions } = loadConnection({
      ...env,
      TEMPORAL_PROFILE: 'cloud',
    });
    expect([address, namespace]).toEqual(['cloud.example:7233', 'prod']);
    expect(connectionOptions).toMatchObject({ address, apiKey: 'secret', tls: true });
  });

  it('is no configured cluster when the profile names no address', () => {
    const nowhere = { ...env, TEMPORAL_PROFILE: 'nowhere' };
    expect(isClusterConfigured(nowhere)).toBe(false);
    expect(loadConnection(nowhere)).toMatchObject({
      address: 'localhost:7233',
      namespace: 'only-a-namespace',
    });
  });

  it('prefers the environment, but not an empty variable', () => {
    const chosen = { ...env, TEMPORAL_ADDRESS: 'here:1234', TEMPORAL_NAMESPACE: '' };
    expect(loadConnection(chosen)).toMatchObject({ address: 'here:1234', namespace: 'from-file' });
    expect(isClusterConfigured({ HOME: folder, TEMPORAL_ADDRESS: '' })).toBe(false);
  });

  it.each([
    ['a profile that is not there', { TEMPORAL_PROFILE: 'typo' }, /profile typo.*not found/],
    ['a file that is not there', { TEMPORAL_CONFIG_FILE: '/no/such.toml' }, /does not exist/],
  ])('refuses %s and says where it looked', (_, more, message) => {
    for (const read of [loadConnection, isClusterConfigured]) {
      expect(() => read({ ...env, ...more })).toThrow(
        expect.objectContaining({ name: 'ConnectionConfigurationInvalid' }),
      );
      expect(() => read({ ...env, ...more })).toThrow(message);
    }
  });

  it('refuses a file that is not TOML', () => {
    const file = join(folder, 'broken.toml');
    writeFileSync(file, '[profile');
    expect(() => loadConnection({ TEMPORAL_CONFIG_FILE: file })).toThrow(/broken\.toml/);
  });
});

describe('connecting', () => {
  it('reaches a running server as a client and as a worker', async () => {
    const server = await startDevServer({ ui: false });
    const configuration = loadConnection({ HOME: folder, TEMPORAL_ADDRESS: server.address });
    const client = await connectClient(configuration);
    const worker = await connectWorker(configuration);
    expect(await client.workflow.count()).toMatchObject({ count: 0 });
    expect(client.options.namespace).toBe('default');
    await worker.close();
    await client.connection.close();
    await server.stop();
  });

  it('says which address does not answer and what to do', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const configuration = loadConnection({ HOME: folder, TEMPORAL_ADDRESS: address });
    for (const connect of [connectClient, connectWorker]) {
      await expect(connect(configuration)).rejects.toMatchObject({
        name: 'TemporalUnreachable',
        address,
        message: expect.stringMatching(`answers at ${address} .*npm start.*TEMPORAL_ADDRESS`),
      });
    }
  });
});
