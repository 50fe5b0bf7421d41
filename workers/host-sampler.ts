import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { HostMetrics } from '../activities/host-metrics/host-metrics';
import type { HostDriver } from '../hosts/host-driver';

/** How often every host is described, ms; more seldom if that would take more than its share of the process. */
const EVERY_MS = 2_000;
/** At most one part in so many of the process's time: the dark steps of VMs run in it too. */
const SHARE = 100;

type Driver = Pick<HostDriver, 'describe'>;
type Metrics = Pick<HostMetrics, 'observe'>;
type Log = Pick<Logger, 'warn'>;

/** Describes every host once. A process does so before it performs any step: what ended before is not counted. */
export async function lookAtHosts(
  hostIds: readonly string[],
  driver: Driver,
  metrics: Metrics,
  logger: Log,
): Promise<void> {
  for (const hostId of hostIds) {
    try {
      metrics.observe(await driver.describe(hostId));
    } catch (error) {
      // The age of the last description tells it as well; the next look comes soon.
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn(`${hostId} could not be described for its metrics: ${reason}`);
    }
  }
}

/**
 * Keeps the gauges of hosts up to date until `signal`. One host after the other: describing one of 16 VMs takes a
 * millisecond, one of 256 VMs some forty, and between two of them the process is left to the steps.
 */
export async function sampleHosts(
  hostIds: readonly string[],
  driver: Driver,
  metrics: Metrics,
  logger: Log,
  signal: AbortSignal,
  everyMs = EVERY_MS,
): Promise<void> {
  for (let turn = 0; !signal.aborted; turn += 1) {
    const hostId = hostIds[turn % hostIds.length];
    if (hostId === undefined) return;
    const from = performance.now();
    await lookAtHosts([hostId], driver, metrics, logger);
    const tookMs = performance.now() - from;
    const waitMs = Math.max(everyMs / hostIds.length, SHARE * tookMs);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }
}
