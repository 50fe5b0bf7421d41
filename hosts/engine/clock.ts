import { readFileSync } from 'node:fs';

/**
 * The host's monotonic clock in ms. All processes of the machine read the same one (CLOCK_MONOTONIC), so a deadline
 * written by the host worker means the same to the dead-man.
 */
export const hostNowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The wall clock `inMs` from now, as ISO 8601, for people only; nothing is decided by it. */
export const wallTime = (inMs: number): string => new Date(Date.now() + inMs).toISOString();

/** The boot whose clock that is, by the kernel. A system that does not say has one boot for all that we know. */
export const BOOT_ID: string = (() => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
})();
