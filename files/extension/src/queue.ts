import { Signal, type ISignal } from '@lumino/signaling';

import type { IEvent } from './events';
import { Recent } from './recent';
import { MemoryStore, pack, type IEntry, type IEventStore, type IItem } from './store';
import { ALONE, type ITabs } from './tabs';

/**
 * What became of a batch.
 *
 * - `accepted`: it has arrived; the instructor may have dismissed requests for help that are in it.
 * - `refused`: it will never be taken as it is.
 * - `failed`: it may be taken later.
 * - `unable`: it cannot be sent now, which is nobody's failure.
 */
export type Outcome =
  | { readonly kind: 'accepted'; readonly dismissed: readonly string[] }
  | { readonly kind: 'refused' | 'unable' }
  | { readonly kind: 'failed'; readonly retryAfterMs?: number };

/** The way out of the browser. */
export interface ISender {
  /** How often a batch is sent again soon; then there is a long pause before each attempt. */
  readonly retries: number;
  /** Whether somebody is told how many events were dropped. */
  readonly tellsDropped: boolean;
  send(items: readonly IItem[], dropped: number): Promise<Outcome>;
  /** Sends while the page goes away; nobody is there for the answer. */
  flush(texts: readonly string[]): void;
}

/** How it goes. */
export interface IQueueState {
  /** The events that have not arrived. */
  readonly waiting: number;
  /** Whether the last attempt to send failed. */
  readonly offline: boolean;
}

/** What a queue works with besides its way out. */
export interface IQueueOptions {
  readonly store?: IEventStore;
  readonly tabs?: ITabs;
  /** An event is lost: it is one that will never be taken. */
  readonly onLost?: () => void;
  /** The retries are spent; said once until something arrives or the queue is woken. */
  readonly onDelayed?: () => void;
  /** The instructor has dismissed the requests for help of these sessions. */
  readonly onDismissed?: (sessionIds: readonly string[]) => void;
}

/** What the event server takes at once. */
export const MAX_BATCH = 200;
/** What a proxy takes that nobody has configured. */
export const MAX_BATCH_BYTES = 900_000;
/** The longest pause while a batch is sent again and again. */
export const LONGEST_PAUSE_MS = 60_000;
/** The pause after which it is tried once more when the retries are spent, or there is no network. */
export const REST_MS = 300_000;
const FIRST_PAUSE_MS = 1000;
const GATHER_MS = 100;

/**
 * Sends events in batches and in their order, again after a failure with the same ids.
 *
 * Nothing here throws or holds up the caller: a lab without its server is still a lab.
 */
export class EventQueue {
  constructor(
    private readonly _sender: ISender,
    private readonly _options: IQueueOptions = {}
  ) {
    this._store = _options.store ?? new MemoryStore();
    this._tabs = _options.tabs ?? ALONE;
  }

  /** How it goes now. */
  get state(): IQueueState {
    return this._state;
  }

  /** Emitted when it goes differently. */
  get stateChanged(): ISignal<this, IQueueState> {
    return this._stateChanged;
  }

  /** Whether what waits outlives the page. */
  get isPersistent(): boolean {
    return this._store.isPersistent;
  }

  /** Takes an event for sending. */
  push(event: IEvent): void {
    const entry = pack(event);
    this._recent.add(entry);
    this._arriving.push(entry);
    if (!this._writing) {
      void this._write();
    }
  }

  /** Whether an event that was pushed lately has not arrived. */
  isWaiting(eventId: string): boolean {
    return this._recent.has(eventId);
  }

  /** Tries now what waits, for instance because the network is back or the settings have changed. */
  wake(): void {
    this._failures = 0;
    this._delayed = false;
    if (this._sending) {
      this._woken = true;
      return;
    }
    if (this._timer !== null) {
      clearTimeout(this._timer);
      this._timer = null;
    }
    this._schedule(0);
  }

  /** Sends what still waits when the page goes away. Some may be sent twice; the ids tell. */
  flush(): void {
    const texts = this._recent.texts();
    if (texts.length > 0) {
      this._sender.flush(texts);
    }
  }

  /** Writes what has arrived, together what came while the store was busy. */
  private async _write(): Promise<void> {
    this._writing = true;
    while (this._arriving.length > 0) {
      const entries = this._arriving;
      this._arriving = [];
      try {
        const { keys, waiting } = await this._store.add(entries);
        this._recent.place(entries, keys);
        this._tell({ waiting });
      } catch {
        // They are still sent when the page goes away.
      }
    }
    this._writing = false;
    this._added = true;
    this._schedule(GATHER_MS);
  }

  private _schedule(delayMs: number): void {
    if (this._timer === null && !this._sending) {
      this._timer = setTimeout(() => {
        this._timer = null;
        void this._drain();
      }, delayMs);
    }
  }

  /** Sends batch after batch until nothing waits or something is in the way. */
  private async _drain(): Promise<void> {
    this._sending = true;
    this._woken = false;
    let pause: number | null;
    do {
      this._added = false;
      // A page that is stuck must not let go of the others' events: each batch is a turn by itself.
      pause = await this._tabs.alone(() => this._sendNext()).catch(() => LONGEST_PAUSE_MS);
    } while (pause === 0);
    this._sending = false;
    if (this._woken) {
      this._schedule(0);
    } else if (pause !== null) {
      this._schedule(pause);
    } else if (this._added) {
      this._schedule(GATHER_MS);
    }
  }

  /** Sends one batch; returns the milliseconds until the next, null when none waits. */
  private async _sendNext(): Promise<number | null> {
    const { items, waiting, dropped } = await this._store.peek(this._count, MAX_BATCH_BYTES);
    this._recent.forgetBefore(items[0]?.key ?? Infinity);
    if (items.length === 0) {
      this._tell({ waiting, offline: false });
      return null;
    }
    this._tell({ waiting });
    const outcome = await this._sender.send(items, dropped);
    switch (outcome.kind) {
      case 'accepted':
        await this._accepted(items, this._sender.tellsDropped ? dropped : 0);
        this._options.onDismissed?.(outcome.dismissed);
        return 0;
      case 'refused':
        // One bad event must not take the others of its batch with it.
        if (items.length > 1) {
          this._count = Math.ceil(items.length / 2);
        } else {
          await this._forget(items, 0);
          this._options.onLost?.();
        }
        return 0;
      case 'unable':
        this._tell({ offline: true });
        return LONGEST_PAUSE_MS;
      case 'failed':
        this._tell({ offline: true });
        return this._pause(outcome.retryAfterMs ?? 0);
    }
  }

  private async _accepted(items: readonly IItem[], told: number): Promise<void> {
    this._failures = 0;
    this._delayed = false;
    this._count = Math.min(MAX_BATCH, 2 * this._count);
    await this._forget(items, told);
    if (this._state.offline) {
      this._tell({ offline: false });
      this._tabs.announce();
    }
  }

  private async _forget(items: readonly IItem[], told: number): Promise<void> {
    items.forEach(({ eventId }) => this._recent.delete(eventId));
    this._tell({ waiting: await this._store.remove(items, told) });
  }

  private _pause(askedMs: number): number {
    this._failures += 1;
    const spent = this._failures > this._sender.retries;
    if (spent && !this._delayed) {
      this._delayed = true;
      this._options.onDelayed?.();
    }
    const backoff = FIRST_PAUSE_MS * 3 ** Math.min(this._failures - 1, 16);
    // Each attempt leaves a line in the browser's console that no page can keep away.
    const ceiling = spent || !navigator.onLine ? REST_MS : Math.min(LONGEST_PAUSE_MS, backoff);
    // A class whose server comes back must not come back in step.
    const jitter = Math.random() / 2;
    return Math.max(ceiling * (0.5 + jitter), askedMs * (1 + jitter));
  }

  private _tell(change: Partial<IQueueState>): void {
    const state = { ...this._state, ...change };
    if (state.waiting !== this._state.waiting || state.offline !== this._state.offline) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private readonly _store: IEventStore;
  private readonly _tabs: ITabs;
  private readonly _recent = new Recent();
  private readonly _stateChanged = new Signal<this, IQueueState>(this);
  private _state: IQueueState = { waiting: 0, offline: false };
  private _arriving: IEntry[] = [];
  private _writing = false;
  private _added = false;
  private _count = MAX_BATCH;
  private _failures = 0;
  private _delayed = false;
  private _sending = false;
  private _woken = false;
  private _timer: ReturnType<typeof setTimeout> | null = null;
}
