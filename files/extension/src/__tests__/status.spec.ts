import type { TranslationBundle } from '@jupyterlab/translation';
import { MessageLoop } from '@lumino/messaging';

import type * as Status from '../status';

const trans = {
  __: (text: string, ...values: unknown[]) =>
    text.replace(/%(\d)/g, (_, index) => String(values[Number(index) - 1]))
} as unknown as TranslationBundle;

const PATIENCE_MS = 2000;
const FINE: Status.IStatus = { waiting: 0, offline: false, isPersistent: true, missing: null };

let inWords: typeof Status.describe;
let StatusItem: typeof Status.StatusItem;
let status: Status.IStatus | null;
let clicks: number;
let item: Status.StatusItem;

beforeAll(async () => {
  // Lumino derives from it, and jsdom has none.
  Object.assign(globalThis, { DragEvent: class {} });
  ({ describe: inWords, StatusItem } = await import('../status'));
});

beforeEach(() => {
  jest.useFakeTimers();
  clicks = 0;
  item = new StatusItem(
    trans,
    () => status,
    () => (clicks += 1)
  );
});

afterEach(() => {
  jest.useRealTimers();
});

function show(change: Partial<Status.IStatus> | null): string {
  status = change && { ...FINE, ...change };
  item.update();
  MessageLoop.flush();
  return visible();
}

const live = (): HTMLElement => item.node.querySelector('[role=status]')!;
const visible = (): string => item.node.textContent.replace(live().textContent, '');

function pass(milliseconds: number): string {
  jest.advanceTimersByTime(milliseconds);
  MessageLoop.flush();
  return visible();
}

describe('describe', () => {
  it.each([
    [{}, 'sent', 'Sent'],
    [{ offline: true }, 'sent', 'Sent'],
    [{ waiting: 3 }, 'waiting', '3 waiting'],
    [{ waiting: 3, offline: true }, 'offline', 'Offline (3 waiting)'],
    [{ waiting: 3, missing: 'team' as const }, 'silent', 'Not reporting']
  ])('puts %j into words', (change, kind, text) => {
    expect(inWords(trans, { ...FINE, ...change })).toMatchObject({ kind, text });
  });

  it('explains', () => {
    const explain = (change: Partial<Status.IStatus>) =>
      inWords(trans, { ...FINE, ...change }).explanation;
    expect(explain({ waiting: 1 })).toContain('Saved in this browser');
    expect(explain({ waiting: 1, isPersistent: false })).toContain('while this page is open');
    expect(explain({ missing: 'identity' })).toContain('who you are');
    expect(explain({ missing: 'team' })).toContain('your team');
  });
});

describe('StatusItem', () => {
  it('says nothing before it knows', () => {
    expect(show(null)).toBe('');
  });

  it('does not mention what passes at once', () => {
    expect(show({})).toBe('Sent');
    expect(show({ waiting: 1 })).toBe('Sent');
    expect(show({})).toBe('Sent');
    expect(pass(PATIENCE_MS)).toBe('Sent');
  });

  it('says what takes longer, and each change from then on', () => {
    show({});
    show({ waiting: 1 });
    show({ waiting: 2, offline: true });
    expect(pass(PATIENCE_MS - 1)).toBe('Sent');
    expect(pass(1)).toBe('Offline (2 waiting)');
    expect(item.node.title).toContain('Saved in this browser');
    expect(show({ waiting: 3, offline: true })).toBe('Offline (3 waiting)');
    expect(show({})).toBe('Sent');
  });

  it('is not chatty', () => {
    show({});
    expect(live().textContent).toBe('');
    show({ waiting: 1, offline: true });
    pass(PATIENCE_MS);
    const said = live().firstChild;
    expect(live().textContent).toContain('Saved in this browser');
    show({ waiting: 2, offline: true });
    expect(live().firstChild).toBe(said);
  });

  it('can be clicked where something is missing only', () => {
    show({ missing: 'identity' });
    const button = item.node.querySelector('button')!;
    expect(button.hidden).toBe(false);
    button.click();
    expect(clicks).toBe(1);
    show({});
    expect(button.hidden).toBe(true);
  });
});
