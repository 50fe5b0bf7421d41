import { windowState } from '../../../activities/fleet/maintenance-window';
import type { MaintenanceWindow } from '../../../contract/fleet-input';

const EVERY_DAY = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
type Day = (typeof EVERY_DAY)[number];
type Open = readonly [from: string, to: string, ...days: Day[]];

const window = (open: readonly Open[], settings: Partial<MaintenanceWindow> = {}) =>
  ({
    timeZone: 'UTC',
    hostTakes: '5m',
    ...settings,
    open: open.map(([from, to, ...days]) => ({
      from,
      to,
      days: days.length === 0 ? [...EVERY_DAY] : days,
    })),
  }) satisfies MaintenanceWindow;
const ms = (iso: string) => Date.parse(iso);
const iso = (at: number) => new Date(at).toISOString().replace(':00.000Z', 'Z');
/** Open or closed, and until when. 2026-11-24 is a Tuesday. */
function at(now: string, given: MaintenanceWindow): string {
  const { open, untilMs } = windowState(given, ms(now));
  return `${open ? 'open' : 'closed'} until ${iso(untilMs)}`;
}

describe('a window of every night', () => {
  const night = window([['22:00', '23:00']]);
  it.each([
    ['before it', '2026-11-24T21:59:59.999Z', 'closed until 2026-11-24T22:00Z'],
    ['at the moment it opens', '2026-11-24T22:00:00Z', 'open until 2026-11-24T22:55Z'],
    ['inside', '2026-11-24T22:30:00Z', 'open until 2026-11-24T22:55Z'],
    ['when a host would end as it closes', '2026-11-24T22:55:00Z', 'open until 2026-11-24T22:55Z'],
    ['a millisecond later', '2026-11-24T22:55:00.001Z', 'closed until 2026-11-25T22:00Z'],
    ['at the moment it closes', '2026-11-24T23:00:00Z', 'closed until 2026-11-25T22:00Z'],
  ])('%s', (_, now, state) => {
    expect(at(now, night)).toBe(state);
  });
});

describe('a window that spans midnight', () => {
  const friday = window([['22:00', '04:00', 'fri']]);
  it.each([
    [
      'belongs to the day on which it opens',
      '2026-11-28T01:00:00Z',
      'open until 2026-11-28T03:55Z',
    ],
    [
      'is not open on the morning of that day',
      '2026-11-27T01:00:00Z',
      'closed until 2026-11-27T22:00Z',
    ],
    ['comes again a week later', '2026-11-28T04:00:00Z', 'closed until 2026-12-04T22:00Z'],
  ])('%s', (_, now, state) => {
    expect(at(now, friday)).toBe(state);
  });
});

describe('several windows', () => {
  it('that follow each other without a break are one', () => {
    const halves = window([
      ['22:00', '00:00', 'tue'],
      ['00:00', '02:00', 'wed'],
    ]);
    expect(at('2026-11-24T23:58:00Z', halves)).toBe('open until 2026-11-25T01:55Z');
  });

  it('that overlap are one, also where one lies within the other', () => {
    const nested = window([
      ['10:00', '16:00'],
      ['12:00', '13:00'],
      ['15:00', '18:00'],
    ]);
    expect(at('2026-11-24T12:59:00Z', nested)).toBe('open until 2026-11-24T17:55Z');
  });

  it('with a minute between them are two', () => {
    const apart = window([
      ['10:00', '11:00'],
      ['11:01', '12:00'],
    ]);
    expect(at('2026-11-24T10:58:00Z', apart)).toBe('closed until 2026-11-24T11:01Z');
  });

  it('too short for a host are passed over', () => {
    const short = window([
      ['10:00', '10:30'],
      ['20:00', '22:00'],
    ], { hostTakes: '1h' }); // prettier-ignore
    expect(at('2026-11-24T09:00:00Z', short)).toBe('closed until 2026-11-24T20:00Z');
    expect(at('2026-11-24T10:10:00Z', short)).toBe('closed until 2026-11-24T20:00Z');
  });

  it('around the clock never close', () => {
    const always = window([
      ['00:00', '12:00'],
      ['12:00', '00:00'],
    ]);
    expect(windowState(always, ms('2026-11-24T12:00:00Z'))).toMatchObject({ open: true });
    expect(windowState(always, ms('2026-11-24T23:59:59.999Z'))).toMatchObject({ open: true });
  });
});

describe('in Berlin, when the clocks go forward from 02:00 to 03:00 on 29 March 2026', () => {
  const berlin = (...open: Open[]) => window(open, { timeZone: 'Europe/Berlin' });
  it.each<[string, MaintenanceWindow, string, string]>([
    [
      'a window that begins in the hour that is skipped opens at the skip',
      berlin(['02:30', '04:00']),
      '2026-03-29T00:30:00Z',
      'closed until 2026-03-29T01:00Z',
    ],
    [
      'and closes when the clocks say so',
      berlin(['02:30', '04:00']),
      '2026-03-29T01:00:00Z',
      'open until 2026-03-29T01:55Z',
    ],
    [
      'one that ends in it closes at the skip',
      berlin(['01:00', '02:30']),
      '2026-03-29T00:30:00Z',
      'open until 2026-03-29T00:55Z',
    ],
    [
      'one that lies within it does not open that day',
      berlin(['02:15', '02:45']),
      '2026-03-29T00:00:00Z',
      'closed until 2026-03-30T00:15Z',
    ],
    [
      'one of that day of the week only opens a week later',
      berlin(['02:15', '02:45', 'sun']),
      '2026-03-23T00:00:00Z',
      'closed until 2026-04-05T00:15Z',
    ],
    [
      'one around it is an hour shorter',
      berlin(['01:00', '04:00']),
      '2026-03-29T00:00:00Z',
      'open until 2026-03-29T01:55Z',
    ],
  ])('%s', (_, given, now, state) => {
    expect(at(now, given)).toBe(state);
  });
});

describe('in Berlin, when the clocks go back from 03:00 to 02:00 on 25 October 2026', () => {
  const berlin = (...open: Open[]) => window(open, { timeZone: 'Europe/Berlin' });
  it.each<[string, MaintenanceWindow, string, string]>([
    [
      'a window in the hour that comes twice is open the first time',
      berlin(['02:15', '02:45']),
      '2026-10-25T00:15:00Z',
      'open until 2026-10-25T00:40Z',
    ],
    [
      'and not the second time',
      berlin(['02:15', '02:45']),
      '2026-10-25T01:15:00Z',
      'closed until 2026-10-26T01:15Z',
    ],
    [
      'one that begins in it opens the first time',
      berlin(['02:30', '04:00']),
      '2026-10-25T00:30:00Z',
      'open until 2026-10-25T02:55Z',
    ],
    [
      'one that ends in it closes the first time',
      berlin(['01:00', '02:30']),
      '2026-10-25T00:26:00Z',
      'closed until 2026-10-26T00:00Z',
    ],
    [
      'one around it is an hour longer',
      berlin(['01:00', '04:00']),
      '2026-10-24T23:00:00Z',
      'open until 2026-10-25T02:55Z',
    ],
  ])('%s', (_, given, now, state) => {
    expect(at(now, given)).toBe(state);
  });
});

describe('the words', () => {
  const given = window([['22:00', '04:00', 'sat']], { timeZone: 'Europe/Berlin' });
  it('say when it opens, in the zone of the window', () => {
    expect(windowState(given, ms('2026-11-24T12:00:00Z')).detail).toBe(
      'closed; opens Sat 28 Nov 2026 22:00 CET (Europe/Berlin)',
    );
  });
  it('say when the last host may start', () => {
    expect(windowState(given, ms('2026-11-28T22:00:00Z')).detail).toBe(
      'open; the last host may start Sun 29 Nov 2026 03:55 CET (Europe/Berlin)',
    );
  });
  it('say that it is too late for a host, though the window is open', () => {
    expect(windowState(given, ms('2026-11-29T02:58:00Z')).detail).toBe(
      'closed to hosts, which take 5m; opens Sat 5 Dec 2026 22:00 CET (Europe/Berlin)',
    );
  });
});

it('does not take a name that is no time zone', () => {
  expect(() => windowState(window([['22:00', '04:00']], { timeZone: 'Mars/Base' }), 0)).toThrow(
    'Mars/Base',
  );
});
