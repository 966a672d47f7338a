import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { KernelError, Notebook, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import type { EventFactory, EventType, IExecution, IReporter } from './events';
import { HelpRequest } from './help';
import { cut, errorMessage, errorOf, MAX_CODE_LENGTH, resultOf, type IOutput } from './outputs';
import type { EventQueue } from './queue';
import { ExecutionTimer, recordedDuration } from './timing';

/** What `NotebookActions.executed` tells. */
export interface IExecuted {
  readonly notebook: Notebook;
  readonly cell: Cell;
  readonly success: boolean;
  readonly error?: KernelError | null;
}

/** What is known of one open notebook. */
class Watched {
  constructor(
    readonly panel: NotebookPanel,
    send: (eventType: EventType) => void
  ) {
    this.help = new HelpRequest(send);
  }

  readonly help: HelpRequest;
  readonly timer = new ExecutionTimer();
  readonly scheduled = new WeakMap<Cell, number>();
  openReported = false;
}

/** Turns what happens in notebooks into events. */
export class Monitor {
  /**
   * @param reporter - whose events they are; null while nobody is known, and nothing is sent.
   * @param localPath - takes the drive's name off a path.
   */
  constructor(
    private readonly _events: EventFactory,
    private readonly _queue: Pick<EventQueue, 'push'>,
    private readonly _reporter: () => IReporter | null,
    private readonly _localPath: (path: string) => string
  ) {}

  /** Watches a notebook until it is closed. */
  watch(panel: NotebookPanel): void {
    if (this._watched.has(panel.content)) {
      return;
    }
    const watched = new Watched(panel, eventType => this._report(eventType, panel));
    this._watched.set(panel.content, watched);
    this._watchKernel(watched);
    panel.disposed.connect(() => {
      watched.help.stop();
      this._watched.delete(panel.content);
    });
    void panel.context.ready.then(() => this._reportOpened(watched));
  }

  /** The help request of a notebook. */
  help(panel: NotebookPanel): HelpRequest {
    this.watch(panel);
    return this._watched.get(panel.content)!.help;
  }

  /** Makes up for what could not be said before it was known who reports. */
  reporterChanged(): void {
    for (const watched of this._watched.values()) {
      if (watched.panel.context.isReady) {
        this._reportOpened(watched);
      }
    }
  }

  /** Notes when a cell was handed to its kernel. */
  scheduled(notebook: Notebook, cell: Cell): void {
    this._watched.get(notebook)?.scheduled.set(cell, performance.now());
  }

  /** Reports a cell that has run. */
  executed(args: IExecuted): void {
    const watched = this._watched.get(args.notebook);
    if (watched) {
      const execution = describe(args, watched);
      if (execution) {
        this._report('cell_executed', watched.panel, execution);
      }
    }
  }

  private _watchKernel({ panel, timer }: Watched): void {
    const observe = (_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void =>
      timer.observe(direction, msg);
    panel.sessionContext.session?.kernel?.anyMessage.connect(observe);
    panel.sessionContext.kernelChanged.connect((_, { oldValue, newValue }) => {
      oldValue?.anyMessage.disconnect(observe);
      newValue?.anyMessage.connect(observe);
    });
  }

  private _reportOpened(watched: Watched): void {
    if (!watched.openReported && !watched.panel.isDisposed) {
      watched.openReported = this._report('notebook_opened', watched.panel);
    }
  }

  private _report(eventType: EventType, panel: NotebookPanel, execution?: IExecution): boolean {
    const reporter = this._reporter();
    if (reporter === null) {
      return false;
    }
    const path = this._localPath(panel.context.path);
    this._queue.push(this._events.create(eventType, reporter, path, execution));
    return true;
  }

  private readonly _watched = new Map<Notebook, Watched>();
}

/** The fields of an execution; null when the cell did not run after all. */
function describe(args: IExecuted, { timer, scheduled }: Watched): IExecution | null {
  const { cell, notebook, success, error } = args;
  const { id, type } = cell.model;
  const recorded = cell.model.getMetadata('execution') as unknown;
  const index = notebook.widgets.indexOf(cell);
  const started = scheduled.get(cell);
  scheduled.delete(cell);
  const execution: IExecution = {
    cellId: id,
    ...(index >= 0 && { cellIndex: index }),
    cellType: type as 'code' | 'markdown' | 'raw',
    code: cut(cell.model.sharedModel.getSource(), MAX_CODE_LENGTH),
    hasError: !success,
    result: '',
    executionDurationMs: 0
  };
  if (type !== 'code') {
    return execution;
  }
  const model = cell.model as ICodeCellModel;
  const outputs = model.outputs.toJSON() as IOutput[];
  const problem =
    errorOf(outputs) ?? (error?.errorName ? errorMessage(error.errorName, error.errorValue) : null);
  // An empty cell has no count; one that was called off after an error before it has no error of its own.
  if (success ? model.executionCount === null : problem === null) {
    return null;
  }
  return {
    ...execution,
    ...(model.executionCount !== null && { executionCount: model.executionCount }),
    ...(!success && problem !== null && { errorMessage: problem }),
    result: resultOf(outputs),
    executionDurationMs:
      timer.take(id) ??
      recordedDuration(recorded) ??
      (started === undefined ? 0 : Math.round(performance.now() - started))
  };
}
