import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { KernelError, Notebook, NotebookPanel } from '@jupyterlab/notebook';

import type { EventFactory, EventType, IEvent, IExecution, IReporter } from './events';
import type { HelpRequest } from './help';
import type { HelpMemory } from './helpmemory';
import { OpenNotebook, type INotebookHost, type NotebookContext } from './notebook';
import {
  cut,
  errorMessage,
  errorOf,
  MAX_CODE_LENGTH,
  MAX_ERROR_LENGTH,
  MAX_RESULT_LENGTH,
  Outputs,
  type IError
} from './outputs';
import { mask } from './privacy';
import type { IRun } from './runs';
import type { ISettings } from './settings';
import { recordedDuration } from './timing';

/** What `NotebookActions.executed` tells. */
export interface IExecuted {
  readonly notebook: Notebook;
  readonly cell: Cell;
  readonly success: boolean;
  readonly error?: KernelError | null;
}

/** What a monitor works with. */
export interface IMonitorOptions {
  readonly events: EventFactory;
  readonly queue: {
    push(event: IEvent): void;
    /** Whether an event has not left the browser. */
    isWaiting?(eventId: string): boolean;
  };
  readonly helpMemory: HelpMemory;
  /** Whose events they are; null while nobody is known, and nothing is sent. */
  readonly reporter: () => IReporter | null;
  /** What the student lets the instructor see. */
  readonly privacy: () => Pick<ISettings, 'includeCode' | 'includeOutputs'>;
  /** Takes the drive's name off a path. */
  readonly localPath: (path: string) => string;
  /** The instructor has seen to the requests for help, which are off now. */
  readonly onDismissed?: () => void;
}

/** Turns what happens in notebooks into events. */
export class Monitor implements INotebookHost {
  constructor(private readonly _options: IMonitorOptions) {
    this.helpMemory = _options.helpMemory;
  }

  /** Remembers over a reload where help is asked for. */
  readonly helpMemory: HelpMemory;

  /** Watches a notebook until its last view is closed. */
  watch({ context, content }: NotebookPanel): OpenNotebook {
    let notebook = this._notebooks.get(context);
    if (notebook === undefined) {
      notebook = new OpenNotebook(context, this);
      this._notebooks.set(context, notebook);
    }
    this._views.set(content, notebook);
    return notebook;
  }

  /** The help request of a notebook. */
  help(panel: NotebookPanel): HelpRequest {
    return this.watch(panel).help;
  }

  /** Makes up for what could not be said before it was known who reports. */
  reporterChanged(): void {
    this._notebooks.forEach(notebook => notebook.reportOpened());
  }

  /** Turns help off when the instructor has seen to the requests of this page. */
  dismissed(sessionIds: readonly string[]): void {
    if (sessionIds.includes(this._options.events.sessionId)) {
      const ended = [...this._notebooks.values()].filter(({ help }) => help.dismiss());
      if (ended.length > 0) {
        this._options.onDismissed?.();
      }
    }
  }

  /** Reports what still runs: the page goes away, and nobody will see its end. */
  leave(): void {
    this._notebooks.forEach(notebook => notebook.runs.end(null));
  }

  /** Notes when a cell was handed to its kernel. */
  scheduled(cell: Cell): void {
    this._scheduled.set(cell, performance.now());
  }

  /** Reports a cell whose execution the kernel's messages do not show: a text, or one run elsewhere. */
  executed(args: IExecuted): void {
    const notebook = this._views.get(args.notebook);
    const { type, id, sharedModel } = args.cell.model;
    if (notebook === undefined || (type === 'code' && notebook.runs.isUsed)) {
      return;
    }
    if (type === 'code') {
      const run = this._runOf(args);
      if (run !== null) {
        this.reportRun(notebook, run);
      }
    } else {
      this._reportCell(notebook, {
        cellId: id,
        cellType: type as 'markdown' | 'raw',
        code: sharedModel.getSource(),
        hasError: !args.success,
        result: '',
        executionDurationMs: 0
      });
    }
  }

  /** Reports an execution that has ended. */
  reportRun(notebook: OpenNotebook, run: IRun): void {
    const { error } = run;
    this._reportCell(notebook, {
      cellId: run.cellId,
      cellType: 'code',
      code: run.code,
      ...(run.executionCount !== null && { executionCount: run.executionCount }),
      hasError: error !== null,
      ...(error !== null && { errorMessage: this._message(error) }),
      result: this._options.privacy().includeOutputs ? run.result : '',
      executionDurationMs: run.durationMs,
      ...(run.unfinished && { metadata: { unfinished: true } })
    });
  }

  /** Reports an event; returns its id, null when nothing is sent. */
  report(eventType: EventType, path: string, execution?: IExecution): string | null {
    const { events, queue, reporter, localPath } = this._options;
    const who = reporter();
    if (who === null) {
      return null;
    }
    const event = events.create(eventType, who, localPath(path), execution);
    queue.push(event);
    return event.eventId;
  }

  /** Whether an event has not left the browser. */
  isWaiting(eventId: string): boolean {
    return this._options.queue.isWaiting?.(eventId) ?? false;
  }

  /** Lets go of a notebook. */
  closed(notebook: OpenNotebook): void {
    this._notebooks.delete(notebook.context);
  }

  private _reportCell(notebook: OpenNotebook, execution: IExecution): void {
    const { errorMessage: message } = execution;
    const cellIndex = notebook.indexOf(execution.cellId);
    const code = this._options.privacy().includeCode ? cut(execution.code, MAX_CODE_LENGTH) : '';
    this.report('cell_executed', notebook.context.path, {
      ...execution,
      ...(cellIndex !== undefined && { cellIndex }),
      code: cut(mask(code), MAX_CODE_LENGTH),
      result: cut(mask(execution.result), MAX_RESULT_LENGTH),
      ...(message !== undefined && { errorMessage: cut(mask(message), MAX_ERROR_LENGTH) })
    });
  }

  private _message(error: IError): string {
    return this._options.privacy().includeOutputs ? errorMessage(error) : error.name;
  }

  /** An execution as its cell shows it; null when the cell did not run after all. */
  private _runOf({ cell, success, error }: IExecuted): IRun | null {
    const model = cell.model as ICodeCellModel;
    const outputs = new Outputs();
    for (let index = 0; index < model.outputs.length; index++) {
      const output = model.outputs.get(index).toJSON();
      outputs.add(output.output_type, output);
    }
    const started = this._scheduled.get(cell);
    this._scheduled.delete(cell);
    const problem =
      outputs.error ??
      (error?.errorName ? errorOf({ ename: error.errorName, evalue: error.errorValue }) : null);
    // An empty cell has no count; one that was called off after an error before it has no error of its own.
    if (success ? model.executionCount === null : problem === null) {
      return null;
    }
    return {
      cellId: model.id,
      code: model.sharedModel.getSource(),
      executionCount: model.executionCount,
      error: problem,
      result: outputs.text(),
      durationMs:
        recordedDuration(model.getMetadata('execution')) ??
        (started === undefined ? 0 : Math.round(performance.now() - started)),
      unfinished: false
    };
  }

  private readonly _notebooks = new Map<NotebookContext, OpenNotebook>();
  private readonly _views = new WeakMap<Notebook, OpenNotebook>();
  private readonly _scheduled = new WeakMap<Cell, number>();
}
