import { webcrypto } from 'crypto';

import { EventFactory, type IEvent, type IReporter } from '../events';
import { HEARTBEAT_MS } from '../help';
import { HelpMemory } from '../helpmemory';
import { Monitor } from '../monitor';
import { Panel } from './fakes';

const WHO: IReporter = { emailAddress: 'taro@example.com', userName: '太郎', teamName: 'チームA' };

/** A page with a monitor, and what it has sent. */
class Page {
  readonly events: IEvent[] = [];
  readonly waiting = new Set<string>();
  readonly factory = new EventFactory();
  dismissals = 0;
  who: IReporter | null = WHO;
  privacy = { includeCode: true, includeOutputs: true };
  readonly monitor = new Monitor({
    events: this.factory,
    queue: {
      push: event => this.events.push(event),
      isWaiting: id => this.waiting.has(id)
    },
    helpMemory: new HelpMemory('help', sessionStorage),
    reporter: () => this.who,
    privacy: () => this.privacy,
    localPath: path => path.replace(/^RTC:/, ''),
    onDismissed: () => void (this.dismissals += 1)
  });

  async open(path: string, document?: Panel): Promise<Panel> {
    const panel = new Panel(path, document);
    this.watch(panel);
    await jest.advanceTimersByTimeAsync(0);
    return panel;
  }

  watch(panel: Panel) {
    return this.monitor.watch(panel as never);
  }

  help(panel: Panel) {
    return this.monitor.help(panel as never);
  }

  executed(panel: Panel, cell: object, success = true): void {
    this.monitor.executed({ notebook: panel.content, cell, success } as never);
  }

  get types(): string[] {
    return this.events.map(event => event.eventType);
  }

  get last(): IEvent {
    return this.events.at(-1)!;
  }
}

beforeAll(() => {
  Object.defineProperty(globalThis, 'crypto', { value: webcrypto });
});

beforeEach(() => {
  jest.useFakeTimers();
  sessionStorage.clear();
});

afterEach(() => {
  jest.useRealTimers();
});

describe('a cell', () => {
  it('that is run again while it runs is reported twice', async () => {
    const page = new Page();
    const panel = await page.open('RTC:a.ipynb');
    panel.cell('other', 'markdown', [], null);
    const cell = panel.cell('c', 'code', [], 2);
    const first = panel.kernel.request('r1', 'c', 'first');
    const second = panel.kernel.request('r2', 'c', 'second');
    first.run(1, { status: 'error', execution_count: 1, ename: 'E', evalue: 'v' });
    second.run(4, { status: 'ok', execution_count: 2 }, () =>
      second.recv('stream', { text: 'out' })
    );
    // JupyterLab tells of the second only.
    page.executed(panel, cell);
    expect(page.events.slice(1)).toMatchObject([
      {
        eventType: 'cell_executed',
        notebookPath: 'a.ipynb',
        cellId: 'c',
        cellIndex: 1,
        cellType: 'code',
        code: 'first',
        executionCount: 1,
        hasError: true,
        errorMessage: 'E: v',
        executionDurationMs: 1000
      },
      {
        code: 'second',
        executionCount: 2,
        hasError: false,
        result: 'out',
        executionDurationMs: 4000
      }
    ]);
    expect(page.last).not.toHaveProperty('errorMessage');
    expect(page.last).not.toHaveProperty('metadata');
  });

  it('of one notebook is not taken for that of another', async () => {
    const page = new Page();
    const panels = [await page.open('a.ipynb'), await page.open('b.ipynb')];
    const requests = panels.map(({ kernel }, i) => kernel.request(`r${i}`, 'same', `in ${i}`));
    requests.reverse().forEach(request => request.run());
    expect(page.events.slice(2)).toMatchObject([
      { notebookPath: 'b.ipynb', code: 'in 1' },
      { notebookPath: 'a.ipynb', code: 'in 0' }
    ]);
    // Gone from the notebook since.
    expect(page.last).not.toHaveProperty('cellIndex');
  });

  it('is reported once where its notebook has two views, and with its new name', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    const view = await page.open('a.ipynb', panel);
    expect(page.types).toEqual(['notebook_opened']);
    const cell = view.cell('c', 'code', [], 1);
    const request = panel.kernel.request('r', 'c');
    panel.rename('b.ipynb');
    request.run();
    page.executed(view, cell);
    expect(page.events.slice(1)).toMatchObject([{ notebookPath: 'b.ipynb', cellIndex: 0 }]);
  });

  it.each([
    ['autorestarting', 'KernelDied: the kernel died while the cell ran'],
    ['dead', 'KernelDied: the kernel died or was shut down while the cell ran'],
    ['restarting', 'KernelRestarted: the kernel was restarted while the cell ran'],
    ['terminating', 'KernelStopped: the kernel was shut down while the cell ran']
  ])('whose kernel is %s has an error', async (status, errorMessage) => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    panel.kernel.request('r1', 'c').recv('status', { execution_state: 'busy' });
    panel.kernel.request('r2', 'called off');
    panel.context.sessionContext.statusChanged.emit('busy');
    expect(page.types).toEqual(['notebook_opened']);
    panel.context.sessionContext.statusChanged.emit(status);
    expect(page.events.slice(1)).toMatchObject([{ cellId: 'c', hasError: true, errorMessage }]);
  });

  it('is ended by the death of its kernel, which JupyterLab calls a restart first', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    panel.kernel.request('r', 'c').recv('status', { execution_state: 'busy' });
    panel.kernel.die();
    panel.context.sessionContext.statusChanged.emit('restarting');
    expect(page.events.slice(1)).toMatchObject([
      { errorMessage: 'KernelDied: the kernel died while the cell ran' }
    ]);
  });

  it('ends with a change of its kernel, but not with news of the same', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    const { sessionContext } = panel.context;
    const request = panel.kernel.request('r', 'c');
    request.recv('status', { execution_state: 'busy' });
    sessionContext.kernelChanged.emit({});
    expect(page.types).toEqual(['notebook_opened']);
    sessionContext.session.kernel = null;
    sessionContext.kernelChanged.emit({});
    request.run();
    expect(page.events.slice(1)).toMatchObject([
      { errorMessage: 'KernelStopped: the kernel was changed while the cell ran' }
    ]);
  });

  it.each(['closed', 'left'])('that runs when it is %s is reported as unfinished', async way => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    const request = panel.kernel.request('r', 'c');
    request.recv('status', { execution_state: 'busy' });
    request.recv('stream', { text: 'so far' });
    if (way === 'closed') {
      panel.close();
    } else {
      page.monitor.leave();
    }
    request.run();
    expect(page.events.filter(event => event.eventType === 'cell_executed')).toMatchObject([
      { result: 'so far', hasError: false, metadata: { unfinished: true } }
    ]);
  });

  it('that another page or the server runs is reported from what it shows', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    const outputs = [{ output_type: 'error', ename: 'E', evalue: 'v' }];
    const cell = panel.cell('c', 'code', outputs, 1);
    page.monitor.scheduled(cell as never);
    await jest.advanceTimersByTimeAsync(50);
    page.executed(panel, cell, false);
    expect(page.last).toMatchObject({ errorMessage: 'E: v', executionDurationMs: 50 });
  });

  it('is not reported when nobody is known', async () => {
    const page = new Page();
    page.who = null;
    const panel = await page.open('a.ipynb');
    panel.kernel.request('r', 'c').run();
    panel.context.saveState.emit('completed');
    panel.close();
    expect(page.events).toEqual([]);
  });

  it('never lets a failure of ours out', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    const failure = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    page.factory.create = () => {
      throw new Error('ours');
    };
    panel.kernel.request('r', 'c').run();
    expect(failure).not.toHaveBeenCalled();
    failure.mockRestore();
  });
});

describe('privacy', () => {
  const run = (panel: Panel) => {
    const request = panel.kernel.request('r', 'c', 'password = "hunter2"');
    const error = { status: 'error', ename: 'E', evalue: 'no token="abc"' };
    request.run(1, error, () => request.recv('stream', { text: '{"secret": "abc"}' }));
  };

  it('hides credentials', async () => {
    const page = new Page();
    run(await page.open('a.ipynb'));
    expect(page.last).toMatchObject({
      code: 'password = "***"',
      result: '{"secret": "***"}',
      errorMessage: 'E: no token="***"'
    });
  });

  it('leaves out code and outputs', async () => {
    const page = new Page();
    page.privacy = { includeCode: false, includeOutputs: false };
    const panel = await page.open('a.ipynb');
    run(panel);
    expect(page.last).toMatchObject({ code: '', result: '', errorMessage: 'E', hasError: true });
    page.executed(panel, panel.cell('text', 'markdown', [], null));
    expect(page.last).toMatchObject({ cellType: 'markdown', code: '' });
  });
});

describe('a notebook', () => {
  it('is saved and closed', async () => {
    const page = new Page();
    const panel = new Panel('a.ipynb');
    page.watch(panel);
    panel.context.saveState.emit('completed');
    await jest.advanceTimersByTimeAsync(0);
    for (const state of ['started', 'failed', 'started', 'completed']) {
      panel.context.saveState.emit(state);
    }
    panel.rename('b.ipynb');
    panel.close();
    panel.context.saveState.emit('completed');
    expect(page.events).toMatchObject([
      { eventType: 'notebook_opened', notebookPath: 'a.ipynb' },
      { eventType: 'notebook_saved', notebookPath: 'a.ipynb' },
      { eventType: 'notebook_closed', notebookPath: 'b.ipynb' }
    ]);
  });

  it('is forgotten when it is closed', async () => {
    const page = new Page();
    const panel = await page.open('a.ipynb');
    panel.close();
    page.monitor.reporterChanged();
    panel.kernel.request('r', 'c').run();
    panel.rename('c.ipynb');
    expect(page.types).toEqual(['notebook_opened', 'notebook_closed']);
  });
});

describe('help', () => {
  const beat = () => jest.advanceTimersByTimeAsync(HEARTBEAT_MS);

  it('goes on after a reload, also of a renamed notebook, in its tab', async () => {
    const before = new Page();
    const panel = await before.open('a.ipynb');
    before.help(panel).start();
    panel.rename('b.ipynb');
    const after = new Page();
    expect(after.help(await after.open('a.ipynb')).isOn).toBe(false);
    after.who = null;
    const reopened = await after.open('b.ipynb');
    expect(after.help(reopened).isOn).toBe(false);
    after.who = WHO;
    after.monitor.reporterChanged();
    expect(after.help(reopened).isOn).toBe(true);
    await beat();
    expect(after.types).toEqual(['notebook_opened', 'notebook_opened', 'help', 'help']);
    reopened.close();
    const last = new Page();
    expect(last.help(await last.open('b.ipynb')).isOn).toBe(false);
  });

  it('sends no heartbeat while the last one waits', async () => {
    const page = new Page();
    const request = page.help(await page.open('a.ipynb'));
    request.start();
    page.waiting.add(page.last.eventId);
    await beat();
    await beat();
    expect(page.types).toEqual(['notebook_opened', 'help']);
    page.waiting.clear();
    await beat();
    expect(page.types).toEqual(['notebook_opened', 'help', 'help']);
  });

  it('goes off when the instructor dismisses it, in this page only', async () => {
    const page = new Page();
    const [first, second, off] = [
      page.help(await page.open('a.ipynb')),
      page.help(await page.open('b.ipynb')),
      page.help(await page.open('c.ipynb'))
    ];
    first.start();
    second.start();
    await beat();
    page.monitor.dismissed(['another']);
    expect(first.isOn).toBe(true);
    page.monitor.dismissed(['another', page.factory.sessionId]);
    expect([first.isOn, second.isOn, off.isOn]).toEqual([false, false, false]);
    expect(page.types.slice(-2)).toEqual(['help_stop', 'help_stop']);
    page.monitor.dismissed([page.factory.sessionId]);
    expect(page.dismissals).toBe(1);
  });
});
