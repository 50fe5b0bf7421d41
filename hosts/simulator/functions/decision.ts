import { HoldfastError } from '../../../contract/failures';
import type { Decision } from '../../engine/port';
import type { Question } from '../../function-policy/decide';
import type { SimulatorStore } from '../store';

/** What came of asking the policy: for the journal, and for who asked. */
export type Allowed = Extract<Decision, { readonly effect: 'allow' }>;
type Denied = Extract<Decision, { readonly effect: 'deny' }>;

/** There is no valid policy: nothing is allowed. */
export const UNAVAILABLE = 'policy-unavailable';

/** Asks the policy in force. `command` is what would be issued, for the message. */
export function decide(store: SimulatorStore, asked: Question, command: string): Decision {
  const inForce = store.functions.inForce();
  if (inForce.policy === null) {
    const { version, why } = inForce;
    const error = new HoldfastError(
      'FunctionPolicyUnavailable',
      `${command} to ${asked.functionId} was denied, as every function command is: ${why}.`,
      { command, functionId: asked.functionId, operation: asked.operation, rule: UNAVAILABLE },
    );
    return { effect: 'deny', rule: UNAVAILABLE, policyVersion: version, error, held: asked.held };
  }
  const { policy } = inForce;
  const verdict = policy.decide(asked);
  if (verdict.effect === 'allow')
    return { effect: 'allow', rule: verdict.rule, policyVersion: policy.version };
  return denied(asked, command, {
    ...verdict,
    policyVersion: policy.version,
    allowed: policy.allowedInstead(asked),
  });
}

interface Reason {
  readonly rule: string;
  readonly because: string;
  readonly policyVersion: string;
  /** What the same caller could ask for instead. */
  readonly allowed: readonly string[];
}

export function denied(
  asked: Pick<Question, 'functionId' | 'held'> & { readonly operation: string },
  command: string,
  { rule, because, policyVersion, allowed }: Reason,
): Denied {
  const { functionId, operation, held } = asked;
  const error = new HoldfastError(
    'FunctionPolicyDenied',
    `${operation} (${command}) of ${functionId} was denied by rule "${rule}": ${because}. Allowed to this caller now: ${allowed.length === 0 ? 'nothing' : allowed.join(', ')}.`,
    { command, functionId, operation, rule, policyVersion, allowed },
  );
  return { effect: 'deny', rule, policyVersion, error, held };
}
