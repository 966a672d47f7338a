import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import {
  askServer,
  isNewNotice,
  NoticeBoard,
  POLL_MS,
  readNotice,
  showNotice,
  SLOWEST_POLL_MS,
  type INotice
} from '../notice';

interface IEmitted {
  text: string;
  type: string;
  options: { autoClose: unknown; actions: { callback: () => void }[] };
}

const mockLab = {
  emitted: [] as IEmitted[],
  dismissed: [] as string[],
  dialogs: [] as { body: string }[],
  urls: [] as string[],
  answer: {} as object
};

jest.mock('@jupyterlab/apputils', () => ({
  Dialog: { okButton: () => ({}) },
  Notification: {
    emit: (text: string, type: string, options: IEmitted['options']) => {
      mockLab.emitted.push({ text, type, options });
      return 'n';
    },
    dismiss: (id: string) => mockLab.dismissed.push(id)
  },
  showDialog: (dialog: { body: string }) => {
    mockLab.dialogs.push(dialog);
    return Promise.resolve();
  }
}));
jest.mock('@jupyterlab/coreutils', () => ({
  PageConfig: { getBaseUrl: () => '/user/a/' },
  URLExt: { join: (...parts: string[]) => parts.map(part => part.replace(/\/$/, '')).join('/') }
}));
jest.mock('@jupyterlab/services', () => ({
  ServerConnection: {
    makeRequest: (url: string) => {
      mockLab.urls.push(url);
      return Promise.resolve(mockLab.answer);
    }
  }
}));

const trans = {
  __: (text: string, value: unknown) => text.replace('%1', String(value))
} as unknown as TranslationBundle;

const notice = (fields: Partial<INotice> = {}): INotice => ({
  id: 'a',
  message: 'saving locally',
  until: null,
  severity: 'info',
  ...fields
});

let hidden: boolean;

beforeEach(() => {
  jest.useFakeTimers({ now: new Date('2026-11-24T10:00:00') });
  hidden = false;
  jest.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
  jest.spyOn(Math, 'random').mockReturnValue(0.5);
  mockLab.emitted = [];
  mockLab.dismissed = [];
  mockLab.dialogs = [];
  mockLab.urls = [];
  localStorage.clear();
});

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const pass = (milliseconds: number): Promise<void> => jest.advanceTimersByTimeAsync(milliseconds);

describe('NoticeBoard', () => {
  let answer: () => INotice | null | undefined;
  let asked: number;
  let up: string[];
  let away: boolean;

  async function start(): Promise<void> {
    new NoticeBoard({
      ask: () => {
        asked += 1;
        return Promise.resolve().then(() => answer());
      },
      show: ({ id }) => {
        up.push(id);
        return () => {
          up = up.filter(other => other !== id);
        };
      },
      isNew: isNewNotice,
      isAway: () => away
    }).start();
    await pass(0);
  }

  beforeEach(() => {
    asked = 0;
    up = [];
    away = false;
    answer = () => null;
  });

  it('asks from time to time, and shows what is new', async () => {
    await start();
    expect(up).toEqual([]);
    answer = () => notice();
    await pass(POLL_MS);
    expect(up).toEqual(['a']);
    answer = () => notice({ id: 'b' });
    await pass(POLL_MS);
    expect(up).toEqual(['b']);
    expect(asked).toBe(3);
  });

  it('shows a notice once, also over a reload', async () => {
    answer = () => notice();
    await start();
    up = [];
    await pass(3 * POLL_MS);
    await start();
    expect(up).toEqual([]);
  });

  it('takes down what has been withdrawn', async () => {
    answer = () => notice();
    await start();
    answer = () => null;
    await pass(POLL_MS);
    expect(up).toEqual([]);
  });

  it('takes down a notice at its end, and shows none that has ended', async () => {
    const until = new Date(Date.now() + 10_000);
    answer = () => notice({ until });
    await start();
    await pass(9_999);
    expect(up).toEqual(['a']);
    await pass(1);
    expect(up).toEqual([]);
    answer = () => notice({ id: 'b', until });
    await pass(POLL_MS);
    expect(up).toEqual([]);
  });

  it('does not ask while nobody looks, and at once when somebody does', async () => {
    hidden = true;
    await start();
    await pass(10 * POLL_MS);
    expect(asked).toBe(0);
    hidden = false;
    document.dispatchEvent(new Event('visibilitychange'));
    document.dispatchEvent(new Event('visibilitychange'));
    await pass(0);
    expect(asked).toBe(1);
  });

  it('asks ever more seldom where nobody answers', async () => {
    answer = () => {
      throw new TypeError('Failed to fetch');
    };
    await start();
    await pass(4 * 3_600_000);
    expect(asked).toBeLessThan(22);
    answer = () => notice();
    await pass(SLOWEST_POLL_MS);
    expect(up).toEqual(['a']);
  });

  it('does not ask a server that is away, nor one that knows no notices', async () => {
    away = true;
    await start();
    await pass(POLL_MS / 2);
    expect(asked).toBe(0);
    away = false;
    answer = () => undefined;
    await pass(10 * POLL_MS);
    expect(asked).toBe(1);
  });
});

describe('askServer', () => {
  const ask = (status: number, body?: unknown) => {
    mockLab.answer = { status, json: () => Promise.resolve(body) };
    return askServer({ baseUrl: 'http://lab/user/a/' } as ServerConnection.ISettings);
  };

  it('does not count as activity', async () => {
    expect(await ask(200, { id: 'a', message: 'm', until: null, severity: 'warning' })).toEqual(
      notice({ message: 'm', severity: 'warning' })
    );
    expect(mockLab.urls).toEqual(['http://lab/user/a/cell-monitor/notice?no_track_activity=1']);
  });

  it('tells none from never and not now', async () => {
    expect(await ask(204)).toBeNull();
    expect(await ask(404)).toBeUndefined();
    await expect(ask(403)).rejects.toThrow();
  });
});

describe('readNotice', () => {
  it('reads the end of a notice', () => {
    const until = '2026-11-24T10:30:00+09:00';
    expect(readNotice({ id: 'a', message: ' m ', until })).toEqual(
      notice({ message: 'm', until: new Date(until) })
    );
    expect(readNotice({ id: 'a', message: 'm', until: 'soon' })).toMatchObject({ until: null });
  });

  it.each([null, 3, {}, { id: 'a' }, { id: 'a', message: '  ' }, { message: 'm' }])(
    'takes %j for none',
    body => {
      expect(readNotice(body)).toBeNull();
    }
  );
});

describe('showNotice', () => {
  it('shows a notice until it is taken down', () => {
    const hide = showNotice(trans, notice({ severity: 'warning' }));
    expect(mockLab.emitted).toEqual([
      { text: 'saving locally', type: 'warning', options: { autoClose: false, actions: [] } }
    ]);
    hide();
    expect(mockLab.dismissed).toEqual(['n']);
  });

  it('says the end in the way of the user', () => {
    const until = new Date('2026-11-24T10:30:00');
    showNotice(trans, notice({ until }));
    const time = until.toLocaleTimeString([], { timeStyle: 'short' });
    expect(mockLab.emitted[0]!.text).toBe(`saving locally\nUntil ${time}`);
    showNotice(trans, notice({ until: new Date('2026-12-25T10:30:00') }));
    expect(mockLab.emitted[1]!.text).toContain('25');
  });

  it('cuts what is too long, and shows it on demand', () => {
    const message = 'x'.repeat(500);
    showNotice(trans, notice({ message, until: new Date('2026-11-24T10:30:00') }));
    const { text, options } = mockLab.emitted[0]!;
    expect(text.length).toBe(140);
    expect(text).toMatch(/…\nUntil/);
    options.actions[0]!.callback();
    expect(mockLab.dialogs[0]!.body).toContain(message);
  });
});

describe('isNewNotice', () => {
  it('remembers the latest', () => {
    for (let i = 0; i < 30; i++) {
      expect(isNewNotice(`${i}`)).toBe(true);
      expect(isNewNotice(`${i}`)).toBe(false);
    }
    expect(localStorage.getItem('cell-monitor:notices:/user/a/')!.length).toBeLessThan(200);
  });

  it('survives a browser that remembers nothing, or nonsense', () => {
    localStorage.setItem('cell-monitor:notices:/user/a/', '{"a":1}');
    expect(isNewNotice('a')).toBe(true);
    expect(isNewNotice('a')).toBe(false);
    jest.spyOn(Storage.prototype, 'getItem').mockImplementation(() => {
      throw new DOMException('no', 'SecurityError');
    });
    expect(isNewNotice('b')).toBe(true);
  });
});
