/** What a VM may still be dark, at every edge. */
import {
  blockedOver,
  exceedsAllowance,
  freeAgainAtMs,
  overAllowance,
  spentMs,
} from '../../planning/blackout-allowance';
import { vmWith } from './descriptions';

const HOUR = 3_600_000;
const now = 100 * HOUR;
const dark = (agoMs: number, ms: number) => ({ endedAtMs: now - agoMs, ms });
const allowance = { atMost: '30s', per: '24h' };

test.each([
  ['nothing', [], 0],
  ['what ended in the period', [dark(HOUR, 5_000), dark(2 * HOUR, 2_500)], 7_500],
  ['not what ended as the period began', [dark(24 * HOUR, 5_000)], 0],
  ['what ended just after that', [dark(24 * HOUR - 1, 5_000)], 5_000],
])('spent is %s', (_what, blackouts, ms) => {
  expect(spentMs(blackouts, '24h', now)).toBe(ms);
});

test.each([
  [20_000, false],
  [20_001, true],
  [0, false],
  [30_000, true],
])('with %d ms spent, another 10 s exceed 30 s: %p', (ms, exceeds) => {
  expect(exceedsAllowance([dark(HOUR, ms)], allowance, '10s', now)).toBe(exceeds);
});

test.each<[string, { endedAtMs: number; ms: number }[], string, number | null]>([
  ['now, if it is', [dark(HOUR, 20_000)], '10s', now],
  ['when the one blackout leaves the period', [dark(HOUR, 25_000)], '10s', now + 23 * HOUR],
  [
    'when enough of several have left it',
    [dark(20 * HOUR, 9_000), dark(10 * HOUR, 9_000), dark(HOUR, 9_000)],
    '15s',
    now + 14 * HOUR,
  ],
  ['never, if the budget alone is too large', [], '31s', null],
])('there is room again %s', (_what, blackouts, budget, at) => {
  expect(freeAgainAtMs(blackouts, allowance, budget, now)).toBe(at);
  if (at === null || at === now) return;
  expect(exceedsAllowance(blackouts, allowance, budget, at)).toBe(false);
  expect(exceedsAllowance(blackouts, allowance, budget, at - 1)).toBe(true);
});

test('a VM over its allowance is blocked, with the numbers', () => {
  const vms = [vmWith(), vmWith({ vmId: 'vm-02', blackouts: [dark(HOUR, 25_040)] })];
  const over = overAllowance({ vms, describedAtMs: now }, allowance, '10s');
  const reason = 'was dark for 25.0 s in the last 24h; another 10s would exceed its 30s';
  expect([...over]).toEqual([['vm-02', { reason, freeAgainAtMs: now + 23 * HOUR }]]);
  const keep = (vmId: string) => ({ vmId, verdict: 'keep', reason: '' }) as const;
  expect(blockedOver([keep('vm-01'), keep('vm-02')], over)).toEqual([
    keep('vm-01'),
    { vmId: 'vm-02', verdict: 'blocked', reason },
  ]);
});

test('a VM that is blocked already keeps its reason: no waiting mends it', () => {
  const over = new Map([['vm-01', { reason: 'was dark' }]]);
  const away = { vmId: 'vm-01', verdict: 'blocked', reason: 'not running' } as const;
  expect(blockedOver([away], over)).toEqual([away]);
});

test('a VM that runs the new version already is not blocked: it is not touched', () => {
  const there = { vmId: 'vm-01', verdict: 'there', reason: 'it runs 2.0.0 already' } as const;
  expect(blockedOver([there], new Map([['vm-01', { reason: 'spent' }]]))).toEqual([there]);
});
