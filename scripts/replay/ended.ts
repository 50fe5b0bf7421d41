import { BAD_INPUT, CannotDo, UNREACHABLE } from '../run-script';

/** Exit codes of `npm run replay`. */
export const EXIT = {
  ok: 0,
  badInput: BAD_INPUT,
  nonDeterminism: 3,
  unreachable: UNREACHABLE,
  /** A run that was acted out again did not end as the recorded one. */
  otherEnd: 5,
} as const;

/** There is nothing to replay: what is wrong, and what to do, in words for a person. */
export class CannotReplay extends CannotDo {
  override readonly name = 'CannotReplay';
}
