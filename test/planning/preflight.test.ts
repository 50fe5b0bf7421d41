/** What an update of each component means for the VFs, as host-model.md, section 7 has it. */
import type { HostDescription, HostSurvey, VmPhase } from '../../contract/host';
import { COMPONENTS, MODES, type Component, type Mode } from '../../contract/inputs';
import type { Verdict } from '../../contract/results';
import { modeOf, preflight } from '../../planning/preflight';
import { hostWith, vmWith } from './descriptions';

type OnCannotKeep = 'refuse' | 'conventional';
const CUSTODY = [true, false] as const;
const CANNOT = ['refuse', 'conventional'] as const;

/** Component → what a modified save can do without and with custody below the VSP, and whether conventional helps. */
const TABLE: Record<Component, { without: boolean; with: boolean; conventional: boolean }> = {
  vmWorkerProcess: { without: true, with: true, conventional: true },
  vpciVsp: { without: false, with: true, conventional: true },
  vmSwitch: { without: false, with: false, conventional: true },
  pfDriver: { without: false, with: false, conventional: true },
  nicFirmware: { without: false, with: false, conventional: true },
  hypervisor: { without: false, with: false, conventional: false },
};

function expected(
  component: Component,
  mode: Mode,
  custody: boolean,
  onCannotKeep: OnCannotKeep,
): Verdict {
  const row = TABLE[component];
  const keeps = custody ? row.with : row.without;
  if (mode === 'modified' && keeps) return 'keep';
  if (!row.conventional) return 'blocked';
  return mode === 'conventional' || onCannotKeep === 'conventional' ? 'conventional' : 'blocked';
}

const cases = COMPONENTS.flatMap((component) =>
  MODES.flatMap((mode) =>
    CUSTODY.flatMap((custody) =>
      CANNOT.map((onCannotKeep) => ({
        component,
        mode,
        custody,
        onCannotKeep,
        verdict: expected(component, mode, custody, onCannotKeep),
      })),
    ),
  ),
);

it.each(cases)(
  '$component, mode $mode, custody below the VSP $custody, onCannotKeep $onCannotKeep: $verdict',
  ({ component, mode, custody, onCannotKeep, verdict }) => {
    const host = hostWith({ vms: [vmWith(), vmWith({ vmId: 'vm-02' })], custodyBelowVsp: custody });
    const verdicts = preflight(host, {
      update: { component, version: '2.0.0' },
      mode,
      onCannotKeep,
    });
    expect(verdicts.map((v) => [v.vmId, v.verdict])).toEqual([
      ['vm-01', verdict],
      ['vm-02', verdict],
    ]);
    for (const { reason } of verdicts) expect(reason).not.toBe('');
  },
);

it('an update of the hypervisor says that migrating is the way', () => {
  const [verdict] = preflight(hostWith({ vms: [vmWith()] }), {
    update: { component: 'hypervisor', version: '2' },
    mode: 'modified',
    onCannotKeep: 'conventional',
  });
  expect(verdict).toMatchObject({ verdict: 'blocked', reason: expect.stringContaining('migrate') });
});

it.each(['paused', 'crossed', 'saved', 'restoring', 'recovering', 'stranded'] satisfies VmPhase[])(
  'a VM that is %s blocks, and the others are still judged',
  (phase) => {
    const host = hostWith({ vms: [vmWith({ phase }), vmWith({ vmId: 'vm-02' })] });
    const verdicts = preflight(host, {
      update: { component: 'vmWorkerProcess', version: '2' },
      mode: 'modified',
      onCannotKeep: 'refuse',
    });
    expect(verdicts.map((v) => v.verdict)).toEqual(['blocked', 'keep']);
    expect(verdicts[0]?.reason).toBe(`the VM is ${phase}, not running`);
  },
);

it('a host without a record version that both stacks read is blocked', () => {
  const host: HostDescription = hostWith({ vms: [vmWith()], recordVersions: [] });
  expect(
    preflight(host, {
      update: { component: 'vmWorkerProcess', version: '2' },
      mode: 'modified',
      onCannotKeep: 'conventional',
    }),
  ).toMatchObject([{ verdict: 'blocked' }]);
});

it('as much of a host as a survey has is enough', () => {
  const { hostId, versions, capabilities, quarantine, describedAtMs } = hostWith({});
  const vms = [
    { vmId: 'vm-01', phase: 'running', blackouts: [], stackVersion: '1', adapterClass: 'network' },
  ] as const;
  const survey: HostSurvey = { hostId, versions, capabilities, quarantine, describedAtMs, vms };
  expect(
    preflight(survey, {
      update: { component: 'vmWorkerProcess', version: '2' },
      mode: 'modified',
      onCannotKeep: 'refuse',
    }),
  ).toMatchObject([{ vmId: 'vm-01', verdict: 'keep' }]);
});

it('a host without VMs has no verdicts', () => {
  expect(
    preflight(hostWith({ vms: [] }), {
      update: { component: 'vmWorkerProcess', version: '2' },
      mode: 'modified',
      onCannotKeep: 'refuse',
    }),
  ).toEqual([]);
});

it('a verdict names the mode of the save', () => {
  expect([modeOf('keep'), modeOf('conventional')]).toEqual(['modified', 'conventional']);
});

test('a VM that a run prepares still runs: whether that run may be taken over is found out with its lease', () => {
  const host = hostWith({ vms: [vmWith({ phase: 'preparing' })] });
  const [verdict] = preflight(host, {
    update: { component: 'vmWorkerProcess', version: '2' },
    mode: 'modified',
    onCannotKeep: 'refuse',
  });
  expect(verdict?.verdict).toBe('keep');
});

describe('a host whose driver lacks a step', () => {
  const lacking = (...unsupported: NonNullable<HostSurvey['unsupported']>): HostSurvey => ({
    ...hostWith({ vms: [vmWith()] }),
    unsupported,
  });
  const wish = { update: { component: 'vmWorkerProcess', version: '2.0.0' } } as const;

  it.each([
    ['of the modified way', 'assignVirtualFunction', 'modified', 'refuse', 'blocked'],
    ['of the modified way', 'assignVirtualFunction', 'modified', 'conventional', 'conventional'],
    ['of the modified way', 'assignVirtualFunction', 'conventional', 'refuse', 'conventional'],
    ['of the conventional way', 'freeVirtualFunction', 'conventional', 'refuse', 'blocked'],
    ['of the conventional way', 'freeVirtualFunction', 'modified', 'refuse', 'keep'],
    ['of both', 'saveVm', 'modified', 'conventional', 'blocked'],
    ['of both', 'saveVm', 'modified', 'migrate', 'migrate'],
    ['of neither', 'drainPassthrough', 'modified', 'refuse', 'keep'],
  ] as const)('%s, %s: mode %s, onCannotKeep %s: %s', (_, step, mode, onCannotKeep, verdict) => {
    const [found] = preflight(lacking(step), { ...wish, mode, onCannotKeep });
    expect(found?.verdict).toBe(verdict);
    if (verdict === 'blocked') expect(found?.reason).toContain(step);
  });
});

describe('how long a VM will be dark', () => {
  const spread = (p50Ms: number) => ({ p50Ms, p99Ms: p50Ms });
  const expected = {
    modified: { save: spread(100), restore: spread(50) },
    conventional: { save: spread(10), restore: spread(5) },
    commit: spread(1_000),
  };
  const of = (update: { component: 'vmWorkerProcess' | 'vpciVsp'; version: string }, more = {}) =>
    preflight(
      hostWith({
        vms: [vmWith(), vmWith({ vmId: 'vm-02' })],
        custodyBelowVsp: true,
        expected,
        ...more,
      }),
      {
        ...{ update, mode: 'modified', onCannotKeep: 'refuse' },
      },
    ).map(({ blackout }) => blackout);

  it('is its own steps alone where each VM has its own of what is updated', () => {
    const alone = { together: false, likelyMs: 150, rarelyOverMs: 150 };
    expect(of({ component: 'vmWorkerProcess', version: '2' })).toEqual([alone, alone]);
  });

  it('is the commit too where the VMs share it', () => {
    const together = { together: true, likelyMs: 1_150, rarelyOverMs: 1_150 };
    expect(of({ component: 'vpciVsp', version: '2' })).toEqual([together, together]);
  });

  it('is not said of a VM that is there already, nor where the host cannot say', () => {
    expect(of({ component: 'vmWorkerProcess', version: '1.0.0' })).toEqual([undefined, undefined]);
    const { expected: _, ...silent } = hostWith({ vms: [vmWith()], expected });
    const wish = {
      update: { component: 'vmWorkerProcess', version: '2' },
      mode: 'modified',
      onCannotKeep: 'refuse',
    } as const;
    expect(preflight(silent, wish)).toMatchObject([{ verdict: 'keep' }]);
    expect(preflight(silent, wish)[0]).not.toHaveProperty('blackout');
  });
});
