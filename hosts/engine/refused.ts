import { HoldfastError } from '../../contract/failures';

/** The host does not do this in the state it is in; nothing has changed. */
export const refused = (what: string, facts: Readonly<Record<string, unknown>> = {}) =>
  new HoldfastError('Refused', what, facts);
