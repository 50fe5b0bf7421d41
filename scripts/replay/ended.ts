/** Exit codes of `npm run replay`. */
export const EXIT = {
  ok: 0,
  badInput: 2,
  nonDeterminism: 3,
  unreachable: 4,
  /** A run that was acted out again did not end as the recorded one. */
  otherEnd: 5,
} as const;

/** There is nothing to replay: what is wrong, and what to do, in words for a person. */
export class CannotReplay extends Error {
  override readonly name = 'CannotReplay';
  constructor(
    message: string,
    readonly exitCode: number = EXIT.badInput,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
