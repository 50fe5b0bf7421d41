import { hostId } from './ids';
import { z } from './zod';

/** Who asks a running fleet update for something, and why: recorded with the answer. */
const why = {
  by: z.string('by must say who asks').check(z.minLength(1), z.maxLength(100)),
  reason: z.string('reason must say why').check(z.minLength(1), z.maxLength(500)),
};

/** What each control update of `updateFleet` takes, by its name. */
export const FLEET_CONTROLS = {
  pause: z.strictObject(why),
  resume: z.strictObject(why),
  approve: z.strictObject({ ...why, wave: z.int().check(z.minimum(1)) }),
  abort: z.strictObject(why),
  setConcurrency: z.strictObject({
    ...why,
    hosts: z.int().check(z.minimum(1), z.maximum(10_000)),
  }),
  skipHost: z.strictObject({ ...why, hostId }),
  retryFailed: z.strictObject(why),
} as const;

export type FleetControl = keyof typeof FLEET_CONTROLS;
export type ControlRequest<Name extends FleetControl> = z.output<(typeof FLEET_CONTROLS)[Name]>;
