import {
  FUNCTION_OPERATIONS,
  type FunctionOperation,
  type PolicedOperation,
} from '../../contract/functions';
import type { Caller, PolicyFile, Rule } from './policy-file';

/** What is known of the function at the moment of the decision, from its host. */
export interface Facts {
  /** The VF that is meant is held by a save or restore. */
  readonly held: boolean;
  /** The owner of the function has a VF allocated. */
  readonly allocated: boolean;
  /** The caller is the VM that owns the function. */
  readonly ownFunction: boolean;
  /** The VF that is meant is one of the function's owner. */
  readonly ownVirtualFunction: boolean;
}

/** A function command, as a policy sees it. */
export interface Question extends Facts {
  readonly operation: PolicedOperation;
  readonly caller: Caller;
  /** Of a caller on another host. */
  readonly callerHost?: string;
  readonly functionId: string;
  /** The entry's own: the policy that it names, and the operations that its function has; null: all. */
  readonly policy: string;
  readonly allowedOperations: readonly FunctionOperation[] | null;
}

export type Verdict =
  | { readonly effect: 'allow'; readonly rule: string }
  | { readonly effect: 'deny'; readonly rule: string; readonly because: string };

/** Decisions that are no rule of a file. */
export const OWN_RULES = {
  notOfThisFunction: 'allowed-operations',
  noSuchPolicy: 'no-such-policy',
  nothingAllows: 'nothing-allows-it',
} as const;

/** A valid policy, ready to decide: whatever it is asked, one answer, from its rules and the question alone. */
export class CompiledPolicy {
  readonly #rules = new Map<string, readonly CompiledRule[]>();

  constructor(
    readonly version: string,
    private readonly file: PolicyFile,
  ) {}

  /**
   * A denial anywhere wins, whatever the order. Where nothing allows it, it is denied. What a remote host asks for must be
   * allowed to it, and to the owner of the function as well: it gets no more than that one does.
   */
  decide(question: Question): Verdict {
    const { operation, allowedOperations, caller } = question;
    if (allowedOperations !== null && caller !== 'host' && isSendable(operation)) {
      if (!allowedOperations.includes(operation)) {
        const because = `the function has only ${allowedOperations.join(', ')}`;
        return { effect: 'deny', rule: OWN_RULES.notOfThisFunction, because };
      }
    }
    const verdict = this.#ruled(question);
    if (verdict.effect === 'deny' || caller !== 'remoteHost') return verdict;
    const { callerHost: _, ...asOwner } = question;
    const owner = this.#ruled({ ...asOwner, caller: 'vm', ownFunction: true });
    return owner.effect === 'deny' ? owner : verdict;
  }

  /** Whether it has a policy of this name. */
  has(name: string): boolean {
    return Object.hasOwn(this.file.policies, name);
  }

  /** What a person or VM could ask for instead, everything else being the same. */
  allowedInstead(question: Question): FunctionOperation[] {
    return FUNCTION_OPERATIONS.filter(
      (operation) => this.decide({ ...question, operation }).effect === 'allow',
    );
  }

  #ruled(question: Question): Verdict {
    const { caller, operation, policy } = question;
    const key = `${policy} ${caller} ${operation}`;
    let candidates = this.#rules.get(key);
    if (candidates === undefined) {
      const named = this.has(policy) ? this.file.policies[policy] : undefined;
      if (named === undefined) {
        const because = `the policy in force has none named "${policy}"`;
        return { effect: 'deny', rule: OWN_RULES.noSuchPolicy, because };
      }
      candidates = [...this.file.everywhere, ...named.rules]
        .filter((rule) => concerns(rule, caller, operation))
        .map(compiled);
      this.#rules.set(key, candidates);
    }
    let allowing: string | undefined;
    for (const { rule, matches } of candidates) {
      if (!matches(question)) continue;
      if (rule.effect === 'deny')
        return { effect: 'deny', rule: rule.id, because: rule.because ?? 'the policy says so' };
      allowing ??= rule.id;
    }
    if (allowing !== undefined) return { effect: 'allow', rule: allowing };
    const because = `no rule allows it to ${caller === 'remoteHost' ? 'a remote host' : `a ${caller}`}`;
    return { effect: 'deny', rule: OWN_RULES.nothingAllows, because };
  }
}

const SENDABLE: ReadonlySet<PolicedOperation> = new Set<PolicedOperation>(FUNCTION_OPERATIONS);
const isSendable = (operation: PolicedOperation): operation is FunctionOperation =>
  SENDABLE.has(operation);

interface CompiledRule {
  readonly rule: Rule;
  readonly matches: (question: Question) => boolean;
}

export const concerns = (rule: Rule, caller: Caller, operation: PolicedOperation): boolean =>
  (rule.callers === undefined || rule.callers.includes(caller)) &&
  (rule.operations === 'all' || rule.operations.includes(operation));

/** Whether what is known of the function is what the rule is for. */
export const meets = ({ when = {} }: Rule, facts: Facts): boolean =>
  (when.held ?? facts.held) === facts.held &&
  (when.allocated ?? facts.allocated) === facts.allocated &&
  (when.ownFunction ?? facts.ownFunction) === facts.ownFunction &&
  (when.ownVirtualFunction ?? facts.ownVirtualFunction) === facts.ownVirtualFunction;

function compiled(rule: Rule): CompiledRule {
  const functions = rule.functions?.map(asExpression);
  const hosts = rule.callerHosts?.map(asExpression);
  return {
    rule,
    matches: (question) =>
      meets(rule, question) &&
      (functions?.some((one) => one.test(question.functionId)) ?? true) &&
      (hosts?.some((one) => one.test(question.callerHost ?? '')) ?? true),
  };
}

const asExpression = (pattern: string): RegExp =>
  new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`);
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
