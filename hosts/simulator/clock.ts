import { performance } from 'node:perf_hooks';

/**
 * The host's monotonic clock in ms. All processes of the machine read the same one (CLOCK_MONOTONIC), so a deadline
 * written by the host worker means the same to the dead-man.
 */
export const hostNowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Wall clock, for people only; nothing is decided by it. */
export const wallTime = (): string => new Date(performance.timeOrigin + performance.now()).toISOString();
