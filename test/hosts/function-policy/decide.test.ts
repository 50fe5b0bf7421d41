/** The decision: from the policy and the question alone, a denial before everything, nothing where nothing allows it. */
import { POLICED_OPERATIONS } from '../../../contract/functions';
import { CompiledPolicy, type Question } from '../../../hosts/function-policy/decide';
import { MUST_DENY } from '../../../hosts/function-policy/must-deny';
import {
  BUILT_IN,
  CALLERS,
  policyFile,
  readPolicy,
  type Rule,
} from '../../../hosts/function-policy/policy-file';

const { policy, version } = readPolicy(BUILT_IN);
const builtIn = new CompiledPolicy(version, policy);

const question = (asked: Partial<Question>): Question => ({
  operation: 'reallocateVirtualFunction',
  caller: 'vm',
  functionId: 'local:host-01/epf-vm-01',
  policy: 'default',
  allowedOperations: null,
  held: false,
  allocated: true,
  ownFunction: true,
  ownVirtualFunction: true,
  ...asked,
});

describe('the built-in policy', () => {
  test.each<[string, Partial<Question>, string, string]>([
    ['a VM re-allocates its own VF', {}, 'allow', 'owner'],
    ['… and looks', { operation: 'describeFunction' }, 'allow', 'owner'],
    ['… but not while it is held', { held: true }, 'deny', 'held-vf-stays'],
    ['… nor that of another VM', { ownFunction: false }, 'deny', 'not-its-function'],
    [
      '… nor a VF of another through its own function',
      { ownVirtualFunction: false },
      'deny',
      'not-its-virtual-function',
    ],
    ['… nor does it free one', { operation: 'freeVirtualFunction' }, 'deny', 'nothing-allows-it'],
    ['nobody power-cycles', { operation: 'powerCycleDevice' }, 'deny', 'no-power-cycle'],
    [
      'no operator does either',
      { operation: 'powerCycleDevice', caller: 'operator' },
      'deny',
      'no-power-cycle',
    ],
    [
      'nobody changes all VFs',
      { operation: 'setAllVirtualFunctions', caller: 'operator' },
      'deny',
      'one-function-at-a-time',
    ],
    [
      'nobody allocates an allocated VF',
      { operation: 'allocateVirtualFunction', caller: 'operator' },
      'deny',
      'vf-is-allocated',
    ],
    [
      'an operator allocates one that is not',
      { operation: 'allocateVirtualFunction', caller: 'operator', allocated: false },
      'allow',
      'operator',
    ],
    ['the host services', { operation: 'createVpciBus', caller: 'host' }, 'allow', 'servicing'],
    [
      '… and gives a VF up that is not held',
      { operation: 'freeVirtualFunction', caller: 'host' },
      'allow',
      'servicing',
    ],
    [
      '… never one that is',
      { operation: 'freeVirtualFunction', caller: 'host', held: true },
      'deny',
      'held-vf-stays',
    ],
    ['a remote host has what the owner has', { caller: 'remoteHost' }, 'allow', 'remote-owner'],
    [
      '… and no more',
      { caller: 'remoteHost', operation: 'resetVirtualFunction' },
      'deny',
      'nothing-allows-it',
    ],
    ['a policy that is not there', { policy: 'no-such' }, 'deny', 'no-such-policy'],
    [
      'an operation that the function does not have',
      { allowedOperations: ['describeFunction'] },
      'deny',
      'allowed-operations',
    ],
    ['a function to be looked at only', { policy: 'read-only' }, 'deny', 'nothing-allows-it'],
    ['… may be looked at', { policy: 'read-only', operation: 'describeFunction' }, 'allow', 'look'],
  ])('%s', (_what, asked, effect, rule) => {
    expect(builtIn.decide(question(asked))).toMatchObject({ effect, rule });
  });

  test('says what would be allowed instead', () => {
    expect(builtIn.allowedInstead(question({ operation: 'powerCycleDevice' }))).toEqual([
      'describeFunction',
      'listFunctions',
      'reallocateVirtualFunction',
    ]);
    expect(builtIn.allowedInstead(question({ held: true }))).toEqual([
      'describeFunction',
      'listFunctions',
    ]);
  });

  test.each(Object.keys(policy.policies))('denies what must be denied, to everyone: %s', (name) => {
    for (const caller of CALLERS)
      for (const { operation, when } of MUST_DENY)
        expect(
          builtIn.decide(question({ ...when, operation, caller, policy: name })),
        ).toMatchObject({ effect: 'deny' });
  });
});

describe('rules', () => {
  const with1 = (...rules: Rule[]) =>
    new CompiledPolicy('v', {
      everywhere: policy.everywhere,
      policies: { default: { rules } },
    });
  const allowing: Rule = { id: 'all', effect: 'allow', operations: 'all' };

  test('a denial wins whichever comes first', () => {
    const denial: Rule = { id: 'no', effect: 'deny', operations: ['describeFunction'] };
    const asked = question({ operation: 'describeFunction' });
    expect(with1(allowing, denial).decide(asked)).toMatchObject({ effect: 'deny', rule: 'no' });
    expect(with1(denial, allowing).decide(asked)).toMatchObject({ effect: 'deny', rule: 'no' });
  });

  test('a pattern is the whole id, and * stands for anything', () => {
    const only = with1({ ...allowing, functions: ['local:host-01/epf-vm-0*'] });
    const decided = (functionId: string) => only.decide(question({ functionId })).effect;
    expect(decided('local:host-01/epf-vm-01')).toBe('allow');
    expect(decided('local:host-01/epf-vm-11')).toBe('deny');
    expect(decided('local:host-012/epf-vm-01')).toBe('deny');
  });

  test('remote hosts can be told apart, and need what the owner needs as well', () => {
    const remote: Rule = {
      id: 'friends',
      effect: 'allow',
      operations: 'all',
      callers: ['remoteHost'],
      callerHosts: ['host-02'],
    };
    const owner: Rule = {
      ...allowing,
      id: 'owner',
      callers: ['vm'],
      operations: ['describeFunction'],
    };
    const ask = (callerHost: string, operation: Question['operation']) =>
      with1(remote, owner).decide(question({ caller: 'remoteHost', callerHost, operation })).effect;
    expect(ask('host-02', 'describeFunction')).toBe('allow');
    expect(ask('host-03', 'describeFunction')).toBe('deny');
    expect(ask('host-02', 'reallocateVirtualFunction')).toBe('deny');
  });
});

describe('a policy file', () => {
  const problems = (value: unknown): string =>
    policyFile
      .safeParse(value)
      .error?.issues.map((i) => `${i.path.join('.')}: ${i.message}`)
      .join('\n') ?? 'none';
  const { everywhere, policies } = policy;

  test.each(MUST_DENY.map(({ what, operation }) => [what, operation] as const))(
    'is not valid without the denial of %s',
    (what, operation) => {
      const without = everywhere.map((rule) =>
        rule.effect === 'deny' && rule.operations !== 'all' && rule.id !== 'not-its-function'
          ? { ...rule, operations: rule.operations.filter((one) => one !== operation) }
          : rule,
      );
      const left = without.filter(({ operations }) => operations.length > 0);
      expect(problems({ everywhere: left, policies })).toContain(`does not always deny ${what}`);
    },
  );

  test('is not valid with a denial for some callers, hosts or functions only', () => {
    for (const narrowed of [
      { callers: ['vm', 'operator', 'host'] },
      { functions: ['*'] },
      { callerHosts: ['*'] },
      { when: { ownFunction: true } },
    ]) {
      const narrow = everywhere.map((r) => (r.id === 'no-power-cycle' ? { ...r, ...narrowed } : r));
      expect(problems({ everywhere: narrow, policies })).toContain('powerCycleDevice');
    }
  });

  test('needs a default policy, rule ids of their own, and no unknown word', () => {
    expect(problems({ everywhere, policies: { other: policies['default'] } })).toContain('default');
    const [first] = everywhere;
    expect(problems({ everywhere: [...everywhere, first], policies })).toContain(
      `two of its rules have the id "${String(first?.id)}"`,
    );
    expect(problems({ everywhere, policies, rules: [] })).toContain('rules');
    const unknown = { id: 'x', effect: 'allow', operations: ['explode'] };
    expect(problems({ everywhere: [...everywhere, unknown], policies })).toContain('operations');
    expect(problems({ everywhere, policies })).toBe('none');
  });

  test('every operation that is policed is allowed to somebody or denied by a rule', () => {
    const unruled = POLICED_OPERATIONS.filter((operation) =>
      CALLERS.every(
        (caller) =>
          builtIn.decide(question({ operation, caller, allocated: false })).rule ===
          'nothing-allows-it',
      ),
    );
    expect(unruled).toEqual([]);
  });
});
