import { setTimeout as delay } from 'node:timers/promises';
import type { Commands } from '../engine/operation';
import { sampleMs, type LatencyProfile } from './latency';
import { objectsOf } from './operations/each-adapter';
import type { AdapterCommandRunner, CommandRunner } from './operations/operation';
import type { HostState, Objects } from './state';

/** How long things take at a host. */
export interface Pace {
  readonly profile: LatencyProfile;
  /** One seed gives the same latencies. */
  seedOf(hostId: string): HostState['seed'];
}

/** The engine's commands as the operations of the simulator issue them. */
export function runnerOf(c: Commands<Objects>, pace: Pace): CommandRunner {
  const { profile } = pace;
  const common = {
    ...c,
    timeScale: profile.timeScale,
    latencyMs: latencyMs(c, pace),
    sleep: async (ms: number) => {
      await delay(ms);
    },
  };
  const ofAdapter: CommandRunner['ofAdapter'] = ({ adapterId, kind }) => {
    const one = c.ofAdapter(adapterId);
    const runner: AdapterCommandRunner = {
      ...common,
      kind,
      run: (command, apply) => one.run(command, (o, says) => apply(objectsOf(o, adapterId), says)),
      look: (at) => at(c.look((o) => objectsOf(o, adapterId))),
      ofAdapter,
    };
    return runner;
  };
  return { ...common, ofAdapter };
}

export function latencyMs(
  {
    hostId,
    vmId,
    step,
    generation,
    attempts,
  }: Omit<Commands<never>, 'run' | 'act' | 'look' | 'ofAdapter'>,
  pace: Pace,
): number {
  const key = `${vmId === null ? '' : `${vmId}/`}${generation}/${attempts}`;
  return sampleMs(pace.profile, step, pace.seedOf(hostId), key);
}
