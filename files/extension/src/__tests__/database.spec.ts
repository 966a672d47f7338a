/** @jest-environment node */

import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';

import { DatabaseStore, openStore } from '../database';
import type { IEvent } from '../events';
import { FallbackStore, MemoryStore, pack, type IEntry, type IHead } from '../store';

const MANY = 1000;

let count = 0;
const entry = (code = ''): IEntry => pack({ eventId: `e${count++}`, code } as IEvent);
const entries = (number: number): IEntry[] => Array.from({ length: number }, () => entry());
const ids = (items: readonly IEntry[]): string[] => items.map(item => item.eventId);

let factory: IDBFactory;
let store: DatabaseStore;

beforeEach(() => {
  factory = new IDBFactory();
  store = page();
});

afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const page = (maxEvents?: number, maxBytes?: number) =>
  new DatabaseStore('a', factory, maxEvents, maxBytes);
const everything = (): Promise<IHead> => page().peek(MANY, Infinity);

/** Writes into the database what no version of ours would write. */
async function damage(work: (events: IDBObjectStore) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const request = factory.open('a');
    request.onerror = () => reject(request.error!);
    request.onsuccess = () => {
      const transaction = request.result.transaction('events', 'readwrite');
      transaction.oncomplete = () => {
        request.result.close();
        resolve();
      };
      work(transaction.objectStore('events'));
    };
  });
}

/** A request that fails, as for a value whose file is gone. */
function failing(request: IDBRequest<unknown>): object {
  return {
    set onerror(handler: (event: object) => void) {
      request.onsuccess = () => handler({ preventDefault: () => undefined });
    }
  };
}

describe('DatabaseStore', () => {
  it('gives events back in their order, also to the next page', async () => {
    const first = entries(3);
    const last = entry('é');
    expect(await store.add(first)).toMatchObject({ waiting: 3 });
    expect(await store.add([last])).toMatchObject({ waiting: 4 });
    const { items, waiting, dropped } = await everything();
    expect(items.map(({ eventId, text, size }) => ({ eventId, text, size }))).toEqual([
      ...first,
      last
    ]);
    expect([waiting, dropped]).toEqual([4, 0]);
    expect(last.size).toBe(last.text.length + 1);
  });

  it('removes what has arrived, in whatever page', async () => {
    const all = entries(5);
    const { keys } = await store.add(all);
    const { items } = await page().peek(2, Infinity);
    expect(items.map(item => item.key)).toEqual(keys.slice(0, 2));
    expect(await page().remove(items, 0)).toBe(3);
    expect(await store.remove(items, 0)).toBe(3);
    expect(ids((await everything()).items)).toEqual(ids(all.slice(2)));
  });

  it('takes no more at once than may be sent, but at least one', async () => {
    const large = [entry('x'.repeat(1000)), entry('x'.repeat(1000)), entry()];
    await store.add(large);
    expect(ids((await store.peek(MANY, 1)).items)).toEqual(ids(large.slice(0, 1)));
    expect(ids((await store.peek(MANY, 1500)).items)).toEqual(ids(large.slice(0, 1)));
    expect(ids((await store.peek(MANY, 2500)).items)).toEqual(ids(large));
    expect(ids((await store.peek(2, 2500)).items)).toEqual(ids(large.slice(0, 2)));
  });

  it('drops the oldest where there are too many, and remembers how many', async () => {
    const all = entries(7);
    await page(5).add(all.slice(0, 4));
    await page(5).add(all.slice(4));
    const { items, waiting, dropped } = await everything();
    expect(ids(items)).toEqual(ids(all.slice(2)));
    expect([waiting, dropped]).toEqual([5, 2]);
    await store.remove(items.slice(0, 1), 2);
    expect(await everything()).toMatchObject({ waiting: 4, dropped: 0 });
  });

  it('drops the oldest where they are too large', async () => {
    const all = [entry('x'.repeat(600)), entry('x'.repeat(600)), entry()];
    await page(MANY, 1000).add(all);
    const { items, dropped } = await everything();
    expect(ids(items)).toEqual(ids(all.slice(1)));
    expect(dropped).toBe(1);
  });

  it('leaves out what is damaged, and counts it as dropped', async () => {
    const all = entries(2);
    await store.add(all.slice(0, 1));
    await damage(events => {
      events.add({ eventId: 3 });
      events.add(null);
    });
    await store.add(all.slice(1));
    const { items, dropped } = await everything();
    expect(ids(items)).toEqual(ids(all));
    expect(dropped).toBe(2);
    await store.remove(items, 2);
    expect(await everything()).toEqual({ items: [], waiting: 0, dropped: 0 });
  });

  it('leaves out what the browser cannot read', async () => {
    const all = entries(3);
    const { keys } = await store.add(all);
    const get: (this: IDBObjectStore, key: IDBValidKey | IDBKeyRange) => IDBRequest =
      // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the spy's own
      IDBObjectStore.prototype.get;
    jest.spyOn(IDBObjectStore.prototype, 'get').mockImplementation(function (
      this: IDBObjectStore,
      key
    ) {
      const request = get.call(this, key);
      return key === keys[0] ? (failing(request) as never) : request;
    });
    const { items, dropped } = await store.peek(2, Infinity);
    expect(ids(items)).toEqual(ids(all.slice(1)));
    expect(dropped).toBe(1);
  });

  it('has no totals that contradict themselves', async () => {
    await store.add(entries(2));
    await damage(events => void events.clear());
    await page(1).add(entries(1));
    const { items } = await everything();
    await store.remove(items, 9);
    expect(await everything()).toMatchObject({ items: [], dropped: 0 });
  });

  it('opens the database again when the browser has closed it', async () => {
    await store.add(entries(1));
    const gone = new Promise(resolve => {
      factory.deleteDatabase('a').onsuccess = resolve;
    });
    await gone;
    expect(await store.add(entries(1))).toMatchObject({ waiting: 1 });
  });

  it('keeps apart what has different names', async () => {
    await new DatabaseStore('b', factory).add(entries(1));
    expect((await everything()).waiting).toBe(0);
  });

  it('adds quickly however many wait', async () => {
    const durations: number[] = [];
    for (let i = 0; i < 5; i++) {
      await store.add(entries(400));
      const start = performance.now();
      await store.add(entries(1));
      durations.push(performance.now() - start);
    }
    expect(Math.min(...durations.slice(3))).toBeLessThan(50);
  });
});

describe('openStore', () => {
  const sick = (open: () => unknown): void => {
    jest.replaceProperty(globalThis, 'indexedDB', { open } as never);
  };

  it('keeps events in the database', async () => {
    const first = openStore('c');
    await first.add(entries(2));
    expect(first.isPersistent).toBe(true);
    expect((await openStore('c').peek(MANY, Infinity)).waiting).toBe(2);
  });

  it('keeps them in the page where the browser has no database', async () => {
    const all = entries(2);
    sick(() => {
      throw new DOMException('private', 'SecurityError');
    });
    const memory = openStore('d');
    expect(await memory.add(all)).toMatchObject({ waiting: 2 });
    expect(memory.isPersistent).toBe(false);
    const { items } = await memory.peek(MANY, Infinity);
    expect(ids(items)).toEqual(ids(all));
    expect(await memory.remove(items, 0)).toBe(0);
  });

  it('keeps them in the page where a newer version has made the database', async () => {
    await new Promise(resolve => {
      const request = indexedDB.open('e', 7);
      request.onsuccess = () => {
        request.result.close();
        resolve(null);
      };
    });
    const memory = openStore('e');
    expect(await memory.add(entries(1))).toMatchObject({ waiting: 1 });
    expect(memory.isPersistent).toBe(false);
  });

  it('waits for a database that never opens, but not for ever', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    sick(() => ({}));
    const memory = openStore('f');
    const added = [memory.add(entries(1)), memory.add(entries(1))];
    await jest.advanceTimersByTimeAsync(5000);
    expect(await Promise.all(added)).toMatchObject([{ waiting: 1 }, { waiting: 2 }]);
    expect(await memory.add(entries(1))).toMatchObject({ waiting: 3 });
  });
});

describe('FallbackStore', () => {
  it('keeps in the page what the database has no room for, and goes back to it', async () => {
    const all = entries(4);
    const both = new FallbackStore(store, new MemoryStore());
    await both.add(all.slice(0, 1));
    const add = jest.spyOn(IDBObjectStore.prototype, 'add').mockImplementation(() => {
      throw new DOMException('full', 'QuotaExceededError');
    });
    expect(await both.add(all.slice(1, 3))).toEqual({ keys: [Infinity, Infinity], waiting: 3 });
    expect(both.isPersistent).toBe(false);
    add.mockRestore();
    expect(await both.add(all.slice(3))).toMatchObject({ waiting: 4 });
    expect(both.isPersistent).toBe(true);

    const kept = await both.peek(MANY, Infinity);
    expect(ids(kept.items)).toEqual(ids([all[0]!, all[3]!]));
    expect(await both.remove(kept.items, 0)).toBe(2);
    const spare = await both.peek(MANY, Infinity);
    expect(ids(spare.items)).toEqual(ids(all.slice(1, 3)));
    expect(await both.remove(spare.items, 0)).toBe(0);
  });

  it('tells of each store what that one has dropped', async () => {
    const first = page(1);
    const both = new FallbackStore(first, new MemoryStore(1));
    await both.add(entries(3));
    jest.spyOn(first, 'add').mockRejectedValue(new Error('full'));
    await both.add(entries(2));
    const kept = await both.peek(MANY, Infinity);
    expect(kept.dropped).toBe(2);
    await both.remove(kept.items, 2);
    const spare = await both.peek(MANY, Infinity);
    expect(spare.dropped).toBe(1);
    await both.remove(spare.items, 1);
    expect(await both.peek(MANY, Infinity)).toEqual({ items: [], waiting: 0, dropped: 0 });
  });
});
