import { existsSync } from 'node:fs';

import { Client, Connection } from '@temporalio/client';
import { loadClientConfigProfile, toClientOptions } from '@temporalio/envconfig';
import type { NativeConnection, NativeConnectionOptions } from '@temporalio/worker';

/** Address of a Temporal server when nobody names one. */
export const DEFAULT_ADDRESS = 'localhost:7233';
const CONNECT_TIMEOUT_MS = 5_000;

/** How to reach a Temporal server, the same for clients and workers. */
export interface ConnectionConfiguration {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: string;
  /** For `Connection.connect` and `NativeConnection.connect`: address, TLS, API key, metadata. */
  readonly connectionOptions: NativeConnectionOptions;
}

/** The environment or temporal.toml names a server in a way that cannot be used; the message says which and why. */
export class ConnectionConfigurationInvalid extends Error {
  override readonly name = 'ConnectionConfigurationInvalid';
}

/** No Temporal server answers at the configured address, or it refuses us. */
export class TemporalUnreachable extends Error {
  override readonly name = 'TemporalUnreachable';
  constructor(
    readonly address: string,
    cause: unknown,
  ) {
    super(
      `No Temporal server answers at ${address} (${cause instanceof Error ? cause.message : String(cause)}). ` +
        'Start one with `npm start`, or check TEMPORAL_ADDRESS, the profile in temporal.toml, TLS and the API key.',
      { cause },
    );
  }
}

/**
 * Reads where Temporal is from the standard places, as the Temporal CLI does: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
 * TEMPORAL_API_KEY, TEMPORAL_TLS…, over the profile (TEMPORAL_PROFILE, default `default`) in temporal.toml
 * (TEMPORAL_CONFIG_FILE, default in the user's configuration folder). An empty variable counts as unset.
 * Defaults: `localhost:7233`, namespace `default`. Fails with {@link ConnectionConfigurationInvalid}.
 */
export function loadConnection(env: NodeJS.ProcessEnv = process.env): ConnectionConfiguration {
  const { connectionOptions, namespace } = usable(env, () => toClientOptions(loadProfile(env)));
  const address = connectionOptions.address ?? DEFAULT_ADDRESS;
  return {
    address,
    namespace: namespace ?? 'default',
    connectionOptions: { ...connectionOptions, address },
  };
}

/**
 * Whether the environment or temporal.toml names a server. If so, that one is used and no dev server is started.
 * Fails with {@link ConnectionConfigurationInvalid}.
 */
export function isClusterConfigured(env: NodeJS.ProcessEnv = process.env): boolean {
  return usable(env, () => loadProfile(env)).address !== undefined;
}

/**
 * A client for scripts and tests; close it with `client.connection.close()`.
 * Fails with {@link TemporalUnreachable} within 5 s.
 */
export async function connectClient(
  configuration: ConnectionConfiguration = loadConnection(),
): Promise<Client> {
  const { address, namespace, connectionOptions } = configuration;
  try {
    const connection = await Connection.connect({
      ...connectionOptions,
      connectTimeout: CONNECT_TIMEOUT_MS,
    });
    return new Client({ connection, namespace });
  } catch (error) {
    throw new TemporalUnreachable(address, error);
  }
}

/**
 * A connection for the workers of one process; close it after the last of them has stopped.
 * Fails with {@link TemporalUnreachable}.
 */
export async function connectWorker(
  configuration: ConnectionConfiguration = loadConnection(),
): Promise<NativeConnection> {
  // Loaded only here: the native bridge costs a client-only script a third of a second.
  const { NativeConnection } = await import('@temporalio/worker');
  try {
    return await NativeConnection.connect(configuration.connectionOptions);
  } catch (error) {
    throw new TemporalUnreachable(configuration.address, error);
  }
}

function loadProfile(env: NodeJS.ProcessEnv) {
  const configFile = env['TEMPORAL_CONFIG_FILE'];
  // The SDK reads a missing file as an empty one; a mistyped path would quietly mean another server.
  if (configFile && !existsSync(configFile)) {
    throw new Error(`TEMPORAL_CONFIG_FILE is ${configFile}, which does not exist`);
  }
  return loadClientConfigProfile({ overrideEnvVars: withoutEmpty(env) });
}

/** `TEMPORAL_ADDRESS=` in a compose file means unset; the SDK would take it for an address. */
function withoutEmpty(env: NodeJS.ProcessEnv): Record<string, string> {
  const filled: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value) filled[name] = value;
  }
  return filled;
}

/** What the SDK throws about a profile or file says nothing of where it came from. */
function usable<T>(env: NodeJS.ProcessEnv, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const profile = env['TEMPORAL_PROFILE'] || 'default';
    const file = env['TEMPORAL_CONFIG_FILE'] || "temporal.toml in the user's configuration folder";
    throw new ConnectionConfigurationInvalid(
      `The Temporal connection (profile ${profile}, ${file}) cannot be used: ` +
        `${error instanceof Error ? error.message : String(error)}. ` +
        'Correct it, or unset TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE and set TEMPORAL_ADDRESS.',
      { cause: error },
    );
  }
}
