/** What the script says without a server: plans from the file alone, and bad input. */
import { fleetFiles, updateFleet, updateFleetProcess } from './update-fleet-script';

const file = fleetFiles();

describe('a plan without a server', () => {
  test('of the example fleet is exactly one JSON document of the promised form', async () => {
    const args = ['--fleet', 'examples/fleet.yaml', '--dry-run', '--json'];
    const ran = await updateFleetProcess(args).ended;
    expect(ran.code).toBe(0);
    const vms = ['vm-01', 'vm-02', 'vm-03', 'vm-04'].map((vmId) => ({
      vmId,
      verdict: 'keep',
      reason: expect.any(String) as string,
    }));
    const host = (hostId: string, faultDomain: string) => ({
      hostId,
      faultDomain,
      reason: expect.any(String) as string,
      vms,
    });
    expect(JSON.parse(ran.stdout)).toEqual({
      waves: [
        { number: 1, hosts: [host('host-01', 'fd-1')] },
        { number: 2, hosts: [host('host-02', 'fd-2'), host('host-03', 'fd-1')] },
      ],
      refused: [],
    });
    expect(ran.stderr).toContain('no host was asked');
  });

  test('is a numbered table for people', async () => {
    const ran = await updateFleet(['--fleet', 'examples/large-fleet.yaml', '--dry-run']).ended;
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('11 hosts in 4 waves, 0 refused.');
    expect(ran.stdout).toMatch(/│ 1 +│ edge-01 +│ rack-1 +│ 2 keep/);
    expect(ran.stdout).not.toContain('edge-03');
  });

  test('says what an update cannot keep', async () => {
    const ran = await updateFleet([
      '--fleet',
      'examples/fleet.yaml',
      '--dry-run',
      '--component',
      'vmSwitch',
    ]).ended;
    expect(ran.stdout).toMatch(/refused: host-01 \(fd-1\): vm-01: the VM switch allocated the VFs/);
  });
});

describe('bad input', () => {
  test('malformed YAML is told with line and column, all of it', async () => {
    const path = file(
      'broken.yaml',
      'update: { version: 2.0.0 }\nhosts: [host-01\nname: x\nexclude: *others\nupdate: { version: 3 }\n',
    );
    const ran = await updateFleet(['--fleet', path, '--yes']).ended;
    expect(ran.code).toBe(2);
    for (const told of [
      ':3:1:',
      ':4:10: nothing before it has the anchor &others',
      ':5:1: Map keys must be unique',
    ])
      expect(ran.stderr).toContain(`${path}${told}`);
  });

  test('wrong fields, contradictions and unknown names are told with line and column, all at once', async () => {
    const path = file(
      'wrong fields.yaml',
      [
        'update: { version: 2.0, component: kernel }',
        'hosts: [host-01, host-01, host-07]',
        'exclude: [host-01, host-08]',
        'strategy:',
        '  canary: 150%',
        '  bakeTime:',
        '    stableFor: 1h',
        '  wavs: [1]',
        '  concurrency: 3',
        'maintenanceWindow:',
        '  timeZone: Mars/Olympus',
        '  open:',
        "    - { from: '25:00', to: '05:00' }",
        'faults: { host-09: [{ step: stageUpdate, kind: fail-before }] }',
        'inventory: { hosts: [{ hostId: host-01, faultDomain: fd-1, vms: [vm-01] }] }',
      ].join('\n'),
    );
    const ran = await updateFleet(['--fleet', path, '--yes']).ended;
    expect(ran.code).toBe(2);
    for (const told of [
      ':1:1: name: name must be 1-63 letters',
      ':1:11: update.version: Invalid input: expected string, received number (got 2)',
      ':1:25: update.component: Invalid option',
      ':2:1: hosts: named twice: host-01',
      ':2:27: hosts.2: the inventory has no host host-07',
      ':3:1: exclude: names hosts that "hosts" names too',
      ':3:20: exclude.1: the inventory has no host host-08',
      ':5:3: strategy.canary: must be a whole number such as 2, or a percentage from "0%" to "100%" (got "150%")',
      ':6:3: strategy.bakeTime.giveUpAfter: must not be shorter than stableFor',
      ':8:3: strategy.wavs: there is no such field',
      ':9:3: strategy.concurrency: there is no such field',
      ':11:3: maintenanceWindow.timeZone: unknown time zone "Mars/Olympus"',
      ':13:9: maintenanceWindow.open.0.from: must be a time such as "22:30" (got "25:00")',
      ':14:11: faults.host-09: the inventory has no host host-09',
    ])
      expect(ran.stderr).toContain(`${path}${told}`);
    expect(ran.stderr).toContain('Nothing was started.');
  });

  test.each([
    [['--fleet', 'no-such.yaml', '--yes'], 'no-such.yaml cannot be read: ENOENT'],
    [['--to-version', '2.0.0', '--yes'], 'name hosts or give a selector'],
    [['--hosts', 'host-01', '--yes'], 'command line: update:'],
    [['--pause', 'a'], '--pause is recorded with who and why. --reason: reason must say why.'],
    [['--retry-failed', 'a', '--reason', 'x', '--by', ''], '--by: '],
    [['--pause', 'a', '--retry-failed', 'a'], 'One at a time: --pause, --retry-failed'],
    [['--fleet', 'examples/fleet.yaml', '--component', 'kernel'], 'vmWorkerProcess'],
    [['--quickly'], 'unknown option'],
  ])('%j ends with exit code 2', async (args, told) => {
    const ran = await updateFleet(args).ended;
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(told);
  });

  test('no server: exit code 4, soon', async () => {
    const ran = await updateFleet(['--fleet', 'examples/fleet.yaml', '--yes'], {
      TEMPORAL_ADDRESS: '127.0.0.1:9',
    }).ended;
    expect(ran.code).toBe(4);
    expect(ran.stderr).toContain('No Temporal server answers at 127.0.0.1:9');
  });

  test('--help has the exit codes', async () => {
    const ran = await updateFleetProcess(['--help']).ended;
    expect(ran.code).toBe(0);
    for (const code of ['0', '1', '2', '3', '4', '5', '6', '130'])
      expect(ran.stdout.replaceAll(/\s+/g, ' ')).toMatch(new RegExp(`[:;] ${code} [a-z]`));
  });
});
