import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostNowMs } from '../../hosts/engine/clock';
import { loadProfile, type Hosts, type Simulation } from '../../hosts/open-hosts';
import { startDevServer, type DevServer } from '../../tools/temporal/dev-server';
import { Stack } from '../stack';

/** A host as it was, with workers and a server of its own, and nothing else on it. */
export interface RebuiltHost {
  readonly stack: Stack;
  /** Stops all of it; any number of calls. */
  stop(): Promise<void>;
}

export interface Rebuild {
  /** Where state and logs go; made if missing. */
  readonly directory: string;
  readonly simulation: Simulation;
  /** When the recorded run began, ms since 1970; null if its history does not say. */
  readonly recordedAtMs: number | null;
  readonly workflowBundle: string;
  /** For the workers, on top of what leads them to their server. */
  readonly env: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
}

/** No deadline of the host passes while its workers start: meanwhile its clock stands this much later, ms. */
const STARTS_WITHIN_MS = 600_000;

/** Makes the host, waits until its workers are ready, and lets its clock go on from where it was. */
export async function rebuildHost(rebuild: Rebuild): Promise<RebuiltHost> {
  const { directory, simulation, workflowBundle, say } = rebuild;
  const logs = join(directory, 'logs');
  mkdirSync(logs, { recursive: true });
  const profile = join(directory, 'latencies.json');
  writeFileSync(profile, JSON.stringify(simulation.profile));
  // Said here, in words, rather than by each worker in its log.
  loadProfile(profile);
  const server = await startDevServer({
    ui: false,
    logFile: join(logs, 'temporal.log'),
    onProgress: say,
  });
  try {
    const stack = await Stack.start({
      directory,
      profile,
      workflowBundle,
      server,
      onProgress: say,
      env: { ...onlyThisServer(directory), ...rebuild.env },
      fill: (hosts) => {
        putHost(hosts, rebuild, hostNowMs() + STARTS_WITHIN_MS);
      },
    });
    putHost(stack.hosts, rebuild, hostNowMs());
    return { stack, stop: () => stopAll(stack, server) };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function stopAll(stack: Stack, server: DevServer): Promise<void> {
  await stack.stop();
  await server.stop();
}

function putHost(hosts: Hosts, { simulation, recordedAtMs }: Rebuild, hostMs: number): void {
  const wallShiftMs = recordedAtMs === null ? 0 : Date.now() - recordedAtMs;
  hosts.rebuild(simulation, { hostMs, wallShiftMs });
}

/** How the person reaches a server of their own, with which keys and certificates, is not for this one. */
function onlyThisServer(directory: string): Record<string, string> {
  const configFile = join(directory, 'temporal.toml');
  writeFileSync(configFile, '[profile.default]\n');
  const names = Object.keys(process.env).filter((name) => name.startsWith('TEMPORAL_'));
  return {
    ...Object.fromEntries(names.map((name) => [name, ''])),
    TEMPORAL_CONFIG_FILE: configFile,
  };
}
