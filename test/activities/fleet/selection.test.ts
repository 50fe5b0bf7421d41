import { selectFrom } from '../../../activities/fleet/selection';
import { HoldfastError } from '../../../contract/failures';
import { updateFleetInput, type UpdateFleetInput } from '../../../contract/fleet-input';
import { inventory } from '../../../contract/inventory';

const known = inventory.parse({
  hosts: [
    { hostId: 'host-03', faultDomain: 'fd-1', availabilityGroups: ['web'], labels: { row: 'a' } },
    { hostId: 'host-01', faultDomain: 'fd-2', availabilityGroups: ['db'], labels: { row: 'a' } },
    { hostId: 'host-02', faultDomain: 'fd-2', labels: { row: 'b', sku: 'x' } },
    { hostId: 'host-04', faultDomain: 'fd-3', availabilityGroups: ['web', 'db'] },
  ],
});
const settings = (input: Partial<UpdateFleetInput>) =>
  updateFleetInput.parse({ update: { version: '2.0.0' }, ...input });
const selected = (input: Partial<UpdateFleetInput>) =>
  selectFrom(known, settings(input)).map((host) => host.hostId);

function failure(input: Partial<UpdateFleetInput>, problems?: readonly string[]): HoldfastError {
  try {
    selectFrom(known, settings(input), problems);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('nothing was wrong');
}

describe('what is selected', () => {
  it('hosts keep the order in which they were named', () => {
    expect(selected({ hosts: ['host-02', 'host-03', 'host-01'] })).toEqual([
      'host-02',
      'host-03',
      'host-01',
    ]);
  });

  it.each<[string, UpdateFleetInput['selector'], string[]]>([
    [
      'one of the fault domains',
      { faultDomains: ['fd-2', 'fd-3'] },
      ['host-01', 'host-02', 'host-04'],
    ],
    ['one of the availability groups', { availabilityGroups: ['web'] }, ['host-03', 'host-04']],
    ['all of the labels', { labels: { row: 'b', sku: 'x' } }, ['host-02']],
    ['every condition', { faultDomains: ['fd-2'], labels: { row: 'a' } }, ['host-01']],
    [
      'groups and fault domains',
      { faultDomains: ['fd-1', 'fd-2'], availabilityGroups: ['db'] },
      ['host-01'],
    ],
  ])('a selector finds hosts that meet %s, in the order of the inventory', (_, selector, hosts) => {
    expect(selected({ selector })).toEqual(hosts);
  });

  it('excluded hosts are left out', () => {
    const selector = { faultDomains: ['fd-1', 'fd-2'] };
    expect(selected({ selector, exclude: ['host-01'] })).toEqual(['host-03', 'host-02']);
  });

  it('as many hosts as maxHosts allows', () => {
    expect(selected({ hosts: ['host-01', 'host-02'], maxHosts: 2 })).toHaveLength(2);
  });
});

describe('what is refused', () => {
  it('nothing that meets the selector', () => {
    const { type, message } = failure({ selector: { faultDomains: ['fd-9'] } });
    expect(type).toBe('EmptySelection');
    expect(message).toContain('fd-9');
  });

  it('nothing that is left after the excluded', () => {
    const selector = { faultDomains: ['fd-1'] };
    expect(failure({ selector, exclude: ['host-03'] }).type).toBe('EmptySelection');
  });

  it('more than maxHosts, with both numbers', () => {
    const { type, message, facts } = failure({
      hosts: ['host-01', 'host-02', 'host-03'],
      maxHosts: 2,
    });
    expect(type).toBe('TooManyHosts');
    expect(message).toContain('3 hosts are selected, and maxHosts is 2');
    expect(facts).toEqual({ selected: 3, maxHosts: 2 });
  });

  it('all that is wrong, at once, with field, value and what is allowed', () => {
    const { type, message, facts } = failure(
      {
        selector: { faultDomains: ['fd-9'] },
        exclude: ['hots-01', 'host-02'],
        faults: { nowhere: [{ vmId: 'vm-01', step: 'saveVm', kind: 'fail-before' }] },
        maintenanceWindow: { timeZone: 'Mars/Base', open: [{ from: '22:00', to: '04:00' }] },
      },
      ['notify.0: no secret'],
    );
    expect(type).toBe('InvalidInput');
    expect(facts['problems']).toEqual([
      'notify.0: no secret',
      'exclude: unknown: hots-01 (close to host-01; the inventory has host-03, host-01, host-02, host-04)',
      'faults: unknown: nowhere (the inventory has host-03, host-01, host-02, host-04)',
      expect.stringMatching(
        /^maintenanceWindow.timeZone: unknown \(got "Mars\/Base"\).*Europe\/Berlin/,
      ),
    ]);
    for (const problem of facts['problems'] as string[]) expect(message).toContain(problem);
  });

  it('names that differ by a letter or two are offered, the closest first', () => {
    const { message } = failure({ hosts: ['host-0', 'hst-04'] });
    expect(message).toContain(
      'hosts: unknown: host-0, hst-04 (close to host-03, host-01, host-02, host-04;',
    );
  });

  it('no message lists a whole fleet', () => {
    const hosts = Array.from({ length: 500 }, (_, i) => ({
      hostId: `h${String(i)}`,
      faultDomain: 'fd-1',
    }));
    const unknown = Array.from({ length: 500 }, (_, i) => `unknown-${String(i)}`);
    const many = inventory.parse({ hosts });
    expect(() => selectFrom(many, settings({ hosts: unknown }))).toThrow(
      /unknown-19 and 480 more \(the inventory has h0, .*, h19 and 480 more\)/,
    );
  });
});
