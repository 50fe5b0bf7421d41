import { types } from 'node:util';
import { ApplicationFailure } from '@temporalio/common';
import { Webhook } from 'standardwebhooks';

const SECRET = 'HOLDFAST_WEBHOOK_SECRET';
const TIMEOUT_MS = 10_000;

export interface PostOptions {
  /** How long an answer is waited for, ms. Default 10,000. */
  readonly timeoutMs?: number;
  /** Where HOLDFAST_WEBHOOK_SECRET is. Default: the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Why nothing can be signed with what the environment holds, or null. An empty variable counts as unset. */
export function webhookSecretProblem(env: NodeJS.ProcessEnv = process.env): string | null {
  const signer = signerOf(env);
  return typeof signer === 'string' ? signer : null;
}

/**
 * Posts `body` as JSON, signed as Standard Webhooks say (headers webhook-id, -timestamp, -signature). Every attempt for
 * one message has the same `id`, so that a receiver can tell a repeat. Answers the status, which is 2xx. Else it fails:
 * `WebhookUndelivered` (408, 429, 5xx, no answer) may be tried again; `WebhookRefused` (any other status, no secret) not.
 */
export async function postSigned(
  url: string,
  id: string,
  body: unknown,
  { timeoutMs = TIMEOUT_MS, env = process.env }: PostOptions = {},
): Promise<{ readonly status: number }> {
  const signer = signerOf(env);
  if (typeof signer === 'string') throw refused(signer);
  const payload = JSON.stringify(body);
  const now = new Date();
  const { status } = await answer(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': signer.sign(id, now, payload),
    },
    body: payload,
    // What is signed for one receiver must not be carried on to another.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (status >= 200 && status < 300) return { status };
  if (status >= 300 && status < 400) {
    throw refused(
      `${url} answered ${status}, but redirects are not followed: name the address that it leads to.`,
    );
  }
  if (status < 500 && status !== 408 && status !== 429) {
    throw refused(`${url} answered ${status}: it does not take this message.`);
  }
  throw undelivered(`${url} answered ${status}.`);
}

function signerOf(env: NodeJS.ProcessEnv): Webhook | string {
  const secret = env[SECRET];
  const how = 'Give the orchestrator one, such as "whsec_" and the base64 of 32 random bytes.';
  if (secret === undefined || secret === '') {
    return `${SECRET} is not set, so no webhook can be signed. ${how}`;
  }
  try {
    return new Webhook(secret);
  } catch {
    return `${SECRET} is not base64, so no webhook can be signed. ${how}`;
  }
}

async function answer(url: string, request: RequestInit): Promise<Response> {
  try {
    const response = await fetch(url, request);
    // Nobody reads it, and an unread body keeps its connection.
    await response.body?.cancel();
    return response;
  } catch (error) {
    throw undelivered(`${url} did not answer: ${withoutAnswer(error)}.`);
  }
}

/** Why there was no answer: `fetch` itself says only that it failed. */
export function withoutAnswer(error: unknown): string {
  if (!types.isNativeError(error)) return String(error);
  const { cause } = error;
  if (!types.isNativeError(cause)) return error.message;
  // Where a name has several addresses, the error of all of them together has no message.
  return 'errors' in cause && Array.isArray(cause.errors)
    ? withoutAnswer(cause.errors[0])
    : withoutAnswer(cause);
}

const refused = (message: string) =>
  ApplicationFailure.create({ type: 'WebhookRefused', message, nonRetryable: true });
const undelivered = (message: string) =>
  ApplicationFailure.create({ type: 'WebhookUndelivered', message, category: 'BENIGN' });
