import { Option, type Command } from 'commander';
import { DefaultLogger, Runtime, type LogEntry } from '@temporalio/worker';
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { HISTOGRAM_BUCKETS } from '../activities/host-metrics/instruments';
import { withTracingOptions, type TracingOptions } from './tracing';

export interface LogOptions {
  readonly logFormat: 'json' | 'pretty';
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}
export interface TelemetryOptions extends LogOptions, TracingOptions {
  /** host:port of the Prometheus endpoint; none if absent. */
  readonly metricsAddress?: string;
}

/** The options every process takes. */
export const withLogOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--log-format <format>', 'how log lines look')
        .choices(['json', 'pretty'])
        .default('pretty'),
    )
    .addOption(
      new Option('--log-level <level>', 'least important level that is logged')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    );

/** And those of a process with Temporal workers in it. */
export const withTelemetryOptions = (command: Command): Command =>
  withTracingOptions(
    withLogOptions(command).option(
      '--metrics-address <host:port>',
      'serve Prometheus metrics, ours and those of the Temporal SDK, here, e.g. 127.0.0.1:9464',
    ),
  );

/** The process's logger. Logs go to standard error: standard output belongs to what a command answers. */
export function createLogger(name: string, options: LogOptions): Logger {
  const settings = { name, level: options.logLevel };
  return options.logFormat === 'json'
    ? pino(settings, pino.destination({ dest: 2, sync: true }))
    : pino(
        settings,
        pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' }),
      );
}

/** The SDK's own filter, so that entries that nobody wants are not even put together. */
const sdkLevel = (level: TelemetryOptions['logLevel']) =>
  level.toUpperCase() as Uppercase<TelemetryOptions['logLevel']>;

/** Sets up the SDK's runtime: once for a process, before its first worker. */
export function installRuntime(logger: Logger, options: TelemetryOptions): void {
  const level = {
    TRACE: 'trace',
    DEBUG: 'debug',
    INFO: 'info',
    WARN: 'warn',
    ERROR: 'error',
  } as const;
  Runtime.install({
    logger: new DefaultLogger(
      sdkLevel(options.logLevel),
      ({ level: entryLevel, message, meta }: LogEntry) => {
        logger[level[entryLevel]](meta ?? {}, message);
      },
    ),
    telemetryOptions: {
      logging: { forward: {}, filter: 'WARN' },
      ...(options.metricsAddress === undefined
        ? {}
        : {
            metrics: {
              prometheus: {
                bindAddress: options.metricsAddress,
                countersTotalSuffix: true,
                histogramBucketOverrides: HISTOGRAM_BUCKETS,
              },
            },
          }),
    },
  });
}
