import type { IEvent } from './events';

/** An event as it is kept and sent. */
export interface IEntry {
  readonly eventId: string;
  /** The event in JSON. */
  readonly text: string;
  /** The bytes of the text in UTF-8. */
  readonly size: number;
}

/** An event that waits. */
export interface IItem extends IEntry {
  /** Its place; `Infinity` where only this page has it. */
  readonly key: number;
}

/** What waits, beginning with the oldest. */
export interface IHead {
  readonly items: readonly IItem[];
  /** The number of all events that wait. */
  readonly waiting: number;
  /** How many events have been given up for want of room, and nobody has been told. */
  readonly dropped: number;
}

/** Where events wait. The oldest make room when there are too many. */
export interface IEventStore {
  /** Whether what waits outlives the page. */
  readonly isPersistent: boolean;
  /** Adds events behind the others; resolves to their places and the number of all that wait. */
  add(entries: readonly IEntry[]): Promise<{ keys: readonly number[]; waiting: number }>;
  /** The oldest events: at most so many, and so many bytes, but at least one. */
  peek(count: number, bytes: number): Promise<IHead>;
  /** Removes events, and forgets that so many were dropped; resolves to the number still waiting. */
  remove(items: readonly IItem[], told: number): Promise<number>;
}

/** More than the busiest student runs in a week, and few enough to be sent within a minute. */
export const MAX_EVENTS = 10_000;
/** Far below what browsers grant an origin, and room for all these events at several KiB each. */
export const MAX_BYTES = 64 * 2 ** 20;

/** Writes an event as it is kept and sent. */
export function pack(event: IEvent): IEntry {
  const text = JSON.stringify(event);
  return { eventId: event.eventId, text, size: new TextEncoder().encode(text).length };
}

/** Keeps events for as long as the page is open. */
export class MemoryStore implements IEventStore {
  readonly isPersistent = false;

  constructor(
    private readonly _maxEvents = MAX_EVENTS,
    private readonly _maxBytes = MAX_BYTES
  ) {}

  add(entries: readonly IEntry[]): Promise<{ keys: readonly number[]; waiting: number }> {
    for (const entry of entries) {
      this._items.push({ ...entry, key: Infinity });
      this._bytes += entry.size;
    }
    while (this._items.length > this._maxEvents || this._bytes > this._maxBytes) {
      this._bytes -= this._items.shift()!.size;
      this._dropped += 1;
    }
    return Promise.resolve({ keys: entries.map(() => Infinity), waiting: this._items.length });
  }

  peek(count: number, bytes: number): Promise<IHead> {
    const items: IItem[] = [];
    for (const item of this._items.slice(0, count)) {
      bytes -= item.size;
      if (bytes < 0 && items.length > 0) {
        break;
      }
      items.push(item);
    }
    return Promise.resolve({ items, waiting: this._items.length, dropped: this._dropped });
  }

  remove(items: readonly IItem[], told: number): Promise<number> {
    const gone = new Set(items.map(item => item.eventId));
    this._items = this._items.filter(item => !gone.has(item.eventId));
    this._bytes = this._items.reduce((sum, item) => sum + item.size, 0);
    this._dropped = Math.max(0, this._dropped - told);
    return Promise.resolve(this._items.length);
  }

  private _items: IItem[] = [];
  private _bytes = 0;
  private _dropped = 0;
}

/** Keeps events in a first store, and what that one cannot take (no room, private mode) in a second. */
export class FallbackStore implements IEventStore {
  constructor(
    private readonly _first: IEventStore,
    private readonly _second: IEventStore
  ) {}

  get isPersistent(): boolean {
    return this._firstWorks;
  }

  async add(entries: readonly IEntry[]): Promise<{ keys: readonly number[]; waiting: number }> {
    try {
      const { keys, waiting } = await this._first.add(entries);
      this._firstWorks = true;
      this._waiting = waiting;
      return { keys, waiting: waiting + this._spare };
    } catch {
      this._firstWorks = false;
      const { keys, waiting } = await this._second.add(entries);
      this._spare = waiting;
      return { keys, waiting: this._waiting + waiting };
    }
  }

  async peek(count: number, bytes: number): Promise<IHead> {
    const [first, second] = await Promise.all([
      this._first.peek(count, bytes).catch((): IHead => ({ items: [], waiting: 0, dropped: 0 })),
      this._second.peek(count, bytes)
    ]);
    this._waiting = first.waiting;
    return {
      items: first.items.length > 0 ? first.items : second.items,
      waiting: first.waiting + second.waiting,
      // Each is told of its own: what the one has dropped is not forgotten by the other.
      dropped: first.items.length > 0 ? first.dropped : second.dropped
    };
  }

  async remove(items: readonly IItem[], told: number): Promise<number> {
    if (items.some(item => item.key === Infinity)) {
      this._spare = await this._second.remove(items, told);
    } else {
      this._waiting = await this._first.remove(items, told);
    }
    return this._waiting + this._spare;
  }

  private _firstWorks = true;
  private _waiting = 0;
  private _spare = 0;
}
