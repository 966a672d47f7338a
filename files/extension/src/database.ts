import {
  FallbackStore,
  MAX_BYTES,
  MAX_EVENTS,
  MemoryStore,
  type IEntry,
  type IEventStore,
  type IHead,
  type IItem
} from './store';

const VERSION = 1;
const EVENTS = 'events';
const TOTALS = 'totals';
// Some browsers never answer when their database is damaged.
const TIMEOUT_MS = 10_000;

/** Kept beside the events, so that nobody has to read them all to know. */
interface ITotals {
  readonly count: number;
  readonly bytes: number;
  readonly dropped: number;
}

interface IStores {
  readonly events: IDBObjectStore;
  readonly totals: IDBObjectStore;
}

/** The store of that name in this browser; one that ends with the page where the browser has none. */
export function openStore(name: string): IEventStore {
  const memory = new MemoryStore();
  try {
    return new FallbackStore(new DatabaseStore(name, indexedDB), memory);
  } catch {
    return memory;
  }
}

/** Keeps events in IndexedDB, which all pages of a browser share. Its methods reject where that fails. */
export class DatabaseStore implements IEventStore {
  readonly isPersistent = true;

  constructor(
    private readonly _name: string,
    private readonly _factory: IDBFactory,
    private readonly _maxEvents = MAX_EVENTS,
    private readonly _maxBytes = MAX_BYTES
  ) {}

  add(entries: readonly IEntry[]): Promise<{ keys: readonly number[]; waiting: number }> {
    return this._run('readwrite', async ({ events, totals }) => {
      const before = await readTotals(totals);
      const keys = await Promise.all(
        entries.map(({ eventId, text, size }) => answer(events.add({ eventId, text, size })))
      );
      const after = await this._makeRoom(events, {
        ...before,
        count: before.count + entries.length,
        bytes: entries.reduce((sum, { size }) => sum + size, before.bytes)
      });
      await writeTotals(totals, after);
      return { keys: keys as number[], waiting: after.count };
    });
  }

  async peek(count: number, bytes: number): Promise<IHead> {
    for (;;) {
      const unreadable: number[] = [];
      const head = await this._run('readonly', async ({ events, totals }) => {
        const items = await readItems(events, count, bytes, unreadable);
        const { count: waiting, dropped } = await readTotals(totals);
        return { items, waiting, dropped };
      });
      if (unreadable.length === 0) {
        return head;
      }
      await this._discard(unreadable);
    }
  }

  remove(items: readonly IItem[], told: number): Promise<number> {
    return this._run('readwrite', async ({ events, totals }) => {
      let { count, bytes, dropped } = await readTotals(totals);
      const present = await Promise.all(items.map(({ key }) => answer(events.count(key))));
      // Where the browser has no locks, another page may have been faster.
      items.forEach(({ key, size }, index) => {
        if (present[index]) {
          events.delete(key);
          count -= 1;
          bytes -= size;
        }
      });
      dropped -= told;
      await writeTotals(totals, { count, bytes, dropped });
      return Math.max(0, count);
    });
  }

  private _discard(keys: readonly number[]): Promise<void> {
    return this._run('readwrite', async ({ events, totals }) => {
      const { count, bytes, dropped } = await readTotals(totals);
      keys.forEach(key => events.delete(key));
      await writeTotals(totals, {
        count: count - keys.length,
        bytes,
        dropped: dropped + keys.length
      });
    });
  }

  private async _makeRoom(events: IDBObjectStore, totals: ITotals): Promise<ITotals> {
    let { count, bytes, dropped } = totals;
    let request: IDBRequest<IDBCursorWithValue | null> | null = null;
    while (count > this._maxEvents || bytes > this._maxBytes) {
      request ??= events.openCursor();
      const cursor = await answer(request);
      if (cursor === null) {
        return { count: 0, bytes: 0, dropped };
      }
      count -= 1;
      dropped += 1;
      bytes -= isEntry(cursor.value) ? cursor.value.size : 0;
      cursor.delete();
      cursor.continue();
    }
    return { count, bytes, dropped };
  }

  private async _run<T>(
    mode: IDBTransactionMode,
    work: (stores: IStores) => Promise<T>
  ): Promise<T> {
    return within(
      TIMEOUT_MS,
      this._open().then(async database => {
        const transaction = database.transaction([EVENTS, TOTALS], mode);
        const done = new Promise<void>((resolve, reject) => {
          transaction.oncomplete = () => resolve();
          transaction.onabort = () => reject(transaction.error ?? new Error('aborted'));
        });
        const stores = {
          events: transaction.objectStore(EVENTS),
          totals: transaction.objectStore(TOTALS)
        };
        const worked = work(stores).catch((error: unknown) => {
          // Half of it would leave totals that are wrong.
          abort(transaction);
          throw error;
        });
        const [result] = await Promise.all([worked, done]);
        return result;
      })
    );
  }

  private _open(): Promise<IDBDatabase> {
    this._database ??= within(
      TIMEOUT_MS / 2,
      open(this._factory, this._name, () => (this._database = null))
    );
    return this._database;
  }

  private _database: Promise<IDBDatabase> | null = null;
}

function open(factory: IDBFactory, name: string, onClosed: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(EVENTS, { autoIncrement: true });
      request.result.createObjectStore(TOTALS);
    };
    request.onerror = () => reject(request.error!);
    request.onsuccess = () => {
      const database = request.result;
      database.onclose = onClosed;
      database.onversionchange = () => {
        database.close();
        onClosed();
      };
      resolve(database);
    };
  });
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch {
    // It has ended by itself.
  }
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
}

async function readTotals(store: IDBObjectStore): Promise<ITotals> {
  const kept = (await answer<unknown>(store.get(TOTALS))) as Partial<ITotals> | undefined;
  return { count: kept?.count ?? 0, bytes: kept?.bytes ?? 0, dropped: kept?.dropped ?? 0 };
}

async function writeTotals(store: IDBObjectStore, totals: ITotals): Promise<void> {
  const count = Math.max(0, totals.count);
  // The size of what could not be read is not known: the sum is put right when nothing is left.
  const bytes = count === 0 ? 0 : Math.max(0, totals.bytes);
  await answer(store.put({ count, bytes, dropped: Math.max(0, totals.dropped) }, TOTALS));
}

/** Reads one event at a time: a single damaged one must not hide the others. */
async function readItems(
  events: IDBObjectStore,
  count: number,
  bytes: number,
  unreadable: number[]
): Promise<IItem[]> {
  const items: IItem[] = [];
  for (const key of (await answer(events.getAllKeys(null, count))) as number[]) {
    const entry = await readable(events.get(key));
    if (!isEntry(entry)) {
      unreadable.push(key);
      continue;
    }
    bytes -= entry.size;
    if (bytes < 0 && items.length > 0) {
      break;
    }
    items.push({ ...entry, key });
  }
  return items;
}

function readable(request: IDBRequest<unknown>): Promise<unknown> {
  return new Promise(resolve => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = event => {
      // Otherwise the whole transaction would end.
      event.preventDefault();
      resolve(undefined);
    };
  });
}

function isEntry(value: unknown): value is IEntry {
  const entry = value as Partial<IEntry> | null | undefined;
  return (
    typeof entry?.eventId === 'string' &&
    typeof entry.text === 'string' &&
    typeof entry.size === 'number'
  );
}

function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
