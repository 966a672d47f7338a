import { OtherPages } from '../pages';

jest.mock('@jupyterlab/coreutils', () => ({ PageConfig: { getBaseUrl: () => '/user/taro/' } }));

/** A browser's channel, as far as it is used. */
class Channel {
  static readonly all: Channel[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly name: string) {
    Channel.all.push(this);
  }

  postMessage(data: unknown): void {
    for (const other of Channel.all) {
      if (other !== this) {
        other.onmessage?.({ data });
      }
    }
  }
}

const shared = globalThis as { BroadcastChannel?: unknown };

afterEach(() => {
  delete shared.BroadcastChannel;
});

it('tells the other pages of a change, and no more than once', () => {
  shared.BroadcastChannel = Channel;
  const stored = { userName: '' };
  const reloads = [0, 0, 0];
  const pages = reloads.map(
    (_, index) =>
      new OtherPages(() => {
        reloads[index]!++;
        pages[index]!.see(stored);
      })
  );
  pages.forEach(page => page.see(stored));
  expect(reloads).toEqual([0, 0, 0]);
  stored.userName = '太郎';
  pages[1]!.see(stored);
  expect(reloads).toEqual([1, 0, 1]);
  expect(Channel.all[0]!.name).toBe('cell-monitor:settings:/user/taro/');
});

it('does without where the browser has no channels', () => {
  const page = new OtherPages(() => fail('nobody can have told'));
  page.see({ a: 1 });
  expect(() => page.see({ a: 2 })).not.toThrow();
});
