import { probeHttp, probePrometheus } from '../../../activities/probes/fleet-probes';
import { LocalServer } from '../local-server';

const server = new LocalServer();
beforeAll(() => server.start());
afterAll(() => server.stop());
beforeEach(() => {
  server.received.length = 0;
  server.reply = { status: 200 };
});

describe('an HTTP probe', () => {
  const probe = (status = 200) => probeHttp({ url: server.url, status }, 200);

  it('is healthy with the expected status', async () => {
    server.reply = { status: 204 };
    expect(await probe(204)).toEqual({
      probe: 'http',
      of: server.url,
      verdict: 'healthy',
      evidence: 'answered 204',
    });
  });

  it('is unhealthy with any other, and says both', async () => {
    server.reply = { status: 503 };
    expect(await probe()).toMatchObject({
      verdict: 'unhealthy',
      evidence: 'answered 503, expected 200',
    });
  });

  it('judges the address itself, not where it leads', async () => {
    server.reply = { status: 302, headers: { location: '/log-in' } };
    expect(await probe()).toMatchObject({ verdict: 'unhealthy' });
    expect(server.received.map((r) => r.target)).toEqual(['/']);
  });

  it('is inconclusive without an answer in time', async () => {
    server.reply = null;
    expect(await probe()).toMatchObject({ verdict: 'inconclusive' });
  });

  it.each(['http://127.0.0.1:1', 'http://[none', 'http://user:word@127.0.0.1:1'])(
    'is inconclusive, and does not throw, where %s cannot be asked',
    async (url) => {
      const { verdict, evidence } = await probeHttp({ url, status: 200 }, 200);
      expect(verdict).toBe('inconclusive');
      expect(evidence).toMatch(/^no answer: ./);
    },
  );
});

describe('a Prometheus probe', () => {
  const QUERY = 'error_ratio{job="web"} > 0';
  const probe = (bounds: { atLeast?: number; atMost?: number }, url = server.url) =>
    probePrometheus({ url, query: QUERY, ...bounds }, 200);
  const answers = (data: unknown) => {
    server.reply = { status: 200, body: JSON.stringify({ status: 'success', data }) };
  };
  const vector = (...values: readonly string[]) => {
    answers({
      resultType: 'vector',
      result: values.map((value, index) => ({
        metric: { __name__: 'error_ratio', host: `host-0${String(index + 1)}` },
        value: [1_700_000_000.123, value],
      })),
    });
  };

  it.each(['', '/', '/prometheus', '/prometheus/'])(
    'asks below the address it is given (%j)',
    async (path) => {
      vector('0');
      await probe({ atMost: 1 }, `${server.url}${path}`);
      const target = new URL(server.received[0]?.target ?? '', server.url);
      expect(target.pathname).toBe(`${path.replace(/\/$/, '')}/api/v1/query`);
      expect(target.searchParams.get('query')).toBe(QUERY);
    },
  );

  it('is healthy if every value is within the bounds, the bounds themselves included', async () => {
    vector('1', '2', '3');
    expect(await probe({ atLeast: 1, atMost: 3 })).toMatchObject({
      probe: 'prometheus',
      of: server.url,
      verdict: 'healthy',
    });
  });

  it.each([
    ['above', { atMost: 2 }, '3', '3 error_ratio{host="host-02"}'],
    ['below', { atLeast: 2 }, '1', '1 error_ratio{host="host-02"}'],
    ['infinitely above', { atMost: 2 }, '+Inf', 'Infinity error_ratio{host="host-02"}'],
  ])('is unhealthy if any is %s, and names it', async (_, bounds, value, says) => {
    vector('2', value, '2');
    const { verdict, evidence } = await probe(bounds);
    expect(verdict).toBe('unhealthy');
    expect(evidence).toContain('1 of 3');
    expect(evidence).toContain(says);
  });

  it('names a few of many and counts the others', async () => {
    vector(...Array.from({ length: 9 }, () => '5'));
    const { evidence } = await probe({ atMost: 1 });
    expect(evidence).toContain('9 of 9 not at most 1');
    expect(evidence).toContain('host-03');
    expect(evidence).not.toContain('host-04');
    expect(evidence).toContain('and 6 more');
  });

  it('takes a scalar as one value', async () => {
    answers({ resultType: 'scalar', result: [1_700_000_000, '0.5'] });
    expect(await probe({ atMost: 0.4 })).toMatchObject({ verdict: 'unhealthy' });
    expect(await probe({ atMost: 0.5 })).toMatchObject({ verdict: 'healthy' });
  });

  it('a value outside weighs more than one that is no number', async () => {
    vector('NaN', '5');
    expect(await probe({ atMost: 1 })).toMatchObject({ verdict: 'unhealthy' });
  });

  it.each<[string, () => void]>([
    ['no value', () => vector()],
    ['a value that is no number', () => vector('1', 'NaN')],
    ['a result without values', () => answers({ resultType: 'matrix', result: [] })],
    [
      'a native histogram',
      () => answers({ resultType: 'vector', result: [{ metric: {}, histogram: [1, {}] }] }),
    ],
    ['another document', () => (server.reply = { status: 200, body: '<html>log in</html>' })],
    ['no answer', () => (server.reply = null)],
  ])('is inconclusive with %s', async (_, prepare) => {
    prepare();
    expect(await probe({ atMost: 1 })).toMatchObject({ verdict: 'inconclusive' });
  });

  it('is inconclusive if the query cannot be evaluated, and says why', async () => {
    server.reply = {
      status: 400,
      body: JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'parse error at 1:9' }),
    };
    const { verdict, evidence } = await probe({ atMost: 1 });
    expect(verdict).toBe('inconclusive');
    expect(evidence).toContain('parse error at 1:9');
  });
});
