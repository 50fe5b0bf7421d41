import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';
import { accountOf } from '../replay/account';
import { field } from '../replay/values';
import type { RecordedRun } from '../recorded-runs/recorded-run';

/** Stands in for a tenants' webhook: nobody is told of an update that is only acted out. */
export interface StandInWebhook {
  readonly url: string;
  /** What the orchestrator signs with; it is worth nothing elsewhere. */
  readonly secret: string;
  close(): Promise<void>;
}

/** On this machine only, and answers as the real one did in the end. */
export async function standInWebhook(recorded: readonly RecordedRun[]): Promise<StandInWebhook> {
  const status = statusIn(recorded);
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return {
    url: `http://127.0.0.1:${address.port}/`,
    secret: `whsec_${randomBytes(32).toString('base64')}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** 200: acknowledged; 202: not yet; 503: not delivered. */
function statusIn(recorded: readonly RecordedRun[]): number {
  const notices = recorded.flatMap(({ workflowId, history }) =>
    history === null
      ? []
      : accountOf({ workflowId, history }).steps.filter(({ name }) => name === 'noticeTenants'),
  );
  if (notices.some(({ status }) => status === 'done')) return 200;
  const answered = notices.some((notice) => notice.lastFailure?.includes('not acknowledged yet'));
  return answered || notices.some(({ status }) => status === 'cancelled') ? 202 : 503;
}

/** The input of a run with this webhook instead of its own. */
export const withWebhook = (input: unknown, url: string): unknown => ({
  ...objectOf(input),
  notice: { ...objectOf(field(input, 'notice')), webhook: url },
});

export const hasWebhook = (input: unknown): boolean =>
  typeof field(field(input, 'notice'), 'webhook') === 'string';

const objectOf = (value: unknown): object =>
  typeof value === 'object' && value !== null ? value : {};
