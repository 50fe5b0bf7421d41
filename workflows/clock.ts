/**
 * The run's clock, ms since 1970: inside the sandbox `Date.now` is the time of the workflow task, and the same again at
 * a replay. Only for what is told to people and for waits that a timer ends; a host's blackout is never measured by it.
 */
export const nowMs = (): number => Date.now();
export const nowIso = (): string => new Date(nowMs()).toISOString();
