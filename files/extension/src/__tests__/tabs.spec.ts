/** @jest-environment node */

import { openTabs } from '../tabs';

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}

beforeEach(() => {
  define('navigator', undefined);
  define('BroadcastChannel', undefined);
});

describe('openTabs', () => {
  it('takes turns by a lock', async () => {
    const names: string[] = [];
    const request = (name: string, task: () => Promise<unknown>) => {
      names.push(name);
      return task();
    };
    define('navigator', { locks: { request } });
    const tabs = openTabs('n', () => undefined);
    expect(await tabs.alone(() => Promise.resolve(1))).toBe(1);
    expect(names).toEqual(['n']);
    const failing = jest.fn(() => Promise.reject(new Error('task')));
    await expect(tabs.alone(failing)).rejects.toThrow('task');
    expect(failing).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['has no locks', {}],
    ['gives none', { locks: { request: () => Promise.reject(new Error('SecurityError')) } }]
  ])('goes its own way where the browser %s', async (_, browser) => {
    define('navigator', browser);
    expect(await openTabs('n', () => undefined).alone(() => Promise.resolve(1))).toBe(1);
  });

  it('tells the other pages', () => {
    class Channel {
      static readonly all: Channel[] = [];
      onmessage = (): void => undefined;
      constructor(readonly name: string) {
        Channel.all.push(this);
      }
      postMessage(): void {
        Channel.all.forEach(
          other => other !== this && other.name === this.name && other.onmessage()
        );
      }
    }
    define('BroadcastChannel', Channel);
    const [first, second, foreign] = [jest.fn(), jest.fn(), jest.fn()];
    const tabs = openTabs('n', first);
    openTabs('n', second);
    openTabs('m', foreign);
    tabs.announce();
    expect([first, second, foreign].map(mock => mock.mock.calls.length)).toEqual([0, 1, 0]);
  });

  it('has nobody to tell where there is no channel', () => {
    expect(() => openTabs('n', () => undefined).announce()).not.toThrow();
  });
});
