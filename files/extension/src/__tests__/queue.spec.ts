import type { IEvent } from '../events';
import {
  EventQueue,
  LONGEST_PAUSE_MS,
  MAX_BATCH,
  REST_MS,
  type IQueueState,
  type ISender,
  type Outcome
} from '../queue';
import { MemoryStore, type IItem } from '../store';
import type { ITabs } from '../tabs';

let count = 0;
const event = (fields: Partial<IEvent> = {}): IEvent => ({
  eventId: `e${count++}`,
  eventType: 'cell_executed',
  eventTime: '2026-11-23T01:02:03.004Z',
  emailAddress: 'taro@example.com',
  userName: '太郎',
  teamName: 'チームA',
  sessionId: 's',
  notebookPath: 'a.ipynb',
  ...fields
});

const ACCEPTED: Outcome = { kind: 'accepted', dismissed: [] };
const FAILED: Outcome = { kind: 'failed' };

class Sender implements ISender {
  retries = Infinity;
  tellsDropped = true;
  sent: string[][] = [];
  dropped: number[] = [];
  times: number[] = [];
  flushed: string[] = [];
  answer: (items: readonly IItem[], attempt: number) => Outcome = () => ACCEPTED;

  send(items: readonly IItem[], dropped: number): Promise<Outcome> {
    this.sent.push(items.map(item => item.eventId));
    this.dropped.push(dropped);
    this.times.push(Date.now());
    return Promise.resolve(this.answer(items, this.sent.length));
  }

  flush(texts: readonly string[]): void {
    this.flushed.push(...texts.map(text => (JSON.parse(text) as IEvent).eventId));
  }
}

let sender: Sender;
let store: MemoryStore;
let said: string[];
let queue: EventQueue;

beforeAll(async () => {
  const { TextEncoder } = await import('util');
  Object.assign(globalThis, { TextEncoder });
});

beforeEach(() => {
  jest.useFakeTimers();
  sender = new Sender();
  store = new MemoryStore();
  said = [];
  queue = new EventQueue(sender, {
    store,
    onLost: () => said.push('lost'),
    onDelayed: () => said.push('delayed'),
    onDismissed: ids => said.push(...ids)
  });
});

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const push = (number: number): string[] =>
  Array.from({ length: number }, () => {
    const item = event();
    queue.push(item);
    return item.eventId;
  });

const pass = (milliseconds: number): Promise<void> => jest.advanceTimersByTimeAsync(milliseconds);

describe('EventQueue', () => {
  it('gathers events and sends them in their order', async () => {
    const ids = push(MAX_BATCH + 3);
    expect(sender.sent).toEqual([]);
    await pass(1000);
    expect(sender.sent).toEqual([ids.slice(0, MAX_BATCH), ids.slice(MAX_BATCH)]);
    const later = push(1);
    await pass(1000);
    expect(sender.sent.at(-1)).toEqual(later);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('takes what comes while it sends', async () => {
    let later: string[] = [];
    sender.answer = (_, attempt) => {
      later = attempt === 1 ? push(1) : later;
      return ACCEPTED;
    };
    const first = push(1);
    await pass(1000);
    expect(sender.sent).toEqual([first, later]);
  });

  it('sends what an earlier page left', async () => {
    sender.answer = () => FAILED;
    const ids = push(3);
    await pass(200);
    const next = new Sender();
    new EventQueue(next, { store }).wake();
    await pass(0);
    expect(next.sent).toEqual([ids]);
  });

  it('sends the same events again, ever more slowly, and those behind them later', async () => {
    sender.answer = (_, attempt) => (attempt <= 12 ? FAILED : ACCEPTED);
    const ids = push(2);
    await pass(600_000);
    expect(sender.sent).toEqual(Array.from({ length: 13 }, () => ids));
    const pauses = sender.times.slice(1).map((time, i) => time - sender.times[i]!);
    expect(pauses[0]).toBeGreaterThanOrEqual(500);
    expect(pauses[0]).toBeLessThanOrEqual(1000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(LONGEST_PAUSE_MS);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(LONGEST_PAUSE_MS / 2);
    expect(said).toEqual([]);
  });

  it('waits as long as it is asked to, and not in step with others', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.5);
    sender.answer = (_, attempt) =>
      attempt === 1 ? { kind: 'failed', retryAfterMs: 20_000 } : ACCEPTED;
    push(1);
    await pass(60_000);
    expect(sender.times[1]! - sender.times[0]!).toBe(25_000);
  });

  it.each([0, 1, 3])('rests after %d retries, says so once, and loses nothing', async retries => {
    sender.retries = retries;
    sender.answer = () => FAILED;
    const ids = push(2);
    await pass(REST_MS / 2 - 1000);
    expect(sender.sent).toHaveLength(retries + 1);
    await pass(3 * REST_MS);
    expect(said).toEqual(['delayed']);
    expect(sender.sent.length).toBeLessThanOrEqual(retries + 8);
    sender.answer = () => ACCEPTED;
    await pass(REST_MS);
    expect(sender.sent.at(-1)).toEqual(ids);
    expect(queue.state).toEqual({ waiting: 0, offline: false });
  });

  it('hardly tries where the browser has no network', async () => {
    jest.spyOn(navigator, 'onLine', 'get').mockReturnValue(false);
    sender.answer = () => FAILED;
    push(1);
    await pass(REST_MS / 2 - 1000);
    expect(sender.sent).toHaveLength(1);
  });

  it('drops only the event that is refused', async () => {
    const ids = push(20);
    const accepted: string[] = [];
    sender.answer = items => {
      if (items.some(item => item.eventId === ids[13])) {
        return { kind: 'refused' };
      }
      accepted.push(...items.map(item => item.eventId));
      return ACCEPTED;
    };
    await pass(5000);
    expect(accepted).toEqual(ids.filter(id => id !== ids[13]));
    expect(said).toEqual(['lost']);
  });

  it('waits while it is unable, until it is woken', async () => {
    sender.answer = () => ({ kind: 'unable' });
    push(1);
    await pass(1000);
    expect(sender.sent).toHaveLength(1);
    expect(queue.state).toEqual({ waiting: 1, offline: true });
    sender.answer = () => ACCEPTED;
    queue.wake();
    await pass(1);
    expect(sender.sent).toHaveLength(2);
    queue.wake();
    await pass(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('tries again at once when it is woken in the middle of a failure', async () => {
    sender.answer = (_, attempt) => {
      queue.wake();
      return attempt === 1 ? FAILED : ACCEPTED;
    };
    push(1);
    await pass(101);
    expect(sender.sent).toHaveLength(2);
  });

  it('makes requests of a reasonable size', async () => {
    const large = [1, 2, 3].map(() => event({ code: 'é'.repeat(250_000) }));
    large.forEach(item => queue.push(item));
    await pass(1000);
    expect(sender.sent).toEqual(large.map(item => [item.eventId]));
  });

  it('survives a store that fails', async () => {
    jest.spyOn(store, 'peek').mockRejectedValueOnce(new Error('no'));
    jest.spyOn(store, 'add').mockRejectedValueOnce(new Error('no'));
    push(1);
    await pass(1);
    const ids = push(1);
    await pass(LONGEST_PAUSE_MS + 1000);
    expect(sender.sent).toEqual([ids]);
  });

  it('does not send again and again what it cannot remove', async () => {
    jest.spyOn(store, 'remove').mockRejectedValueOnce(new Error('no'));
    push(1);
    await pass(LONGEST_PAUSE_MS - 1000);
    expect(sender.sent).toHaveLength(1);
    await pass(2000);
    expect(sender.sent).toHaveLength(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('hands over the latest when the page goes away, also what is not in the store', async () => {
    sender.answer = () => FAILED;
    const ids = push(MAX_BATCH + 1);
    await pass(200);
    const last = push(1);
    queue.flush();
    expect(sender.flushed).toEqual([...ids.slice(2), ...last]);
  });

  it('hands over nothing that has arrived', async () => {
    const [id] = push(3);
    expect(queue.isWaiting(id!)).toBe(true);
    await pass(1000);
    expect(queue.isWaiting(id!)).toBe(false);
    const flush = jest.spyOn(sender, 'flush');
    queue.flush();
    expect(flush).not.toHaveBeenCalled();
  });

  it('tells how many it had no room for, until that has arrived', async () => {
    store = new MemoryStore(5);
    queue = new EventQueue(sender, { store });
    sender.answer = (_, attempt) => (attempt === 1 ? FAILED : ACCEPTED);
    push(8);
    await pass(2000);
    push(1);
    await pass(2000);
    expect(sender.dropped).toEqual([3, 3, 0]);
  });

  it('says how it goes', async () => {
    const states: IQueueState[] = [];
    queue.stateChanged.connect((_, state) => states.push(state));
    sender.answer = (_, attempt) => (attempt === 1 ? FAILED : ACCEPTED);
    push(1);
    await pass(2000);
    expect(states).toEqual([
      { waiting: 1, offline: false },
      { waiting: 1, offline: true },
      { waiting: 0, offline: true },
      { waiting: 0, offline: false }
    ]);
    expect(queue.isPersistent).toBe(false);
  });

  it('passes on which requests for help were dismissed', async () => {
    sender.answer = () => ({ kind: 'accepted', dismissed: ['s'] });
    push(1);
    await pass(1000);
    expect(said).toEqual(['s']);
  });
});

describe('the pages of one browser', () => {
  /** Web Locks and a BroadcastChannel, as far as they matter here. */
  class Browser {
    open(): { queue: EventQueue; sender: Sender } {
      const page = new Sender();
      page.answer = () => this.answer();
      const tabs: ITabs = {
        alone: task => {
          const turn = this._turn.then(task);
          this._turn = turn.catch(() => undefined);
          return turn;
        },
        announce: () => this._queues.forEach(other => other !== opened && other.wake())
      };
      const opened = new EventQueue(page, { store, tabs });
      this._queues.push(opened);
      return { queue: opened, sender: page };
    }

    answer = (): Outcome => ACCEPTED;
    private _turn: Promise<unknown> = Promise.resolve();
    private readonly _queues: EventQueue[] = [];
  }

  it('send in turns, each event once', async () => {
    const browser = new Browser();
    const pages = [browser.open(), browser.open()];
    const pushed: string[] = [];
    for (let i = 0; i < 20; i++) {
      for (const page of pages) {
        const item = event();
        pushed.push(item.eventId);
        page.queue.push(item);
      }
      await pass(70);
    }
    await pass(1000);
    const sent = pages.flatMap(page => page.sender.sent.flat());
    expect(sent.sort()).toEqual(pushed.sort());
    pages.forEach(page => expect(page.queue.state.waiting).toBe(0));
  });

  it('wake each other when the way out is open again', async () => {
    const browser = new Browser();
    const [first, second] = [browser.open(), browser.open()];
    browser.answer = () => FAILED;
    first.queue.push(event());
    second.queue.push(event());
    await pass(200_000);
    expect(second.queue.state.offline).toBe(true);
    browser.answer = () => ACCEPTED;
    first.queue.wake();
    await pass(10);
    expect(second.queue.state).toEqual({ waiting: 0, offline: false });
  });
});
