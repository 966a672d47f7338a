import { every } from '../heartbeat';
import { HEARTBEAT_MS, HelpRequest } from '../help';
import { HelpMemory, sessionStorageOrNull } from '../helpmemory';

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

describe('HelpRequest', () => {
  it('is dismissed by news that cannot mean one before it', () => {
    const sent: string[] = [];
    const request = new HelpRequest(type => sent.push(type) > 0);
    expect(request.dismiss()).toBe(false);
    request.start();
    expect(request.dismiss()).toBe(false);
    jest.advanceTimersByTime(HEARTBEAT_MS);
    expect(request.dismiss()).toBe(true);
    expect(request.isOn).toBe(false);
    request.start();
    expect(request.dismiss()).toBe(false);
    expect(sent).toEqual(['help', 'help', 'help_stop', 'help']);
  });

  it('heeds no news while its first heartbeat waits', () => {
    let waits = false;
    const request = new HelpRequest(() => !waits);
    request.start();
    waits = true;
    jest.advanceTimersByTime(10 * HEARTBEAT_MS);
    expect(request.dismiss()).toBe(false);
    waits = false;
    jest.advanceTimersByTime(HEARTBEAT_MS);
    expect(request.dismiss()).toBe(true);
  });
});

describe('every', () => {
  class FakeWorker {
    static last: FakeWorker;
    onmessage: (() => void) | null = null;
    onerror: ((event: { preventDefault(): void }) => void) | null = null;
    isTerminated = false;
    constructor(readonly url: string) {
      FakeWorker.last = this;
    }
    terminate(): void {
      this.isTerminated = true;
    }
  }

  beforeEach(() => {
    Object.assign(globalThis, { Worker: FakeWorker });
    Object.assign(URL, { createObjectURL: () => 'blob:x', revokeObjectURL: () => undefined });
  });

  afterEach(() => {
    delete (globalThis as { Worker?: unknown }).Worker;
  });

  it("goes by a worker's clock", () => {
    const beat = jest.fn();
    const stop = every(1000, beat);
    jest.advanceTimersByTime(5000);
    expect(beat).toHaveBeenCalledTimes(0);
    FakeWorker.last.onmessage!();
    expect(beat).toHaveBeenCalledTimes(1);
    stop();
    expect(FakeWorker.last.isTerminated).toBe(true);
  });

  it("goes by the page's where a worker does not start", () => {
    const beat = jest.fn();
    const stop = every(1000, beat);
    const preventDefault = jest.fn();
    FakeWorker.last.onerror!({ preventDefault });
    FakeWorker.last.onerror!({ preventDefault });
    jest.advanceTimersByTime(2000);
    expect(beat).toHaveBeenCalledTimes(2);
    expect(preventDefault).toHaveBeenCalledTimes(2);
    stop();
    jest.advanceTimersByTime(2000);
    expect(beat).toHaveBeenCalledTimes(2);
  });

  it("goes by the page's where there are no workers", () => {
    delete (globalThis as { Worker?: unknown }).Worker;
    const beat = jest.fn();
    const stop = every(1000, beat);
    jest.advanceTimersByTime(1000);
    stop();
    jest.advanceTimersByTime(1000);
    expect(beat).toHaveBeenCalledTimes(1);
  });
});

describe('HelpMemory', () => {
  beforeEach(() => sessionStorage.clear());

  it('outlives a reload, but not long', () => {
    let now = 1000;
    const memory = () => new HelpMemory('key', sessionStorageOrNull(), () => now);
    memory().note('a.ipynb');
    now += 200_000;
    memory().note('b.ipynb');
    expect([memory().has('a.ipynb'), memory().has('b.ipynb')]).toEqual([true, true]);
    expect(memory().has('toString')).toBe(false);
    now += 200_000;
    expect([memory().has('a.ipynb'), memory().has('b.ipynb')]).toEqual([false, true]);
    memory().forget('b.ipynb');
    expect(sessionStorage.getItem('key')).toBe('{}');
  });

  it.each(['', 'null', '[1]', '{"a.ipynb": "x"}', '{'])('makes nothing of %j', stored => {
    sessionStorage.setItem('key', stored);
    expect(new HelpMemory('key', sessionStorage).has('a.ipynb')).toBe(false);
  });

  it('does without a storage', () => {
    const refuse = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    for (const storage of [null, { getItem: refuse, setItem: refuse }]) {
      const memory = new HelpMemory('key', storage);
      memory.note('a.ipynb');
      expect(memory.has('a.ipynb')).toBe(false);
    }
    const forbidden = jest.spyOn(window, 'sessionStorage', 'get').mockImplementation(refuse);
    expect(sessionStorageOrNull()).toBeNull();
    forbidden.mockRestore();
  });
});
