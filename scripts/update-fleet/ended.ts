import { BAD_INPUT, CannotDo, UNREACHABLE } from '../run-script';

/** Exit codes of `npm run update-fleet`. */
export const EXIT = {
  ok: 0,
  incomplete: 1,
  badInput: BAD_INPUT,
  paused: 3,
  unreachable: UNREACHABLE,
  aborted: 5,
  failed: 6,
  interrupted: 130,
} as const;

export const EXIT_CODES = `
Exit codes: 0 done; 1 done, but hosts failed within the limit, were busy, skipped or refused, or something unexpected;
2 bad input, nothing was started; 3 the run is paused, or waits for approval, and nobody is at a terminal; 4 the Temporal
server or the orchestrator does not answer; 5 aborted, cancelled or terminated; 6 stopped by failures, or rolled back; 130 this
script was interrupted: a run that was started goes on.`;

/** It cannot go on: what is wrong, and what to do, in words for a person. */
export class CannotUpdate extends CannotDo {
  override readonly name = 'CannotUpdate';
}
