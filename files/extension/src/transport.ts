import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { IEvent } from './events';
import type { ISender, Outcome } from './queue';
import type { ISettings } from './settings';

const REQUEST_TIMEOUT_MS = 30_000;
const MAX_RETRY_AFTER_MS = 300_000;
// Browsers give all requests that outlive their page 64 KiB together.
const MAX_KEEPALIVE_LENGTH = 60_000;

/** The parts of a `Response` that tell what became of a batch. */
export interface IAnswer {
  readonly status: number;
  readonly headers: Pick<Headers, 'get'>;
}

/** What an answer means. Only what can never be taken is refused: a login may come back, a route appear. */
export function outcomeOf(answer: IAnswer): Outcome {
  if (answer.status >= 200 && answer.status < 300) {
    return { kind: 'accepted' };
  }
  if ([400, 413, 422].includes(answer.status)) {
    return { kind: 'refused' };
  }
  const seconds = Number(answer.headers.get('Retry-After') ?? NaN);
  return seconds > 0
    ? { kind: 'failed', retryAfterMs: Math.min(1000 * seconds, MAX_RETRY_AFTER_MS) }
    : { kind: 'failed' };
}

async function attempt(request: (signal: AbortSignal) => Promise<IAnswer>): Promise<Outcome> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), REQUEST_TIMEOUT_MS);
  try {
    return outcomeOf(await request(controller.signal));
  } catch {
    return { kind: 'failed' };
  } finally {
    clearTimeout(timer);
  }
}

/** Splits texts too long for a request that outlives its page; what is too long by itself is left out. */
export function keepaliveBodies(events: readonly IEvent[]): string[] {
  const encoder = new TextEncoder();
  const bodies: string[] = [];
  let items: string[] = [];
  let length = 0;
  for (const event of events) {
    const item = JSON.stringify(event);
    const size = encoder.encode(item).length + 1;
    if (items.length > 0 && length + size > MAX_KEEPALIVE_LENGTH) {
      bodies.push(`[${items.join(',')}]`);
      items = [];
      length = 0;
    }
    if (size <= MAX_KEEPALIVE_LENGTH) {
      items.push(item);
      length += size;
    }
  }
  return items.length > 0 ? [...bodies, `[${items.join(',')}]`] : bodies;
}

/** Hands events to the Jupyter server of this page, which keeps them until the event server has them. */
export class CollectorSender implements ISender {
  readonly retries = Infinity;

  constructor(private readonly _server: ServerConnection.ISettings) {}

  send(events: readonly IEvent[]): Promise<Outcome> {
    return attempt(signal => this._post(JSON.stringify(events), { signal }));
  }

  flush(events: readonly IEvent[]): void {
    for (const body of keepaliveBodies(events)) {
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
  constructor(private readonly _settings: () => ISettings) {}

  get retries(): number {
    return this._settings().retryAttempts;
  }

  send(events: readonly IEvent[]): Promise<Outcome> {
    const url = this._settings().serverUrl;
    return url
      ? attempt(signal => this._post(url, JSON.stringify(events), { signal }))
      : Promise.resolve({ kind: 'unable' });
  }

  flush(events: readonly IEvent[]): void {
    const url = this._settings().serverUrl;
    if (url) {
      for (const body of keepaliveBodies(events)) {
        this._post(url, body, { keepalive: true }).catch(() => undefined);
      }
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
