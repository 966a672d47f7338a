import type { ServerConnection } from '@jupyterlab/services';

import type { IEvent } from '../events';
import { readSettings } from '../settings';
import { CollectorSender, DirectSender, keepaliveBodies, outcomeOf } from '../transport';

interface IRequest {
  url: string;
  init: RequestInit;
}

const requests: IRequest[] = [];
let respond: (request: IRequest) => Promise<{ status: number; headers: Map<string, string> }>;

const request = (url: string, init: RequestInit) => {
  requests.push({ url, init });
  return respond({ url, init });
};

jest.mock('@jupyterlab/coreutils', () => ({
  URLExt: { join: (...parts: string[]) => parts.map(part => part.replace(/\/$/, '')).join('/') }
}));
jest.mock('@jupyterlab/services', () => ({
  ServerConnection: { makeRequest: (url: string, init: RequestInit) => request(url, init) }
}));

const events = [{ eventId: 'a', code: 'é' }] as unknown as IEvent[];
const answer = (status: number, retryAfter?: string) => ({
  status,
  headers: new Map(retryAfter === undefined ? [] : [['Retry-After', retryAfter]])
});
// A `Map` gives undefined where `Headers` gives null.
const headers = (value: string | null) => ({ get: () => value });

beforeAll(async () => {
  const { TextEncoder } = await import('util');
  Object.assign(globalThis, { TextEncoder, fetch: request });
});

beforeEach(() => {
  requests.length = 0;
  respond = () => Promise.resolve(answer(202));
});

describe('outcomeOf', () => {
  it.each([200, 202, 204])('takes %d as accepted', status => {
    expect(outcomeOf({ status, headers: headers(null) })).toEqual({ kind: 'accepted' });
  });

  it.each([400, 413, 422])('takes %d as refused', status => {
    expect(outcomeOf({ status, headers: headers(null) })).toEqual({ kind: 'refused' });
  });

  it.each([301, 401, 403, 404, 429, 500, 503])('takes %d as failed', status => {
    expect(outcomeOf({ status, headers: headers('soon') })).toEqual({ kind: 'failed' });
  });

  it('reads how long to wait, within reason', () => {
    expect(outcomeOf({ status: 503, headers: headers('5') })).toEqual({
      kind: 'failed',
      retryAfterMs: 5000
    });
    expect(outcomeOf({ status: 503, headers: headers('99999') })).toEqual({
      kind: 'failed',
      retryAfterMs: 300_000
    });
  });
});

describe('CollectorSender', () => {
  const sender = new CollectorSender({
    baseUrl: 'http://lab/user/a/'
  } as ServerConnection.ISettings);

  it('posts to the Jupyter server of the page and never gives up', async () => {
    expect(await sender.send(events)).toEqual({ kind: 'accepted' });
    expect(requests[0]!.url).toBe('http://lab/user/a/cell-monitor/events');
    expect(requests[0]!.init).toMatchObject({ method: 'POST', body: JSON.stringify(events) });
    expect(sender.retries).toBe(Infinity);
  });

  it('fails quietly', async () => {
    respond = () => Promise.reject(new TypeError('Failed to fetch'));
    expect(await sender.send(events)).toEqual({ kind: 'failed' });
    sender.flush(events);
    expect(requests[1]!.init.keepalive).toBe(true);
  });

  it('gives up a request without an answer', async () => {
    jest.useFakeTimers();
    respond = ({ init }) =>
      new Promise((_, reject) =>
        init.signal!.addEventListener('abort', () => reject(new Error('aborted')))
      );
    const outcome = sender.send(events);
    await jest.advanceTimersByTimeAsync(30_000);
    expect(await outcome).toEqual({ kind: 'failed' });
    jest.useRealTimers();
  });
});

describe('DirectSender', () => {
  const settings = (serverUrl: string) =>
    new DirectSender(() => readSettings({ serverUrl, retryAttempts: 2 }));

  it('posts to the address of the settings without credentials', async () => {
    const sender = settings('http://school/api/v1/events');
    expect(await sender.send(events)).toEqual({ kind: 'accepted' });
    expect(requests[0]!.url).toBe('http://school/api/v1/events');
    expect(requests[0]!.init).toMatchObject({
      method: 'POST',
      credentials: 'omit',
      headers: { 'Content-Type': 'application/json' }
    });
    expect(sender.retries).toBe(2);
  });

  it('flushes quietly', () => {
    respond = () => Promise.reject(new TypeError('Failed to fetch'));
    settings('http://school/events').flush(events);
    expect(requests[0]!.init.keepalive).toBe(true);
  });

  it('sends nothing without an address', async () => {
    expect(await settings('').send(events)).toEqual({ kind: 'unable' });
    settings('').flush(events);
    expect(requests).toEqual([]);
  });
});

describe('keepaliveBodies', () => {
  it('stays within what browsers allow', () => {
    const large = [1, 2, 3, 4].map(n => ({ eventId: `${n}`, code: 'é'.repeat(n * 10_000) }));
    const bodies = keepaliveBodies(large as unknown as IEvent[]);
    expect(bodies.every(body => new TextEncoder().encode(body).length <= 60_100)).toBe(true);
    const ids = bodies.flatMap(body => (JSON.parse(body) as IEvent[]).map(item => item.eventId));
    expect(ids).toEqual(['1', '2']);
    expect(keepaliveBodies([])).toEqual([]);
  });
});
