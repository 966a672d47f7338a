import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { ISender, Outcome } from './queue';
import type { ISettings } from './settings';
import type { IItem } from './store';

const REQUEST_TIMEOUT_MS = 30_000;
const MAX_RETRY_AFTER_MS = 300_000;
// Somebody has to log in again, or to repair the server, first.
const NOT_NOW_MS = 60_000;
// Browsers give all requests that outlive their page 64 KiB together.
const MAX_KEEPALIVE_BYTES = 60_000;
// As much as the server reads of the header.
const MAX_TOLD = 999_999;

/** The parts of a `Response` that tell what became of a batch. */
export interface IAnswer {
  readonly status: number;
  readonly redirected?: boolean;
  readonly headers: Pick<Headers, 'get'>;
  json?(): Promise<unknown>;
}

/** What an answer means. Only what can never be taken is refused: a login may come back, a route appear. */
export async function outcomeOf(answer: IAnswer): Promise<Outcome> {
  const { status, headers } = answer;
  if (status >= 200 && status < 300 && !isForeign(answer)) {
    const body = await answer.json?.().catch(() => null);
    return { kind: 'accepted', dismissed: dismissedIn(body) };
  }
  if (status === 413 || status === 422) {
    return { kind: 'refused' };
  }
  const asked = 1000 * Number(headers.get('Retry-After') ?? NaN);
  const usual = status >= 400 && status < 500 && status !== 429 ? NOT_NOW_MS : 0;
  const retryAfterMs = asked > 0 ? Math.min(asked, MAX_RETRY_AFTER_MS) : usual;
  return retryAfterMs > 0 ? { kind: 'failed', retryAfterMs } : { kind: 'failed' };
}

/** Whether a page answered that takes no events: a login, or a network that wants to be paid. */
function isForeign({ redirected, headers }: IAnswer): boolean {
  return redirected === true || (headers.get('Content-Type') ?? '').startsWith('text/html');
}

/** The sessions whose requests for help were dismissed, as the Jupyter server or the event server says. */
export function dismissedIn(body: unknown): string[] {
  const answer = body as {
    dismissed_help?: unknown;
    batch_stats?: { dismissed_help?: unknown } | null;
  } | null;
  const ids = answer?.dismissed_help ?? answer?.batch_stats?.dismissed_help;
  return Array.isArray(ids) ? ids.filter((id): id is string => typeof id === 'string') : [];
}

async function attempt(request: (signal: AbortSignal) => Promise<IAnswer>): Promise<Outcome> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), REQUEST_TIMEOUT_MS);
  try {
    return await outcomeOf(await request(controller.signal));
  } catch {
    return { kind: 'failed' };
  } finally {
    clearTimeout(timer);
  }
}

/** The latest events that fit into a request that outlives its page, in their order; null for none. */
export function keepaliveBody(texts: readonly string[]): string | null {
  const encoder = new TextEncoder();
  const fitting: string[] = [];
  let size = 2;
  for (const text of [...texts].reverse()) {
    const more = encoder.encode(text).length + 1;
    if (size + more <= MAX_KEEPALIVE_BYTES) {
      fitting.unshift(text);
      size += more;
    }
  }
  return fitting.length > 0 ? arrayOf(fitting) : null;
}

function arrayOf(texts: readonly string[]): string {
  return `[${texts.join(',')}]`;
}

/** Hands events to the Jupyter server of this page, which keeps them until the event server has them. */
export class CollectorSender implements ISender {
  readonly retries = Infinity;
  readonly tellsDropped = true;

  constructor(private readonly _server: ServerConnection.ISettings) {}

  send(items: readonly IItem[], dropped: number): Promise<Outcome> {
    const told = String(Math.min(dropped, MAX_TOLD));
    // Headers replace those that the server's settings may hold.
    const headers = dropped > 0 && { headers: { 'X-Cell-Monitor-Dropped': told } };
    const body = arrayOf(items.map(({ text }) => text));
    return attempt(signal => this._post(body, { ...headers, signal }));
  }

  flush(texts: readonly string[]): void {
    const body = keepaliveBody(texts);
    if (body !== null) {
      this._post(body, { keepalive: true }).catch(() => undefined);
    }
  }

  private _post(body: string, init: RequestInit): Promise<Response> {
    const url = URLExt.join(this._server.baseUrl, 'cell-monitor', 'events');
    return ServerConnection.makeRequest(url, { ...init, method: 'POST', body }, this._server);
  }
}

/** Posts events straight to the event server, for students' own machines. */
export class DirectSender implements ISender {
  // A header of our own would need the server's leave.
  readonly tellsDropped = false;

  constructor(private readonly _settings: () => ISettings) {}

  get retries(): number {
    return this._settings().retryAttempts;
  }

  send(items: readonly IItem[]): Promise<Outcome> {
    const url = this._settings().serverUrl;
    const body = arrayOf(items.map(({ text }) => text));
    return url
      ? attempt(signal => this._post(url, body, { signal }))
      : Promise.resolve({ kind: 'unable' });
  }

  flush(texts: readonly string[]): void {
    const url = this._settings().serverUrl;
    const body = keepaliveBody(texts);
    if (url && body !== null) {
      this._post(url, body, { keepalive: true }).catch(() => undefined);
    }
  }

  private _post(url: string, body: string, init: RequestInit): Promise<Response> {
    return fetch(url, {
      ...init,
      method: 'POST',
      body,
      credentials: 'omit',
      headers: { 'Content-Type': 'application/json' },
      mode: 'cors',
      referrerPolicy: 'no-referrer'
    });
  }
}
