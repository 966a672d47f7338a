import type { ServerConnection } from '@jupyterlab/services';

import { readSettings } from '../settings';
import type { IItem } from '../store';
import { CollectorSender, dismissedIn, DirectSender, keepaliveBody, outcomeOf } from '../transport';

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

const text = JSON.stringify({ eventId: 'a', code: 'é' });
const events: IItem[] = [{ key: 1, eventId: 'a', text, size: 27 }];
const accepted = { kind: 'accepted', dismissed: [] };
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
  it.each([200, 202, 204])('takes %d as accepted', async status => {
    expect(await outcomeOf({ status, headers: headers(null) })).toEqual(accepted);
  });

  it.each([413, 422])('takes %d as refused', async status => {
    expect(await outcomeOf({ status, headers: headers(null) })).toEqual({ kind: 'refused' });
  });

  it.each([301, 429, 500, 503])('takes %d as failed', async status => {
    expect(await outcomeOf({ status, headers: headers('soon') })).toEqual({ kind: 'failed' });
  });

  it.each([400, 401, 403, 404])('takes %d as something that takes time', async status => {
    expect(await outcomeOf({ status, headers: headers(null) })).toEqual({
      kind: 'failed',
      retryAfterMs: 60_000
    });
  });

  it('takes no login page for the collector', async () => {
    const page = { status: 200, headers: headers('text/html; charset=utf-8') };
    expect(await outcomeOf(page)).toEqual({ kind: 'failed' });
    const moved = { status: 200, redirected: true, headers: headers(null) };
    expect(await outcomeOf(moved)).toEqual({ kind: 'failed' });
  });

  it('reads how long to wait, within reason', async () => {
    const wait = async (value: string) => outcomeOf({ status: 503, headers: headers(value) });
    expect(await wait('5')).toEqual({ kind: 'failed', retryAfterMs: 5000 });
    expect(await wait('99999')).toEqual({ kind: 'failed', retryAfterMs: 300_000 });
  });

  it('reads which requests for help were dismissed', async () => {
    const json = () => Promise.resolve({ dismissed_help: ['s'] });
    const answered = { status: 202, headers: headers(null), json };
    expect(await outcomeOf(answered)).toEqual({ kind: 'accepted', dismissed: ['s'] });
    const broken = { ...answered, json: () => Promise.reject(new SyntaxError()) };
    expect(await outcomeOf(broken)).toEqual(accepted);
    expect(dismissedIn({ batch_stats: { dismissed_help: ['a', 1, null, 'b'] } })).toEqual([
      'a',
      'b'
    ]);
    for (const body of [null, 3, [], 'x', { dismissed_help: 's' }, { batch_stats: null }]) {
      expect(dismissedIn(body)).toEqual([]);
    }
  });
});

describe('CollectorSender', () => {
  const sender = new CollectorSender({
    baseUrl: 'http://lab/user/a/'
  } as ServerConnection.ISettings);

  it('posts to the Jupyter server of the page and never gives up', async () => {
    expect(await sender.send(events, 0)).toEqual(accepted);
    expect(requests[0]!.url).toBe('http://lab/user/a/cell-monitor/events');
    expect(requests[0]!.init).toMatchObject({ method: 'POST', body: `[${text}]` });
    expect(sender.retries).toBe(Infinity);
  });

  it('tells how many events were dropped', async () => {
    await sender.send(events, 0);
    expect(requests[0]!.init).not.toHaveProperty('headers');
    await sender.send(events, 7);
    await sender.send(events, 10_000_000);
    expect(requests[1]!.init.headers).toEqual({ 'X-Cell-Monitor-Dropped': '7' });
    expect(requests[2]!.init.headers).toEqual({ 'X-Cell-Monitor-Dropped': '999999' });
  });

  it('fails quietly', async () => {
    respond = () => Promise.reject(new TypeError('Failed to fetch'));
    expect(await sender.send(events, 0)).toEqual({ kind: 'failed' });
    sender.flush([text]);
    expect(requests[1]!.init.keepalive).toBe(true);
  });

  it('gives up a request without an answer', async () => {
    jest.useFakeTimers();
    respond = ({ init }) =>
      new Promise((_, reject) =>
        init.signal!.addEventListener('abort', () => reject(new Error('aborted')))
      );
    const outcome = sender.send(events, 0);
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
    expect(await sender.send(events)).toEqual(accepted);
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
    settings('http://school/events').flush([text]);
    expect(requests[0]!.init.keepalive).toBe(true);
  });

  it('sends nothing without an address', async () => {
    expect(await settings('').send(events)).toEqual({ kind: 'unable' });
    settings('').flush([text]);
    expect(requests).toEqual([]);
  });
});

describe('keepaliveBody', () => {
  it('holds the latest events that browsers allow', () => {
    const texts = [1, 2, 3].map(n => JSON.stringify({ eventId: `${n}`, code: 'é'.repeat(13_000) }));
    const body = keepaliveBody([...texts, JSON.stringify('é'.repeat(40_000))])!;
    expect(new TextEncoder().encode(body).length).toBeLessThanOrEqual(60_000);
    expect((JSON.parse(body) as { eventId: string }[]).map(item => item.eventId)).toEqual([
      '2',
      '3'
    ]);
    expect(keepaliveBody([])).toBeNull();
  });
});
