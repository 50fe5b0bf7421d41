import { z } from './zod';

const FORM = 'must be a whole number such as 2, or a percentage from "0%" to "100%"';

/** A number of hosts: absolute (`2`) or a share of all hosts that are planned (`"25%"`). */
export const amount = z.union(
  [
    z.int(FORM).check(z.minimum(0, FORM), z.maximum(10_000, FORM)),
    z.string().check(
      z.refine((text: string) => {
        const percent = percentOf(text);
        return percent !== undefined && percent <= 100;
      }, FORM),
    ),
  ],
  FORM,
);
export type Amount = z.output<typeof amount>;

function percentOf(text: string): number | undefined {
  const [, digits] = /^(\d{1,3}(?:\.\d{1,2})?)%$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** As `amount`, but nothing would ever come of none. */
export const positiveAmount = amount.check(
  z.refine((value: Amount) => share(value, 10_000) > 0, 'must be more than none'),
);

/**
 * How many of `hosts` an amount is, before it is rounded. A percentage is exact: 25 % of 10 is 2.5. Whole hundredths of
 * a percent are counted, so that 14 % of 50 is 7 and not 7.000000000000001.
 */
function share(value: Amount, hosts: number): number {
  if (typeof value === 'number') return value;
  return (Math.round((percentOf(value) ?? 0) * 100) * hosts) / 10_000;
}

/** Sizes of waves round up, so that no percentage makes an empty wave; never more than there are. */
export const waveHosts = (value: Amount, hosts: number): number =>
  Math.min(Math.ceil(share(value, hosts)), hosts);

/** Concurrency rounds down, but one host can always go on. */
export const concurrentHosts = (value: Amount, hosts: number): number =>
  Math.max(1, Math.floor(share(value, hosts)));

/** Limits on failures round down: 10 % of 19 hosts tolerates one failure. */
export const toleratedHosts = (value: Amount, hosts: number): number =>
  Math.floor(share(value, hosts));
