/** What `updateFleet` takes, what it fills in, and everything that is wrong at once. */
import * as z from 'zod/mini';
import { FLEET_CONTROLS } from '../../contract/fleet-control';
import { updateFleetInput } from '../../contract/fleet-input';

const smallest = { update: { version: '2.0.0' }, hosts: ['host-01'] };
const problems = (input: unknown) =>
  z
    .safeParse(updateFleetInput, input)
    .error?.issues.map((i) => `${i.path.join('.')}: ${i.message}`) ?? [];

test('the smallest input gets careful defaults', () => {
  expect(z.parse(updateFleetInput, smallest)).toMatchObject({
    maxHosts: 100,
    dryRun: false,
    strategy: {
      canary: 1,
      waves: ['100%'],
      maxConcurrentHosts: '10%',
      ramp: true,
      perFaultDomain: 1,
      perAvailabilityGroup: 1,
      failureLimit: 0,
      onFailure: 'pause',
      approval: 'none',
      onBusy: 'skip',
      bakeTime: { settle: '0s', stableFor: '0s', giveUpAfter: '10m', every: '10s' },
    },
    health: { probes: ['heartbeat', 'vfDataPath', 'forbiddenCommands', 'blackoutBudget'] },
    blackoutAllowance: { atMost: '30s', per: '30d', whenSpent: 'refuse' },
    servicing: { mode: 'modified', blackoutBudget: '10s' },
    notify: [],
    faults: {},
  });
});

test.each([
  ['neither hosts nor a selector', { hosts: undefined }, 'hosts: name hosts or give a selector'],
  ['no host', { hosts: [] }, 'an empty list does not mean "all"'],
  [
    'an empty selector',
    { hosts: undefined, selector: {} },
    'an empty selector does not mean "all"',
  ],
  [
    'a selector that names nothing',
    { hosts: undefined, selector: { faultDomains: [] } },
    'selector.faultDomains',
  ],
  ['both', { selector: { faultDomains: ['fd-1'] } }, 'selector: give either hosts or a selector'],
  ['a host twice', { hosts: ['a', 'b', 'a'] }, 'hosts: named twice: a'],
  [
    'a host that is excluded too',
    { exclude: ['host-01'] },
    'exclude: names hosts that "hosts" names too',
  ],
  ['over 100 %', { strategy: { maxConcurrentHosts: '120%' } }, 'strategy.maxConcurrentHosts'],
  ['waves of none', { strategy: { waves: [0] } }, 'strategy.waves.0: must be more than none'],
  [
    'approval after a canary that there is not',
    { strategy: { canary: 0, approval: 'after-canary' } },
    'strategy.approval: "after-canary" needs a canary wave',
  ],
  [
    'a bake that no wave could pass',
    { strategy: { bakeTime: { stableFor: '20m' } } },
    'strategy.bakeTime.giveUpAfter: must not be shorter than stableFor',
  ],
  [
    'a window that is never open',
    { maintenanceWindow: { open: [{ from: '22:00', to: '22:00' }] } },
    'maintenanceWindow.open.0.to: must differ from "from"',
  ],
  [
    'windows in which no host fits',
    { maintenanceWindow: { open: [{ from: '22:00', to: '22:10' }], hostTakes: '15m' } },
    'maintenanceWindow.hostTakes: no window is open long enough',
  ],
  [
    'a time that is none',
    { maintenanceWindow: { open: [{ from: '24:00', to: '1:00' }] } },
    'must be a time such as',
  ],
  [
    'a probe that nothing could fail',
    { health: { prometheus: [{ url: 'http://p', query: 'up' }] } },
    'must have atLeast or atMost',
  ],
  ['a webhook that is none', { notify: ['ftp://example.com'] }, 'notify.0: must be a URL such as'],
  ['a field that does not exist', { parallel: 4 }, 'parallel'],
])('%s is refused', (_what, change, told) => {
  expect(problems({ ...smallest, ...change }).join('\n')).toContain(told);
});

test('a window over midnight is long enough for what fits between its ends', () => {
  const maintenanceWindow = { open: [{ from: '23:50', to: '00:10' }], hostTakes: '20m' };
  expect(problems({ ...smallest, maintenanceWindow })).toEqual([]);
});

test('everything is told at once', () => {
  const input = {
    update: { version: '' },
    hosts: ['a', 'a'],
    exclude: ['a'],
    strategy: { canary: '101%', bakeTime: { stableFor: '1h', giveUpAfter: '1m' } },
    faults: { a: [{ step: 'saveVm', kind: 'starts-old-version' }] },
  };
  expect(problems(input).map((problem) => problem.split(':')[0])).toEqual(
    expect.arrayContaining([
      'update.version',
      'hosts',
      'strategy.canary',
      'faults.a.0.kind',
      'exclude',
      'strategy.bakeTime.giveUpAfter',
    ]),
  );
});

test.each(Object.entries(FLEET_CONTROLS))('%s says who asks and why', (_name, schema) => {
  const { error } = z.safeParse(schema, {});
  expect(error?.issues.map((i) => i.path.join('.'))).toEqual(
    expect.arrayContaining(['by', 'reason']),
  );
});
