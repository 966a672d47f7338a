import { webcrypto } from 'crypto';

import { EventFactory } from '../events';

beforeAll(() => {
  Object.defineProperty(globalThis, 'crypto', { value: webcrypto });
});

const reporter = { emailAddress: 'taro@example.com', userName: '太郎', teamName: 'チームA' };

describe('EventFactory', () => {
  it('fills the fields of all events and no others', () => {
    const factory = new EventFactory(() => Date.UTC(2026, 10, 23, 1, 2, 3, 4));
    const event = factory.create('help', reporter, 'class/a.ipynb');
    expect(event).toEqual({
      eventId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      eventType: 'help',
      eventTime: '2026-11-23T01:02:03.004Z',
      ...reporter,
      sessionId: factory.sessionId,
      notebookPath: 'class/a.ipynb'
    });
  });

  it('adds an execution, and gives each event an id of its own in one session', () => {
    const factory = new EventFactory();
    const execution = {
      cellId: 'c',
      code: '',
      hasError: false,
      result: '',
      executionDurationMs: 0
    };
    const first = factory.create('cell_executed', reporter, 'a.ipynb', execution);
    const second = factory.create('cell_executed', reporter, 'a.ipynb', execution);
    expect(first).toMatchObject(execution);
    expect(second.eventId > first.eventId).toBe(true);
    expect(second.sessionId).toBe(first.sessionId);
    expect(new EventFactory().sessionId).not.toBe(factory.sessionId);
  });
});
