import { Signal } from '@lumino/signaling';
import { webcrypto } from 'crypto';

import type { IEvent } from '../events';
import type { IIdentity } from '../settings';
import { Kernel, Panel } from './fakes';

/** JupyterLab as far as the plugin can see it. */
const lab = {
  options: {} as Record<string, string>,
  answers: [] as (IIdentity | null)[],
  asked: [] as HTMLElement[],
  warnings: [] as string[],
  posted: [] as IEvent[],
  executed: new Signal<object, unknown>({}),
  scheduled: new Signal<object, unknown>({})
};

jest.mock('@jupyterlab/apputils', () => ({
  Dialog: class {
    static cancelButton(): object {
      return {};
    }
    static okButton(): object {
      return {};
    }
    constructor(
      private readonly _options: { body: { node: HTMLElement; getValue(): IIdentity } }
    ) {}
    launch() {
      const { body } = this._options;
      lab.asked.push(body.node);
      const answer = lab.answers.shift() ?? null;
      const [name, address] = body.node.querySelectorAll('input');
      name!.value = answer?.userName ?? '';
      address!.value = answer?.emailAddress ?? '';
      return Promise.resolve({ button: { accept: answer !== null }, value: body.getValue() });
    }
  },
  IToolbarWidgetRegistry: 'toolbars',
  Notification: { warning: (text: string) => lab.warnings.push(text) }
}));
jest.mock('@jupyterlab/coreutils', () => ({
  PageConfig: { getBaseUrl: () => '/', getOption: (key: string) => lab.options[key] ?? '' },
  URLExt: { join: (...parts: string[]) => parts.join('/') }
}));
jest.mock('@jupyterlab/notebook', () => ({
  INotebookTracker: 'tracker',
  NotebookActions: {
    get executed() {
      return lab.executed;
    },
    get executionScheduled() {
      return lab.scheduled;
    }
  }
}));
jest.mock('@jupyterlab/services', () => ({
  ServerConnection: {
    makeRequest: (_: string, init: RequestInit) => {
      lab.posted.push(...(JSON.parse(init.body as string) as IEvent[]));
      return Promise.resolve({ status: 202, headers: new Map() });
    }
  }
}));
jest.mock('@jupyterlab/settingregistry', () => ({ ISettingRegistry: 'settings' }));
jest.mock('@jupyterlab/statedb', () => ({ IStateDB: 'state' }));
jest.mock('@jupyterlab/statusbar', () => ({ IStatusBar: 'status bar' }));
jest.mock('@jupyterlab/translation', () => ({
  ITranslator: 'translator',
  nullTranslator: { load: () => ({ __: (text: string) => text }) }
}));

class Settings {
  constructor(public composite: Record<string, unknown>) {}
  readonly changed = new Signal<this, void>(this);

  set(key: string, value: unknown): Promise<void> {
    this.composite = { ...this.composite, [key]: value };
    this.changed.emit();
    return Promise.resolve();
  }

  save(raw: string): Promise<void> {
    this.composite = { ...this.composite, ...(JSON.parse(raw) as object) };
    this.changed.emit();
    return Promise.resolve();
  }
}

const CONFIGURED = {
  teamName: 'チームB',
  emailAddress: 'taro@example.com',
  userName: '太郎',
  serverUrl: 'http://school/api/v1/events',
  retryAttempts: 0
};

interface IStarted {
  settings: Settings;
  open: (path: string) => Promise<Panel>;
  button: (panel: Panel) => HTMLButtonElement;
  saved: Map<string, unknown>;
}

async function settle(): Promise<void> {
  await jest.advanceTimersByTimeAsync(500);
}

async function start(
  composite: Record<string, unknown>,
  identity: Record<string, string> | null = null
): Promise<IStarted> {
  const settings = new Settings(composite);
  const widgetAdded = new Signal<object, Panel>({});
  const panels: Panel[] = [];
  const saved = new Map<string, unknown>();
  let makeButton: (panel: Panel) => { node: HTMLElement };
  const { default: plugin } = await import('../index');
  void plugin.activate(
    {
      serviceManager: {
        contents: { localPath: (path: string) => path.replace(/^RTC:/, '') },
        serverSettings: { baseUrl: '' },
        user: { ready: Promise.resolve(), identity }
      }
    } as never,
    { forEach: () => undefined, widgetAdded, size: 0 },
    { load: () => Promise.resolve(settings), transform: () => undefined },
    {
      addFactory: (_: string, __: string, factory: typeof makeButton) => {
        makeButton = factory;
      }
    },
    null,
    {
      fetch: (key: string) => Promise.resolve(saved.get(key)),
      save: (key: string, value: unknown) => Promise.resolve(saved.set(key, value))
    }
  );
  await settle();
  return {
    settings,
    saved,
    async open(path) {
      const panel = new Panel(path);
      panels.push(panel);
      widgetAdded.emit(panel);
      await settle();
      return panel;
    },
    button: panel => makeButton(panel).node.querySelector('button')!
  };
}

const types = () => lab.posted.map(event => event.eventType);

beforeAll(async () => {
  Object.defineProperty(globalThis, 'crypto', { value: webcrypto });
  Object.assign(globalThis, {
    // Lumino derives from it, and jsdom has none.
    DragEvent: class {},
    TextEncoder: class {
      encode(text: string) {
        return { length: text.length };
      }
    },
    fetch: (url: string, init: RequestInit) => {
      if (url.includes('away')) {
        return Promise.reject(new TypeError('Failed to fetch'));
      }
      lab.posted.push(...(JSON.parse(init.body as string) as IEvent[]));
      return Promise.resolve({ status: 202, headers: new Map() });
    }
  });
  // Compiling it takes a busy machine longer than a test may.
  await import('../index');
}, 60_000);

beforeEach(() => {
  jest.useFakeTimers();
  sessionStorage.clear();
  lab.options = { cellMonitorCollector: 'true' };
  lab.answers = [];
  lab.asked = [];
  lab.warnings = [];
  lab.posted = [];
  lab.executed = new Signal({});
  lab.scheduled = new Signal({});
});

afterEach(() => {
  jest.useRealTimers();
});

describe('a configured student', () => {
  it('reports the opened notebook, once', async () => {
    const { open, settings } = await start(CONFIGURED);
    await open('RTC:class/a.ipynb');
    await settings.set('retryAttempts', 1);
    await settle();
    expect(lab.posted).toMatchObject([
      {
        eventType: 'notebook_opened',
        notebookPath: 'class/a.ipynb',
        emailAddress: 'taro@example.com',
        userName: '太郎',
        teamName: 'チームB'
      }
    ]);
    expect(lab.asked).toEqual([]);
  });

  it('reports an error and a result with the notebook they are from', async () => {
    const { open } = await start(CONFIGURED);
    const first = await open('a.ipynb');
    const second = await open('b.ipynb');
    const error = { output_type: 'error', ename: 'ZeroDivisionError', evalue: 'division by zero' };
    const bad = first.cell('bad', 'code', [error], 1);
    second.cell('other', 'markdown', [], null);
    const good = second.cell('good', 'code', [{ output_type: 'stream', text: '42\n' }], 2);
    lab.scheduled.emit({ notebook: second.content, cell: good });
    lab.executed.emit({ notebook: first.content, cell: bad, success: false });
    await jest.advanceTimersByTimeAsync(50);
    lab.executed.emit({ notebook: second.content, cell: good, success: true });
    await settle();
    const [failed, succeeded] = lab.posted.slice(2);
    expect(failed).toMatchObject({
      eventType: 'cell_executed',
      notebookPath: 'a.ipynb',
      cellId: 'bad',
      cellIndex: 0,
      cellType: 'code',
      code: 'source of bad',
      executionCount: 1,
      hasError: true,
      errorMessage: 'ZeroDivisionError: division by zero',
      result: ''
    });
    expect(succeeded).toMatchObject({
      notebookPath: 'b.ipynb',
      cellIndex: 1,
      hasError: false,
      result: '42',
      executionDurationMs: 50
    });
    expect(succeeded).not.toHaveProperty('errorMessage');
  });

  it('takes the duration from the kernel, also from one that came later', async () => {
    const { open } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    const cell = panel.cell('c', 'code', [], 1);
    const kernel = new Kernel();
    panel.context.sessionContext.session.kernel = kernel;
    panel.context.sessionContext.kernelChanged.emit({});
    kernel.request('r', 'c').run(2);
    lab.executed.emit({ notebook: panel.content, cell, success: true });
    await settle();
    expect(lab.posted.at(-1)!.executionDurationMs).toBe(2000);
  });

  it('reports no cell that did not run, and a rendered text as what it is', async () => {
    const { open } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    const execute = (cell: unknown, success: boolean, error?: object) =>
      lab.executed.emit({ notebook: panel.content, cell, success, error });
    execute(panel.cell('empty', 'code', [], null), true);
    execute(panel.cell('aborted', 'code', [], null), false, { errorName: undefined });
    execute(panel.cell('cleared', 'code', [], 3), false, { errorName: 'E', errorValue: 'v' });
    execute(panel.cell('text', 'markdown', [], null), true);
    lab.executed.emit({ notebook: {}, cell: panel.cell('foreign', 'code', [], 1), success: true });
    await settle();
    expect(lab.posted.slice(1)).toMatchObject([
      { cellId: 'cleared', errorMessage: 'E: v' },
      { cellId: 'text', cellType: 'markdown', hasError: false }
    ]);
  });

  it('asks for help until the button is pressed again', async () => {
    const { open, button } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    const help = button(panel);
    const second = button(panel);
    expect(help.dataset.testid).toBe('cell-monitor-help');
    expect(help.textContent).toBe('Help');
    expect(help.getAttribute('aria-pressed')).toBe('false');
    help.click();
    await settle();
    expect(types()).toEqual(['notebook_opened', 'help']);
    expect(help.getAttribute('aria-pressed')).toBe('true');
    expect(second.getAttribute('aria-pressed')).toBe('true');
    await jest.advanceTimersByTimeAsync(20_000);
    expect(types()).toEqual(['notebook_opened', 'help', 'help', 'help']);
    help.click();
    await jest.advanceTimersByTimeAsync(20_000);
    expect(types().slice(4)).toEqual(['help_stop']);
    expect(help.getAttribute('aria-pressed')).toBe('false');
  });

  it('stops asking when the notebook is closed', async () => {
    const { open, button } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    button(panel).click();
    await settle();
    panel.close();
    await jest.advanceTimersByTimeAsync(20_000);
    expect(types()).toEqual(['notebook_opened', 'help', 'help_stop', 'notebook_closed']);
  });

  it('sends what waits when the page goes away', async () => {
    const { open, button } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    button(panel).click();
    await jest.advanceTimersByTimeAsync(0);
    expect(types()).toEqual(['notebook_opened']);
    window.dispatchEvent(new Event('pagehide'));
    expect(types()).toEqual(['notebook_opened', 'help']);
    window.dispatchEvent(new Event('online'));
  });

  it('follows the settings', async () => {
    const { open, settings, button } = await start(CONFIGURED);
    const panel = await open('a.ipynb');
    await settings.set('teamName', 'チーム0');
    await settings.set('animationEnabled', true);
    expect(document.body.classList.contains('cm-mod-animated')).toBe(true);
    button(panel).click();
    await settle();
    expect(types()).toEqual(['notebook_opened']);
    expect(lab.warnings).toHaveLength(1);
    await settings.set('teamName', 'チーム99');
    button(panel).click();
    await settle();
    expect(lab.posted.at(-1)).toMatchObject({ eventType: 'help', teamName: 'チーム99' });
  });

  it('posts straight to the event server where nobody collects', async () => {
    lab.options = {};
    const { open, settings } = await start(CONFIGURED);
    await open('a.ipynb');
    expect(types()).toEqual(['notebook_opened']);
    await settings.set('serverUrl', 'http://away/');
    await open('b.ipynb');
    await jest.advanceTimersByTimeAsync(60_000);
    expect(lab.warnings).toEqual([]);
    await settings.set('showNotifications', true);
    await open('c.ipynb');
    await jest.advanceTimersByTimeAsync(60_000);
    expect(lab.warnings).toHaveLength(1);
    expect(types()).toEqual(['notebook_opened']);
  });
});

describe('a student who is not configured', () => {
  const NOBODY = { ...CONFIGURED, emailAddress: '', userName: '' };

  it('is asked once, and nothing is sent', async () => {
    const { open, saved } = await start(NOBODY, { username: '5f3c', display_name: 'Anonymous' });
    const panel = await open('a.ipynb');
    await open('b.ipynb');
    lab.executed.emit({
      notebook: panel.content,
      cell: panel.cell('c', 'code', [], 1),
      success: true
    });
    await settle();
    expect(lab.asked).toHaveLength(1);
    expect(saved.size).toBe(1);
    expect(lab.posted).toEqual([]);
  });

  it('reports what is open as soon as it is known who it is', async () => {
    lab.answers = [
      { userName: '花子', emailAddress: 'nobody' },
      { userName: '花子', emailAddress: 'hanako@example.com' }
    ];
    const { open } = await start(NOBODY);
    await open('a.ipynb');
    expect(lab.asked).toHaveLength(2);
    expect(lab.asked[1]!.textContent).toContain('taro@example.com');
    expect(lab.posted).toMatchObject([
      { eventType: 'notebook_opened', userName: '花子', emailAddress: 'hanako@example.com' }
    ]);
  });

  it('is asked again by the help button', async () => {
    const { open, button } = await start(NOBODY);
    const panel = await open('a.ipynb');
    button(panel).click();
    await settle();
    expect(lab.asked).toHaveLength(2);
    expect(lab.posted).toEqual([]);
    lab.answers = [{ userName: '花子', emailAddress: 'hanako@example.com' }];
    button(panel).click();
    await settle();
    expect(types()).toEqual(['notebook_opened', 'help']);
  });

  it("is the hub's user where there is a hub", async () => {
    lab.options.hubUser = 'hanako';
    const { open } = await start(NOBODY, { username: 'hanako', display_name: '花子' });
    await open('a.ipynb');
    expect(lab.asked).toEqual([]);
    expect(lab.posted).toMatchObject([{ userName: '花子', emailAddress: 'hanako' }]);
  });

  it('is nobody when the hub does not say who', async () => {
    lab.options.hubUser = 'hanako';
    const { open } = await start(NOBODY);
    await open('a.ipynb');
    expect(lab.posted).toEqual([]);
  });
});
