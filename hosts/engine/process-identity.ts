import { readFileSync, readlinkSync } from 'node:fs';

/** A process of this boot: a number that another may get later, and when the kernel started it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the boot; null where the system does not say. */
  readonly startedAt: string | null;
  /** In which its number means something: of a process in another one nothing can be seen. Null: there is only one. */
  readonly namespace: string | null;
}

/** State and start time are fields 3 and 22 of proc(5)'s stat; the name, field 2, may hold anything but is in brackets. */
function statOf(pid: number): { state: string; startedAt: string } | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startedAt: fields[19] ?? '' };
}

const NAMESPACE: string | null = (() => {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return null;
  }
})();

export const processOf = (pid: number): ProcessIdentity => ({
  pid,
  startedAt: statOf(pid)?.startedAt ?? null,
  namespace: NAMESPACE,
});
export const THIS_PROCESS = processOf(process.pid);

export const isThisProcess = ({ pid, startedAt, namespace }: ProcessIdentity): boolean =>
  pid === THIS_PROCESS.pid && startedAt === THIS_PROCESS.startedAt && namespace === NAMESPACE;

/** Whether that very process has ended: another that has got its number since is not taken for it. */
export function hasEnded({ pid, startedAt, namespace }: ProcessIdentity): boolean {
  if (namespace !== NAMESPACE) return false;
  if (pid === THIS_PROCESS.pid) return startedAt !== THIS_PROCESS.startedAt;
  if (THIS_PROCESS.startedAt === null) return !isThere(pid);
  const stat = statOf(pid);
  return stat === null || stat.state === 'Z' || stat.startedAt !== startedAt;
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Whether it lives and does nothing, as after SIGSTOP. It may have stopped in the middle of a write, and hold its lock. */
export function isStopped({ pid, startedAt, namespace }: ProcessIdentity): boolean {
  const stat = namespace === NAMESPACE ? statOf(pid) : null;
  return stat !== null && stat.startedAt === startedAt && /^[Tt]$/.test(stat.state);
}
