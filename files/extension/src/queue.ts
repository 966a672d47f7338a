import type { IEvent } from './events';

/** Where events wait; they are given back in the order in which they came. */
export interface IEventStore {
  add(event: IEvent): Promise<void>;
  peek(count: number): Promise<readonly IEvent[]>;
  remove(events: readonly IEvent[]): Promise<void>;
}

/**
 * What became of a batch.
 *
 * - `accepted`: it has arrived.
 * - `refused`: it will never be taken as it is.
 * - `failed`: it may be taken later, in direct mode as often as the settings say.
 * - `unable`: it cannot be sent now, which is nobody's failure.
 */
export type Outcome =
  | { readonly kind: 'accepted' | 'refused' | 'unable' }
  | { readonly kind: 'failed'; readonly retryAfterMs?: number };

/** The way out of the browser. */
export interface ISender {
  /** How often a batch is sent again before it is given up. */
  readonly retries: number;
  send(events: readonly IEvent[]): Promise<Outcome>;
  /** Sends while the page goes away; nobody is there for the answer. */
  flush(events: readonly IEvent[]): void;
}

export const MAX_WAITING = 5000;
export const MAX_BATCH = 50;
const MAX_BATCH_LENGTH = 400_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
const GATHER_MS = 100;

/** Keeps events for as long as the page is open; the oldest go first when there are too many. */
export class MemoryStore implements IEventStore {
  add(event: IEvent): Promise<void> {
    this._events.push(event);
    if (this._events.length > MAX_WAITING) {
      this._events.shift();
    }
    return Promise.resolve();
  }

  peek(count: number): Promise<readonly IEvent[]> {
    return Promise.resolve(this._events.slice(0, count));
  }

  remove(events: readonly IEvent[]): Promise<void> {
    const gone = new Set(events.map(event => event.eventId));
    this._events = this._events.filter(event => !gone.has(event.eventId));
    return Promise.resolve();
  }

  private _events: IEvent[] = [];
}

/**
 * Sends events in small batches and in their order, again after a failure with the same ids.
 *
 * Nothing here throws or holds up the caller: a lab without its server is still a lab.
 */
export class EventQueue {
  constructor(
    private readonly _sender: ISender,
    private readonly _store: IEventStore = new MemoryStore(),
    private readonly _onLost: (count: number) => void = () => undefined
  ) {}

  /** Takes an event for sending. */
  push(event: IEvent): void {
    this._recent.set(event.eventId, event);
    if (this._recent.size > MAX_WAITING) {
      this._recent.delete(this._recent.keys().next().value!);
    }
    void this._store.add(event).then(
      () => this._schedule(GATHER_MS),
      () => undefined
    );
  }

  /** Tries now what waits, for instance because the network is back or the settings have changed. */
  wake(): void {
    if (this._timer !== null) {
      clearTimeout(this._timer);
      this._timer = null;
      this._schedule(0);
    }
  }

  /** Sends what still waits when the page goes away. Some may be sent twice; the ids tell. */
  flush(): void {
    const events = [...this._recent.values()];
    for (let start = 0; start < events.length; start += MAX_BATCH) {
      this._sender.flush(events.slice(start, start + MAX_BATCH));
    }
  }

  private _schedule(delayMs: number): void {
    if (this._timer !== null || this._sending) {
      return;
    }
    this._timer = setTimeout(() => {
      this._timer = null;
      this._sending = true;
      void this._sendNext()
        .catch(() => LONGEST_PAUSE_MS)
        .then(pause => {
          this._sending = false;
          if (pause !== null) {
            this._schedule(pause);
          }
        });
    }, delayMs);
  }

  /** Sends one batch; returns the milliseconds until the next, null when none waits. */
  private async _sendNext(): Promise<number | null> {
    const batch = fitting(await this._store.peek(this._count));
    if (batch.length === 0) {
      return null;
    }
    const outcome = await this._sender.send(batch);
    switch (outcome.kind) {
      case 'accepted':
        await this._forget(batch);
        this._count = Math.min(MAX_BATCH, 2 * this._count);
        return 0;
      case 'refused':
        // One bad event must not take the others of its batch with it.
        if (batch.length > 1) {
          this._count = Math.ceil(batch.length / 2);
        } else {
          await this._lose(batch);
        }
        return 0;
      case 'unable':
        return LONGEST_PAUSE_MS;
      case 'failed':
        if (this._failures >= this._sender.retries) {
          await this._lose(batch);
          return 0;
        }
        return Math.max(this._pause(), outcome.retryAfterMs ?? 0);
    }
  }

  private _pause(): number {
    const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this._failures, 16));
    this._failures += 1;
    // A class whose server comes back must not come back in step.
    return ceiling * (0.5 + Math.random() / 2);
  }

  private async _lose(batch: readonly IEvent[]): Promise<void> {
    await this._forget(batch);
    this._onLost(batch.length);
  }

  private async _forget(batch: readonly IEvent[]): Promise<void> {
    this._failures = 0;
    batch.forEach(event => this._recent.delete(event.eventId));
    await this._store.remove(batch);
  }

  // A page that goes away has no time to ask the store.
  private readonly _recent = new Map<string, IEvent>();
  private _count = MAX_BATCH;
  private _failures = 0;
  private _sending = false;
  private _timer: ReturnType<typeof setTimeout> | null = null;
}

/** The events at the head that make a request of a reasonable size, at least one. */
function fitting(events: readonly IEvent[]): readonly IEvent[] {
  let length = 0;
  const end = events.findIndex((event, index) => {
    length += (event.code?.length ?? 0) + (event.result?.length ?? 0);
    return index > 0 && length > MAX_BATCH_LENGTH;
  });
  return end < 0 ? events : events.slice(0, end);
}
