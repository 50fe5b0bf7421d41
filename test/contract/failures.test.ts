/** Every failure tells a person what it means and what to do. */
import { FAILURES, HoldfastError, isFailureType, type FailureType } from '../../contract/failures';

const kinds = Object.entries(FAILURES) as [FailureType, (typeof FAILURES)[FailureType]][];

it.each(kinds)(
  '%s says what it means and what to do, in sentences',
  (type, { meaning, nextAction }) => {
    expect(type).toMatch(/^[A-Z][A-Za-z]+$/);
    for (const text of [meaning, nextAction]) expect(text).toMatch(/^[A-Z].+[^.]\.$/s);
    expect(new HoldfastError(type, 'vm-01 did something.').message).toBe(
      `vm-01 did something. ${nextAction}`,
    );
  },
);

it('only what another attempt may mend is retried', () => {
  expect(kinds.filter(([, { retryable }]) => retryable).map(([type]) => type)).toEqual([
    'NotReachedInTime',
    'HostStepFailed',
    'NoticeUnacknowledged',
    'WebhookUndelivered',
  ]);
});

it.each([
  ['Refused', true],
  ['refused', false],
  ['toString', false],
  ['__proto__', false],
  ['', false],
  [null, false],
  [undefined, false],
])('%p is a failure of ours: %s', (type, expected) => {
  expect(isFailureType(type)).toBe(expected);
});
