import { DateTime, IANAZone, type WeekdayNumbers } from 'luxon';
import { toMs } from '../../contract/durations';
import type { MaintenanceWindow } from '../../contract/fleet-input';
import type { WindowState } from '../../contract/fleet-plan';

const WEEKDAYS = {
  mon: 1,
  tue: 2,
  wed: 3,
  thu: 4,
  fri: 5,
  sat: 6,
  sun: 7,
} as const satisfies Record<MaintenanceWindow['open'][number]['days'][number], WeekdayNumbers>;

/** A window of one day a week comes again after seven days, or after fourteen where the clocks skip it once. */
const DAYS_AHEAD = 15;
const DAY_MS = 24 * 3_600_000;

/** From the first millisecond to the one at which it is closed. */
interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

export const isTimeZone = (name: string): boolean => IANAZone.isValidZone(name);

/**
 * Whether a host may start at `nowMs`. A host that would end exactly when the window closes still may. Windows that
 * overlap or follow each other without a break count as one. A window opens when the clocks first show `from`, and closes
 * when they next show `to`; a time that they skip is the moment of the skip, so a window of skipped times does not open.
 * Fails with a RangeError if the time zone is none.
 */
export function windowState(window: MaintenanceWindow, nowMs: number): WindowState {
  const zone = IANAZone.create(window.timeZone);
  if (!zone.isValid) throw new RangeError(`"${window.timeZone}" is not an IANA time zone`);
  const takesMs = toMs(window.hostTakes);
  const at = (ms: number) =>
    `${DateTime.fromMillis(ms, { zone }).setLocale('en-GB').toFormat('ccc d LLL yyyy HH:mm ZZZZ')} (${window.timeZone})`;

  const open = merged(intervals(window, zone, nowMs));
  const current = open.find(({ startMs, endMs }) => startMs <= nowMs && nowMs < endMs);
  if (current !== undefined && nowMs <= current.endMs - takesMs) {
    const untilMs = current.endMs - takesMs;
    return { open: true, untilMs, detail: `open; the last host may start ${at(untilMs)}` };
  }
  const next = open.find(({ startMs, endMs }) => startMs > nowMs && endMs - startMs >= takesMs);
  const closed =
    current === undefined ? 'closed' : `closed to hosts, which take ${window.hostTakes}`;
  return next === undefined
    ? {
        open: false,
        untilMs: nowMs + DAY_MS,
        detail: `${closed}; no window of the next ${DAYS_AHEAD - 1} days is long enough for a host`,
      }
    : { open: false, untilMs: next.startMs, detail: `${closed}; opens ${at(next.startMs)}` };
}

function intervals(window: MaintenanceWindow, zone: IANAZone, nowMs: number): Interval[] {
  const today = DateTime.fromMillis(nowMs, { zone });
  // One that opened the day before may span midnight, and the clocks may have added an hour.
  return Array.from({ length: DAYS_AHEAD + 2 }, (_, i) => today.plus({ days: i - 2 })).flatMap(
    (day) =>
      window.open
        .filter(({ days }) => days.some((name) => WEEKDAYS[name] === day.weekday))
        .map(({ from, to }) => ({
          startMs: momentOf(day, from, zone),
          endMs: momentOf(to > from ? day : day.plus({ days: 1 }), to, zone),
        }))
        .filter(({ startMs, endMs }) => startMs < endMs),
  );
}

/** Sorted, and those that run into each other as one. */
function merged(found: readonly Interval[]): readonly Interval[] {
  const result: Interval[] = [];
  for (const interval of [...found].sort((a, b) => a.startMs - b.startMs)) {
    const last = result.at(-1);
    if (last === undefined || interval.startMs > last.endMs) result.push(interval);
    else if (interval.endMs > last.endMs) {
      result[result.length - 1] = { startMs: last.startMs, endMs: interval.endMs };
    }
  }
  return result;
}

/**
 * When the clocks of the zone first show a time of a day; where they skip it, the moment of the skip. (Luxon itself
 * chooses between the two passes of a doubled hour by the season in which it is asked.)
 */
function momentOf(day: DateTime, time: string, zone: IANAZone): number {
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  const asUtc = Date.UTC(day.year, day.month - 1, day.day, hour, minute);
  const under = (offsetMinutes: number) => asUtc - offsetMinutes * 60_000;
  const earlier = under(zone.offset(asUtc - DAY_MS));
  const later = under(zone.offset(asUtc + DAY_MS));
  const passes = [earlier, later].filter((ms) => under(zone.offset(ms)) === ms);
  return passes.length > 0 ? Math.min(...passes) : changeBetween(later, earlier, zone);
}

/** The moment between two others at which the zone changes its offset. */
function changeBetween(beforeMs: number, afterMs: number, zone: IANAZone): number {
  let [low, high] = [beforeMs, afterMs];
  const offset = zone.offset(low);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (zone.offset(middle) === offset) low = middle;
    else high = middle;
  }
  return high;
}
