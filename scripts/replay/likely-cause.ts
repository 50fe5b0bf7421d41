import { execFileSync } from 'node:child_process';
import { buildOf, presentCommit } from '../build-id';

/** What workflow code is made of. */
const DECIDING = ['workflows', 'planning', 'contract', 'package.json'];
/** More would be a list to read, not a cause. */
const NAMED = 8;

/**
 * Which commit may be why a history does not replay, in a sentence, from the build that recorded it and the present
 * checkout; null where the build does not say its commit.
 */
export function likelyCause(buildIds: readonly string[]): string | null {
  const recorded = buildOf(buildIds.at(-1) ?? '')?.commit ?? null;
  const present = presentCommit();
  if (recorded === null || present === null) return null;
  const [from, to] = [recorded.replace('-dirty', ''), present.replace('-dirty', '')];
  const changed = recorded.endsWith('-dirty')
    ? ' It was recorded by a checkout with changes that were not committed.'
    : '';
  if (from === to) {
    return present.endsWith('-dirty')
      ? `It was recorded at this very commit (${short(from)}): the cause is a change that is not committed.${changed}`
      : `It was recorded at this very commit (${short(from)}): the workflow does not decide the same twice.${changed}`;
  }
  const commits = commitsBetween(from, to);
  if (commits === null)
    return `It was recorded at commit ${short(from)}, which this checkout does not know; fetch it to see what changed since.${changed}`;
  if (commits.length === 0)
    return `It was recorded at commit ${short(from)}; no commit since has touched workflow code.${changed}`;
  const more = commits.length > NAMED ? `, and ${commits.length - NAMED} more` : '';
  return `It was recorded at commit ${short(from)}. Since then workflow code was changed by ${commits.slice(0, NAMED).join('; ')}${more}.${changed}`;
}

const short = (commit: string): string => commit.slice(0, 10);

/** Newest first, as `1a2b3c4d5e subject`; also those of another branch, which the two do not share. */
function commitsBetween(from: string, to: string): string[] | null {
  try {
    return execFileSync(
      'git',
      ['log', '--format=%h %s', '--abbrev=10', `${from}...${to}`, '--', ...DECIDING],
      { cwd: `${__dirname}/../..`, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    )
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return null;
  }
}
