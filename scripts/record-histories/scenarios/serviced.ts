import type { Scenario } from '../scenario';

const bad =
  (kind: 'fails-to-start' | 'starts-old-version' | 'fails-verification'): Scenario =>
  async (on) => ({
    [`service-host.${kind}`]: {
      run: await on.ended(await on.serviceHost({ faults: [{ step: 'stageUpdate', kind }] })),
      ends: 'HostNotUpdated',
      shows:
        'A bad update: the host takes it back inside the blackout, and the VMs come back on the old version.',
    },
  });

/** Runs of a host since there are notices, allowances, and updates that the host itself takes back. */
export const SERVICED: readonly Scenario[] = [
  async function fleetNoticeIsAcknowledged(on) {
    return {
      'service-host.notice-acknowledged': {
        run: await on.ended(await on.serviceHost({ notice: { waitUpTo: '10s' } })),
        ends: 'completed',
        shows:
          'The guests are told before their VMs pause, and acknowledge; then the run goes on as ever.',
      },
    };
  },

  async function fleetNoticeIsNotHeard(on) {
    const faults = [{ vmId: on.vmId, step: 'noticeGuests', kind: 'stuck' }] as const;
    const notice = { waitUpTo: '1s', webhook: 'http://127.0.0.1:9/nobody' } as const;
    return {
      'service-host.notice-not-heard': {
        run: await on.ended(await on.serviceHost({ notice, faults: [...faults] })),
        ends: 'completed',
        shows:
          'A deaf guest and a webhook that does not answer: the run goes on without them when the time is up.',
      },
    };
  },

  async function fleetAllowanceIsSpent(on) {
    await on.ended(await on.serviceHost());
    const run = await on.serviceHost({
      blackoutAllowance: { atMost: '10s' },
      update: { component: 'vpciVsp', version: '3.0.0' },
    });
    return {
      'service-host.allowance-spent': {
        run: await on.ended(run),
        ends: 'BlackoutAllowanceSpent',
        shows: 'VMs that were dark lately are refused another blackout; nothing is touched.',
      },
    };
  },
  named('fleetUpdateFailsToStart', bad('fails-to-start')),
  named('fleetUpdateStartsOldVersion', bad('starts-old-version')),
  named('fleetUpdateFailsVerification', bad('fails-verification')),
];

function named(name: string, scenario: Scenario): Scenario {
  return Object.defineProperty(scenario, 'name', { value: name });
}
