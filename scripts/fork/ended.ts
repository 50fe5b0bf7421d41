import { BAD_INPUT, CannotDo, UNREACHABLE } from '../run-script';

/** Exit codes of `npm run fork`. */
export const EXIT = {
  ok: 0,
  incomplete: 1,
  refused: BAD_INPUT,
  unreachable: UNREACHABLE,
  aborted: 5,
  failed: 6,
  interrupted: 130,
} as const;

export const EXIT_CODES = `
Exit codes: 0 the new run did what it was for (with --detach: it was started); 1 it ended, but the VM was restarted, the host is
degraded, or something unexpected; 2 refused, by this script or by the host, or the host was not
reached: nothing was changed; 4 the Temporal server or the
orchestrator does not answer; 5 the new run was cancelled or terminated; 6 it failed; 130 this script was interrupted: a run
that was started goes on.`;

/** There will be no fork: why, and what to do instead, in words for a person. */
export class CannotFork extends CannotDo {
  override readonly name = 'CannotFork';
}
