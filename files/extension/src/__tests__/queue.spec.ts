import type { IEvent } from '../events';
import {
  EventQueue,
  MAX_BATCH,
  MAX_WAITING,
  MemoryStore,
  type ISender,
  type Outcome
} from '../queue';

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

class Sender implements ISender {
  retries = Infinity;
  sent: string[][] = [];
  flushed: string[][] = [];
  answer: (events: readonly IEvent[], attempt: number) => Outcome = () => ({ kind: 'accepted' });

  send(events: readonly IEvent[]): Promise<Outcome> {
    this.sent.push(events.map(item => item.eventId));
    return Promise.resolve(this.answer(events, this.sent.length));
  }

  flush(events: readonly IEvent[]): void {
    this.flushed.push(events.map(item => item.eventId));
  }
}

let sender: Sender;
let lost: number;
let queue: EventQueue;

beforeEach(() => {
  jest.useFakeTimers();
  sender = new Sender();
  lost = 0;
  queue = new EventQueue(sender, undefined, number => (lost += number));
});

afterEach(() => {
  jest.useRealTimers();
});

const push = (number: number): string[] =>
  Array.from({ length: number }, () => {
    const item = event();
    queue.push(item);
    return item.eventId;
  });

describe('EventQueue', () => {
  it('gathers events and sends them in their order', async () => {
    const ids = push(MAX_BATCH + 3);
    expect(sender.sent).toEqual([]);
    await jest.advanceTimersByTimeAsync(1000);
    expect(sender.sent).toEqual([ids.slice(0, MAX_BATCH), ids.slice(MAX_BATCH)]);
    const later = push(1);
    await jest.advanceTimersByTimeAsync(1000);
    expect(sender.sent.at(-1)).toEqual(later);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('sends the same events again, ever more slowly, and those behind them later', async () => {
    const times: number[] = [];
    sender.answer = (_, attempt) => {
      times.push(Date.now());
      return { kind: attempt <= 12 ? 'failed' : 'accepted' };
    };
    const ids = push(2);
    await jest.advanceTimersByTimeAsync(600_000);
    expect(sender.sent).toEqual(Array.from({ length: 13 }, () => ids));
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    expect(pauses[0]).toBeGreaterThanOrEqual(250);
    expect(pauses[0]).toBeLessThanOrEqual(500);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(30_000);
    expect(lost).toBe(0);
  });

  it('waits as long as it is asked to', async () => {
    sender.answer = (_, attempt) =>
      attempt === 1 ? { kind: 'failed', retryAfterMs: 20_000 } : { kind: 'accepted' };
    push(1);
    await jest.advanceTimersByTimeAsync(19_000);
    expect(sender.sent).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(2000);
    expect(sender.sent).toHaveLength(2);
  });

  it.each([0, 1, 3])('gives a batch up after %d retries', async retries => {
    sender.retries = retries;
    sender.answer = () => ({ kind: 'failed' });
    push(2);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(sender.sent).toHaveLength(retries + 1);
    expect(lost).toBe(2);
    sender.answer = () => ({ kind: 'accepted' });
    const ids = push(1);
    await jest.advanceTimersByTimeAsync(1000);
    expect(sender.sent.at(-1)).toEqual(ids);
  });

  it('drops only the event that is refused', async () => {
    const ids = push(20);
    const accepted: string[] = [];
    sender.answer = events => {
      if (events.some(item => item.eventId === ids[13])) {
        return { kind: 'refused' };
      }
      accepted.push(...events.map(item => item.eventId));
      return { kind: 'accepted' };
    };
    await jest.advanceTimersByTimeAsync(5000);
    expect(accepted).toEqual(ids.filter(id => id !== ids[13]));
    expect(lost).toBe(1);
  });

  it('waits while it is unable, until it is woken', async () => {
    sender.answer = () => ({ kind: 'unable' });
    push(1);
    await jest.advanceTimersByTimeAsync(1000);
    expect(sender.sent).toHaveLength(1);
    sender.answer = () => ({ kind: 'accepted' });
    queue.wake();
    await jest.advanceTimersByTimeAsync(1);
    expect(sender.sent).toHaveLength(2);
    queue.wake();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('makes requests of a reasonable size', async () => {
    const large = [1, 2, 3].map(() => event({ code: 'x'.repeat(250_000), result: 'y' }));
    large.forEach(item => queue.push(item));
    await jest.advanceTimersByTimeAsync(1000);
    expect(sender.sent).toEqual(large.map(item => [item.eventId]));
  });

  it('survives a store and a sender that fail', async () => {
    const store = new MemoryStore();
    const failing = new EventQueue(sender, store);
    jest.spyOn(store, 'peek').mockRejectedValueOnce(new Error('no'));
    jest.spyOn(store, 'add').mockRejectedValueOnce(new Error('no'));
    failing.push(event());
    failing.push(event());
    await jest.advanceTimersByTimeAsync(61_000);
    expect(sender.sent).toHaveLength(1);
  });

  it('hands over everything that waits when the page goes away', async () => {
    sender.answer = () => ({ kind: 'failed' });
    const ids = push(MAX_BATCH + 1);
    await jest.advanceTimersByTimeAsync(200);
    queue.flush();
    expect(sender.flushed).toEqual([ids.slice(0, MAX_BATCH), ids.slice(MAX_BATCH)]);
  });

  it('hands over nothing that has arrived', async () => {
    push(3);
    await jest.advanceTimersByTimeAsync(1000);
    queue.flush();
    expect(sender.flushed).toEqual([]);
  });

  it('has a limit, and forgets the oldest', async () => {
    sender.answer = () => ({ kind: 'failed' });
    const ids = push(MAX_WAITING + 1);
    queue.flush();
    expect(sender.flushed.flat()).toEqual(ids.slice(1));
    await jest.advanceTimersByTimeAsync(200);
    expect(sender.sent[0]![0]).toBe(ids[1]);
  });
});
