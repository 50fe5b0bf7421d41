import { SEARCH_ATTRIBUTES } from '../../contract/search-attributes';

import { LOOPBACK } from './ports';

/** Settings of the server by their names. */
export type DynamicConfig = Readonly<Record<string, number | boolean | string>>;

/** What `serverArguments` turns into a command line. */
export interface ServerSettings {
  port: number;
  /** Undefined: no web UI. */
  uiPort: number | undefined;
  namespace: string;
  /** Undefined: everything in memory. */
  dbFilename: string | undefined;
  /** Beside our own, or in their place. Default: none. */
  dynamicConfig?: DynamicConfig;
  /** Output of `temporal server start-dev --help`, for the flags that older CLIs lack. */
  help: string;
}

/**
 * The first five keep the dev server from being slow: it has one history shard, and with the server's defaults every
 * hand-off of a task waits up to 50 ms (8 steps: 850 ms, with these about 150 ms, measured).
 */
const DYNAMIC_CONFIG: DynamicConfig = {
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  // How long a timer may be late: by default a retry over the task queue waits up to a second more than it asked for.
  'history.timerProcessorMaxTimeShift': '5ms',
  'history.visibilityProcessorMaxPollRPS': 200,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
  // Off by default in 1.29 and 1.31: activities on the workflow's own queue would take the long way round.
  'system.enableActivityEagerExecution': true,
  // Long polls of a namespace at a time: by default 1,200, and every host of a fleet takes several.
  'frontend.namespaceCount': 20_000,
};

/** Without these a file database syncs a rollback journal to disk for every write. */
const SQLITE_PRAGMAS: Readonly<Record<string, string>> = { journal_mode: 'WAL', synchronous: '1' };

/** Command line of `temporal` for a tuned dev server on the loopback interface. */
export function serverArguments(settings: ServerSettings): string[] {
  const { port, uiPort, namespace, dbFilename, dynamicConfig, help } = settings;
  return [
    'server',
    'start-dev',
    ...['--ip', LOOPBACK, '--port', String(port), '--namespace', namespace, '--log-level', 'warn'],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-port', String(uiPort)]),
    // The UI must not ask the internet; the flag is younger than CLI 1.5.
    ...(uiPort !== undefined && help.includes('--ui-disable-news-fetch')
      ? ['--ui-disable-news-fetch']
      : []),
    ...repeated('--dynamic-config-value', inJson({ ...DYNAMIC_CONFIG, ...dynamicConfig })),
    ...repeated('--search-attribute', SEARCH_ATTRIBUTES),
    ...(dbFilename === undefined
      ? []
      : ['--db-filename', dbFilename, ...repeated('--sqlite-pragma', SQLITE_PRAGMAS)]),
  ];
}

const inJson = (values: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)]));

function repeated(flag: string, values: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(values).flatMap(([key, value]) => [flag, `${key}=${String(value)}`]);
}
