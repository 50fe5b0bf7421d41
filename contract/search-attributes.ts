/**
 * The search attributes every holdfast workflow sets from inside, so that runs started in the UI carry them too.
 * Name → Temporal value type; the server must know them before a workflow starts.
 */
export const SEARCH_ATTRIBUTES = {
  HostId: 'Keyword',
  VmId: 'Keyword',
  Phase: 'Keyword',
  Outcome: 'Keyword',
  SaveMode: 'Keyword',
  /** What a fleet update waits for: operator, approval, window, health, allowance, busyHost; or nothing. */
  WaitingFor: 'Keyword',
  /** The run id of the run that this one is a fork of; set when it is started. */
  ForkOf: 'Keyword',
} as const satisfies Readonly<
  Record<string, 'Keyword' | 'Text' | 'Int' | 'Double' | 'Bool' | 'Datetime' | 'KeywordList'>
>;
