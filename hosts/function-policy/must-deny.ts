import type { PolicedOperation } from '../../contract/functions';
import { concerns, meets, type Facts } from './decide';
import type { Caller, Rule } from './policy-file';

/**
 * What no policy may ever allow, to anyone and for any function: a file that would is not valid. So a person can read in
 * the file itself what is denied, and still cannot take it out.
 */
export const MUST_DENY: readonly {
  readonly operation: PolicedOperation;
  readonly when: Partial<Facts>;
  readonly what: string;
}[] = [
  { operation: 'powerCycleDevice', when: {}, what: 'powerCycleDevice' },
  { operation: 'setAllVirtualFunctions', when: {}, what: 'setAllVirtualFunctions' },
  {
    operation: 'allocateVirtualFunction',
    when: { allocated: true },
    what: 'allocateVirtualFunction where a VF is allocated already',
  },
  ...(
    [
      'freeVirtualFunction',
      'resetVirtualFunction',
      'unassignVirtualFunction',
      'reallocateVirtualFunction',
      'deleteVPort',
      'moveReceiveFilter',
      'setIovWeight',
    ] as const
  ).map((operation) => ({
    operation,
    when: { held: true },
    what: `${operation} of a held VF`,
  })),
];

const EITHER = [true, false] as const;
const CALLERS: readonly Caller[] = ['host', 'vm', 'operator', 'remoteHost'];

/** Every state that a function can be in. */
const ALL_FACTS: readonly Facts[] = EITHER.flatMap((held) =>
  EITHER.flatMap((allocated) =>
    EITHER.flatMap((ownFunction) =>
      EITHER.map((ownVirtualFunction) => ({ held, allocated, ownFunction, ownVirtualFunction })),
    ),
  ),
);

/** Of these rules: what they do not deny although they must, in words. A denial of some functions only is none. */
export function missingDenials(rules: readonly Rule[]): string[] {
  const denials = rules.filter(
    ({ effect, functions, callerHosts }) =>
      effect === 'deny' && functions === undefined && callerHosts === undefined,
  );
  return MUST_DENY.filter(({ operation, when }) => {
    const states = ALL_FACTS.filter((facts) =>
      Object.entries(when).every(([name, value]) => facts[name as keyof Facts] === value),
    );
    return CALLERS.some((caller) =>
      states.some(
        (facts) => !denials.some((rule) => concerns(rule, caller, operation) && meets(rule, facts)),
      ),
    );
  }).map(({ what }) => what);
}
