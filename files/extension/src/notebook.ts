import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import type { EventType } from './events';
import { HelpRequest } from './help';
import type { HelpMemory } from './helpmemory';
import type { IError } from './outputs';
import { quietly } from './quiet';
import { RunLog, type IRun } from './runs';

/** A notebook's document, which all its views share. */
export type NotebookContext = NotebookPanel['context'];

/** What a notebook needs of the one who reports. */
export interface INotebookHost {
  readonly helpMemory: HelpMemory;
  /** Reports an event; returns its id, null when nothing is sent. */
  report(eventType: EventType, path: string): string | null;
  reportRun(notebook: OpenNotebook, run: IRun): void;
  /** Whether an event has not left the browser. */
  isWaiting(eventId: string): boolean;
  closed(notebook: OpenNotebook): void;
}

/** Why what ran will not be answered, by the kernel's status. */
const DIED: IError = { name: 'KernelDied', value: 'the kernel died while the cell ran' };
const ENDS: Readonly<Record<string, IError>> = {
  autorestarting: DIED,
  restarting: { name: 'KernelRestarted', value: 'the kernel was restarted while the cell ran' },
  terminating: { name: 'KernelStopped', value: 'the kernel was shut down while the cell ran' },
  dead: { name: 'KernelDied', value: 'the kernel died or was shut down while the cell ran' }
};
const CHANGED: IError = {
  name: 'KernelStopped',
  value: 'the kernel was changed while the cell ran'
};

/** Watches one open notebook, in however many views, until the last of them is closed. */
export class OpenNotebook {
  constructor(
    readonly context: NotebookContext,
    private readonly _host: INotebookHost
  ) {
    this._path = context.path;
    const session = context.sessionContext;
    session.statusChanged.connect((_, status) => this._onStatus(status), this);
    session.kernelChanged.connect(() => this._watchKernel(), this);
    // The session goes first when a notebook is closed: what is left of it can still be read then.
    session.disposed.connect(() => this._onClosed(), this);
    context.pathChanged.connect((_, path) => this._onPathChanged(path), this);
    context.saveState.connect((_, state) => this._onSaved(state), this);
    this._watchKernel();
    void context.ready.then(
      () => this.reportOpened(),
      () => undefined
    );
  }

  /** The student's request for help, the same in all views. */
  readonly help = new HelpRequest(eventType => this._sendHelp(eventType));

  /** The executions that are under way. */
  readonly runs = new RunLog(run => this._host.reportRun(this, run));

  /** Reports that the notebook is open, as soon as it is and it is known who reports. */
  reportOpened(): void {
    const { isReady, sessionContext, path } = this.context;
    if (this._isReported || !isReady || sessionContext.isDisposed) {
      return;
    }
    this._isReported = this._host.report('notebook_opened', path) !== null;
    if (this._isReported && this._host.helpMemory.has(path)) {
      this.help.start();
    }
  }

  /** The place of a cell in the notebook, undefined when it has been deleted. */
  indexOf(cellId: string): number | undefined {
    const cells = this.context.model.cells;
    for (let index = 0; index < cells.length; index++) {
      if (cells.get(index).id === cellId) {
        return index;
      }
    }
    return undefined;
  }

  private _watchKernel(): void {
    const session = this.context.sessionContext;
    const kernel = session.isDisposed ? null : (session.session?.kernel ?? null);
    // A restart is announced as a change to the same kernel.
    if (kernel !== this._kernel) {
      this._kernel?.anyMessage.disconnect(this._onMessage, this);
      this.runs.end(CHANGED);
      this._kernel = kernel;
      kernel?.anyMessage.connect(this._onMessage, this);
    }
  }

  private _onStatus(status: string): void {
    const end = ENDS[status];
    if (end) {
      this.runs.end(end);
    }
  }

  private _onSaved(state: string): void {
    // A new notebook is saved before it is open.
    if (state === 'completed' && this._isReported) {
      this._host.report('notebook_saved', this.context.path);
    }
  }

  private _onPathChanged(path: string): void {
    if (this.help.isOn) {
      this._host.helpMemory.forget(this._path);
      this._host.helpMemory.note(path);
    }
    this._path = path;
  }

  private _onClosed(): void {
    Signal.clearData(this);
    this.runs.end(null);
    this.help.stop();
    if (this._isReported) {
      this._host.report('notebook_closed', this.context.path);
    }
    this._host.closed(this);
  }

  private _sendHelp(eventType: 'help' | 'help_stop'): boolean {
    const { path } = this.context;
    if (eventType === 'help_stop') {
      this._host.helpMemory.forget(path);
      this._host.report(eventType, path);
      return true;
    }
    this._host.helpMemory.note(path);
    // Where the server is away for hours, one heartbeat says as much as a thousand.
    if (this._heartbeat !== null && this._host.isWaiting(this._heartbeat)) {
      return false;
    }
    this._heartbeat = this._host.report(eventType, path);
    return this._heartbeat !== null;
  }

  private readonly _onMessage = (_: unknown, { direction, msg }: Kernel.IAnyMessageArgs): void =>
    quietly(() => {
      if (isRestart(direction, msg)) {
        this.runs.end(DIED);
      }
      this.runs.observe(direction, msg);
    });

  private _path: string;
  private _isReported = false;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _heartbeat: string | null = null;
}

/** Whether the Jupyter server says that it starts a kernel again which has died. */
function isRestart(direction: string, { header, content }: Kernel.IAnyMessageArgs['msg']): boolean {
  return (
    direction === 'recv' &&
    header.msg_type === 'status' &&
    (content as { execution_state?: unknown }).execution_state === 'restarting'
  );
}
