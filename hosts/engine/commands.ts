import { HoldfastError } from '../../contract/failures';
import { owns } from './mailbox';
import type { Says } from './operation';
import type { Decision, Port } from './port';
import type { CoreHost, CoreObjects, Intent } from './state';
import type { HostStore } from './store';

export interface CommandTarget {
  readonly hostId: string;
  readonly vmId: string;
  /** The adapter that it is for; absent if it is for the VM as a whole. */
  readonly adapterId?: string;
  readonly step: string;
  readonly generation: number;
  /** Who issues it: a step of the host itself, somebody else on it, or whoever sent a command to a function. Default: host. */
  readonly by?: 'host' | 'operator' | object;
}

/**
 * Issues one command to a VM: a transaction of its own, so that the process can die between any two. It is journaled with
 * its status, guarded by the hold of the VM's functions and by the driver's policy, each for itself, and the invariants
 * are checked after it.
 */
export function issueCommand<O extends CoreObjects, T>(
  { store, port }: { readonly store: HostStore<O>; readonly port: Port<O> },
  target: CommandTarget,
  intent: Intent | null,
  command: string,
  apply: (o: O, says: Says, decision: Decision | undefined) => T,
): T {
  const { hostId, vmId, adapterId, step, generation } = target;
  const journal = (
    { host, vm }: O,
    status: string,
    detail: string | null,
    rule: string | undefined,
  ): void => {
    // A VM with one adapter has no need of its name.
    const isNamed = adapterId !== undefined && port.hasSeveralAdapters?.(vm) === true;
    store.append(host, {
      ...{ vmId, ...(isNamed ? { adapterId } : {}), step, generation },
      ...{ kind: 'command', command, status, detail },
      ...(rule === undefined ? {} : { rule }),
    });
  };
  let rule: string | undefined;
  let answer: { value: T } | { error: unknown };
  try {
    answer = store.update(hostId, vmId, (o) => {
      const { host, vm } = o;
      if (intent !== null && !owns(vm, intent)) throw overtaken(target, command);
      const isSent = typeof target.by === 'object';
      const { custody } = port;
      const held =
        custody?.forbidden.has(command) === true ? custody.holdOf(vm, adapterId) : undefined;
      // What tenants and operators ask for is answered by the policy: no bug of the host's that it tells them no.
      if (held !== undefined && !isSent) {
        host.commands.forbidden += 1;
        const error = forbidden(vmId, held.vfId, command);
        journal(o, 'forbidden', error.message, 'custody');
        return { error };
      }
      const decision = port.decide?.(o, target, command);
      rule = decision?.rule;
      if (decision?.effect === 'deny') {
        if (decision.held && !isSent) host.commands.forbidden += 1;
        journal(o, 'denied', decision.error.message, rule);
        return { error: decision.error };
      }
      if (held !== undefined) throw forbidden(vmId, held.vfId, command);
      let said: readonly [status: string, detail: string | null] = ['done', null];
      const says: Says = (detail, status = 'done') => {
        said = [status, detail];
      };
      const value = apply(o, says, decision);
      port.carriedOut?.(o, target, command);
      const breaches = breachesOf(port, o, 'command');
      if (breaches.length > 0) {
        const why = breaches.join('; ');
        journal(o, 'breach', why, rule);
        return { error: new HoldfastError('InvariantBreach', `After ${command}: ${why}.`) };
      }
      journal(o, ...said, rule);
      return { value };
    });
  } catch (error) {
    store.update(hostId, vmId, (o) => {
      // The command's own transaction is gone, and with it whatever it had noted.
      if (error instanceof HoldfastError && error.type === 'InvariantBreach')
        recordBreaches(o.host, [error.message]);
      journal(o, 'refused', reasonOf(error), rule);
    });
    throw error;
  }
  if ('error' in answer) throw answer.error;
  return answer.value;
}

export const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** The same without what to do, which is said once, at the end. */
export const whatFailed = (error: unknown): string =>
  error instanceof HoldfastError ? error.what : reasonOf(error);

export const overtaken = ({ step, vmId }: Pick<CommandTarget, 'step' | 'vmId'>, command: string) =>
  new HoldfastError(
    'Fenced',
    `${step} of ${vmId} was overtaken by a newer attempt or generation before ${command}.`,
  );

const forbidden = (vmId: string, vfId: number, command: string) =>
  new HoldfastError(
    'ForbiddenCommand',
    `${command} was refused: VF ${String(vfId)} of ${vmId} is held.`,
    { command },
  );

export function breachesOf<O extends CoreObjects>(
  port: Port<O>,
  o: O,
  when: 'command' | 'result',
): readonly string[] {
  const breaches = port.check(o, when);
  recordBreaches(o.host, breaches);
  return breaches;
}

/** A breach quarantines the host. */
export function recordBreaches(host: CoreHost, breaches: readonly string[]): void {
  if (breaches.length === 0) return;
  host.invariants.violations.push(...breaches);
  host.quarantine ??= `invariant breach: ${breaches.join('; ')}`;
}
