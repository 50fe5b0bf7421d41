/** What people send to a workflow: every field but the identifying ones has a default, every wrong one is named. */
import * as z from 'zod/mini';
import {
  fastRestoreInput,
  fastSaveInput,
  migrateVmInput,
  serviceHostInput,
} from '../../contract/inputs';

const wrong = (schema: z.ZodMiniType, value: unknown) => {
  const parsed = z.safeParse(schema, value);
  if (parsed.success) return [];
  return parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`);
};
const VM = { hostId: 'host-01', vmId: 'vm-01' };
const HOST = { hostId: 'host-01', update: { version: '2.0.0' } };

it('the smallest input of fastSave', () => {
  expect(z.parse(fastSaveInput, VM)).toEqual({
    ...VM,
    mode: 'modified',
    holdMode: 'instruct-skip',
    blackoutBudget: '10s',
    maxSavedFor: '5m',
    faults: [],
  });
});

it('the smallest input of fastRestore', () => {
  expect(z.parse(fastRestoreInput, VM)).toEqual({
    ...VM,
    blackoutBudget: '10s',
    virtualFunctionRestore: 'step-by-step',
    faults: [],
  });
});

it('the smallest input of migrateVm', () => {
  const smallest = { vmId: 'vm-01', fromHostId: 'host-01', toHostId: 'host-02' };
  expect(z.parse(migrateVmInput, smallest)).toEqual({
    ...smallest,
    method: 'emulated-path',
    drainTimeLimit: '5s',
    blackoutBudget: '10s',
    keepEmulatedPath: false,
    faults: [],
  });
});

it('the smallest input of serviceHost', () => {
  expect(z.parse(serviceHostInput, HOST)).toEqual({
    hostId: 'host-01',
    update: { component: 'vmWorkerProcess', version: '2.0.0' },
    mode: 'modified',
    onCannotKeep: 'refuse',
    migrateTo: [],
    rolling: {
      canary: 1,
      bakeFor: '2s',
      parallelism: 4,
      onSaveFailure: 'stop',
      allowThirdVersion: false,
    },
    holdMode: 'instruct-skip',
    virtualFunctionRestore: 'step-by-step',
    blackoutBudget: '10s',
    parallelism: 16,
    faults: [],
  });
});

const save = (more: object) => [fastSaveInput, { ...VM, ...more }] as const;
const host = (more: object) => [serviceHostInput, { ...HOST, ...more }] as const;

it.each<[string, readonly [z.ZodMiniType, unknown], string]>([
  ['no VM', [fastSaveInput, { hostId: 'host-01' }], 'vmId: vmId must be a string such as "vm-01"'],
  [
    'no host',
    [fastRestoreInput, { vmId: 'vm-01' }],
    'hostId: hostId must be a string such as "host-01"',
  ],
  ['a number for a name', save({ vmId: 1 }), 'vmId: vmId must be a string'],
  ['an empty name', save({ vmId: '' }), 'vmId: vmId must be 1-63 letters'],
  ['a name with a slash', save({ vmId: 'a/b' }), 'vmId: vmId must be 1-63 letters'],
  ['a name that begins with a dot', save({ hostId: '..' }), 'hostId: hostId must be 1-63 letters'],
  ['a name that is too long', save({ vmId: 'v'.repeat(64) }), 'vmId: vmId must be 1-63 letters'],
  ['an unknown mode', save({ mode: 'fast' }), 'mode: '],
  ['an unknown hold mode', save({ holdMode: 'skip' }), 'holdMode: '],
  [
    'a budget without a unit',
    save({ blackoutBudget: '10' }),
    'blackoutBudget: must be a duration such as "10s", from 100ms to 30s',
  ],
  ['a budget as a number', save({ blackoutBudget: 10 }), 'blackoutBudget: must be a duration'],
  [
    'a budget beyond the hard limit',
    save({ blackoutBudget: '31s' }),
    'blackoutBudget: must be a duration',
  ],
  ['a budget of nothing', save({ blackoutBudget: '0s' }), 'blackoutBudget: must be a duration'],
  [
    'a VM saved for a second less than one',
    save({ maxSavedFor: '500ms' }),
    'maxSavedFor: must be a duration',
  ],
  ['a VM saved for two days', save({ maxSavedFor: '2d' }), 'maxSavedFor: must be a duration'],
  ['an unknown key', save({ blackoutBudgetMs: 5 }), ': Unrecognized key: "blackoutBudgetMs"'],
  [
    'a fault of an unknown step',
    save({ faults: [{ step: 'pause', kind: 'stuck' }] }),
    'faults.0.step: ',
  ],
  ['a fault that is a string', save({ faults: ['vm-01:pauseVm:stuck'] }), 'faults.0: '],
  [
    'too many faults',
    save({ faults: Array(101).fill({ step: 'saveVm', kind: 'slow' }) }),
    'faults: ',
  ],
  ['no update', [serviceHostInput, { hostId: 'host-01' }], 'update: '],
  ['an update without a version', host({ update: {} }), 'update.version: '],
  [
    'an empty version',
    host({ update: { version: '' } }),
    'update.version: version must look like "2.0.1"',
  ],
  [
    'a version with a space',
    host({ update: { version: '2 0' } }),
    'update.version: version must look like',
  ],
  ['a version as a number', host({ update: { version: 2 } }), 'update.version: '],
  [
    'an unknown component',
    host({ update: { component: 'bios', version: '2' } }),
    'update.component: ',
  ],
  ['a parallelism of 0', host({ parallelism: 0 }), 'parallelism: '],
  ['a parallelism of 257', host({ parallelism: 257 }), 'parallelism: '],
  ['half a parallelism', host({ parallelism: 1.5 }), 'parallelism: '],
  ['an endless parallelism', host({ parallelism: Infinity }), 'parallelism: '],

  ['an unknown policy', host({ rolling: { onSaveFailure: 'ignore' } }), 'rolling.onSaveFailure: '],
  ['no turn at all', host({ rolling: { parallelism: 0 } }), 'rolling.parallelism: '],
  ['too many turns', host({ rolling: { parallelism: 65 } }), 'rolling.parallelism: '],
  ['less than no canary', host({ rolling: { canary: -1 } }), 'rolling.canary: '],
  ['a bake of two days', host({ rolling: { bakeFor: '2d' } }), 'rolling.bakeFor: '],
  ['a list for the whole input', [serviceHostInput, [HOST]], ': '],
  ['nothing at all', [fastSaveInput, undefined], ': '],
])('%s is named', (_, [schema, value], says) => {
  const issues = wrong(schema, value);
  expect(issues.filter((issue) => issue.startsWith(says))).not.toEqual([]);
  for (const issue of issues) expect(issue).not.toMatch(/\bundefined\b: ?$|\[object Object\]/);
});

it('names every wrong field at once', () => {
  expect(
    wrong(serviceHostInput, { hostId: 1, update: { version: '' }, parallelism: 0, mode: 'x' }).map(
      (i) => i.split(':')[0],
    ),
  ).toEqual(expect.arrayContaining(['hostId', 'update.version', 'parallelism', 'mode']));
});

it('the limits themselves are allowed', () => {
  expect(
    wrong(fastSaveInput, {
      ...VM,
      blackoutBudget: '30s',
      maxSavedFor: '24h',
      vmId: 'v'.repeat(63),
    }),
  ).toEqual([]);
  expect(wrong(serviceHostInput, { ...HOST, parallelism: 256, blackoutBudget: '100ms' })).toEqual(
    [],
  );
});
