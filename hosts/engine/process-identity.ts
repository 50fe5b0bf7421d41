import { readFileSync } from 'node:fs';

/** A process of this boot: a number that another may get later, and when the kernel started it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the boot; null where the system does not say. */
  readonly startedAt: string | null;
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

export const processOf = (pid: number): ProcessIdentity => ({
  pid,
  startedAt: statOf(pid)?.startedAt ?? null,
});
export const THIS_PROCESS = processOf(process.pid);

/** Whether that very process has ended: another that has got its number since is not taken for it. */
export function hasEnded({ pid, startedAt }: ProcessIdentity): boolean {
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
