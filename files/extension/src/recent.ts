import type { IEntry } from './store';

const MAX_RECENT = 200;

/**
 * The latest events of this page that have not arrived.
 *
 * A page that goes away has no time to ask its store.
 */
export class Recent {
  /** Remembers an event that is not yet in the store. */
  add({ eventId, text }: IEntry): void {
    this._events.set(eventId, { text, key: Infinity });
    if (this._events.size > MAX_RECENT) {
      this._events.delete(this._events.keys().next().value!);
    }
  }

  /** Notes where events are in the store. */
  place(entries: readonly IEntry[], keys: readonly number[]): void {
    entries.forEach(({ eventId }, index) => {
      const event = this._events.get(eventId);
      if (event) {
        event.key = keys[index] ?? Infinity;
      }
    });
  }

  /** Forgets what was before the first place that is left: another page has sent it. */
  forgetBefore(key: number): void {
    this._events.forEach((event, eventId) => {
      if (event.key < key) {
        this._events.delete(eventId);
      }
    });
  }

  /** Whether an event is among them. */
  has(eventId: string): boolean {
    return this._events.has(eventId);
  }

  /** Forgets an event that has arrived. */
  delete(eventId: string): void {
    this._events.delete(eventId);
  }

  /** The events in JSON, in their order. */
  texts(): string[] {
    return Array.from(this._events.values(), ({ text }) => text);
  }

  private readonly _events = new Map<string, { readonly text: string; key: number }>();
}
