import { ApplicationFailure } from '@temporalio/common';
import { Webhook } from 'standardwebhooks';
import { postSigned, webhookSecretProblem } from '../../../activities/fleet/webhook';
import { LocalServer } from '../local-server';

const SECRET = `whsec_${Buffer.from('a secret of thirty-two letters..').toString('base64')}`;
const env = { HOLDFAST_WEBHOOK_SECRET: SECRET };
const server = new LocalServer();

beforeAll(() => server.start());
afterAll(() => server.stop());
beforeEach(() => {
  server.received.length = 0;
  server.reply = { status: 200 };
});

async function failure(post: Promise<unknown>): Promise<ApplicationFailure> {
  try {
    await post;
  } catch (error) {
    if (error instanceof ApplicationFailure) return error;
    throw error;
  }
  throw new Error('it was taken');
}

it('signs what it posts, so that the receiver can verify it', async () => {
  server.reply = { status: 202 };
  const body = { event: 'started', message: 'updates 3 hosts – “now”' };
  expect(await postSigned(server.url, 'msg_1', body, { env })).toEqual({ status: 202 });

  const [received] = server.received;
  if (received === undefined) throw new Error('nothing was posted');
  const { method, headers, body: payload } = received;
  expect(method).toBe('POST');
  expect(headers['content-type']).toBe('application/json');
  expect(headers['webhook-id']).toBe('msg_1');
  const signed = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, String(value)]),
  );
  expect(new Webhook(SECRET).verify(payload, signed)).toEqual(body);
  expect(() => new Webhook(SECRET).verify(`${payload} `, signed)).toThrow('signature');
  expect(() => new Webhook('c29tZWJvZHkgZWxzZQ==').verify(payload, signed)).toThrow('signature');
});

it.each([408, 429, 500, 503])('an answer of %d may be tried again', async (status) => {
  server.reply = { status };
  const { type, nonRetryable, message } = await failure(postSigned(server.url, 'msg', {}, { env }));
  expect({ type, nonRetryable }).toEqual({ type: 'WebhookUndelivered', nonRetryable: false });
  expect(message).toContain(`${server.url} answered ${String(status)}`);
});

it.each([400, 401, 404, 410])('an answer of %d is final', async (status) => {
  server.reply = { status };
  const { type, nonRetryable } = await failure(postSigned(server.url, 'msg', {}, { env }));
  expect({ type, nonRetryable }).toEqual({ type: 'WebhookRefused', nonRetryable: true });
});

it('does not carry a signed body on to where it is redirected', async () => {
  const elsewhere = new LocalServer();
  await elsewhere.start();
  try {
    server.reply = { status: 307, headers: { location: elsewhere.url } };
    const { type, nonRetryable } = await failure(postSigned(server.url, 'msg', {}, { env }));
    expect({ type, nonRetryable }).toEqual({ type: 'WebhookRefused', nonRetryable: true });
    expect(elsewhere.received).toEqual([]);
  } finally {
    await elsewhere.stop();
  }
});

it('gives up an answer that does not come in time, and may try again', async () => {
  server.reply = null;
  const { type, message } = await failure(
    postSigned(server.url, 'msg', {}, { env, timeoutMs: 50 }),
  );
  expect(type).toBe('WebhookUndelivered');
  expect(message).toContain('did not answer');
});

it('says why nobody was reached', async () => {
  const gone = new LocalServer();
  await gone.start();
  await gone.stop();
  const { type, nonRetryable, message } = await failure(postSigned(gone.url, 'msg', {}, { env }));
  expect({ type, nonRetryable }).toEqual({ type: 'WebhookUndelivered', nonRetryable: false });
  expect(message).toContain(`${gone.url} did not answer: connect ECONNREFUSED`);
});

it.each([
  ['no secret', {}, 'is not set'],
  ['an empty one', { HOLDFAST_WEBHOOK_SECRET: '' }, 'is not set'],
  ['one that is no base64', { HOLDFAST_WEBHOOK_SECRET: 'not/base64!' }, 'is not base64'],
])('sends nothing with %s', async (_, without, says) => {
  expect(webhookSecretProblem(without)).toContain(says);
  const { type, nonRetryable, message } = await failure(
    postSigned(server.url, 'msg', {}, { env: without }),
  );
  expect({ type, nonRetryable }).toEqual({ type: 'WebhookRefused', nonRetryable: true });
  expect(message).toContain(`HOLDFAST_WEBHOOK_SECRET ${says}`);
  expect(message).not.toContain('not/base64!');
  expect(server.received).toEqual([]);
});
