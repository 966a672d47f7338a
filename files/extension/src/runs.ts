import { cut, errorOf, MAX_CODE_LENGTH, Outputs, type IError } from './outputs';
import { Stopwatch } from './timing';

/** The parts of a kernel message that are read here. */
export interface IKernelMessage {
  readonly header: { readonly msg_id: string; readonly msg_type: string; readonly date?: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly content: unknown;
}

/** One execution of a code cell, from its request to its end. */
export interface IRun {
  readonly cellId: string;
  /** What was run, which the cell need not hold any more. */
  readonly code: string;
  readonly executionCount: number | null;
  readonly error: IError | null;
  readonly result: string;
  readonly durationMs: number;
  /** Whether it still ran when it was last seen. */
  readonly unfinished: boolean;
}

type Content = Readonly<Record<string, unknown>>;

/** More than a notebook has cells: only what a kernel never answers is ever forgotten. */
const MAX_RUNS = 5000;
/** More outputs than are on their way to a browser at a time. */
const MAX_KNOWN = 2000;

class Run {
  constructor(
    readonly cellId: string,
    readonly code: string
  ) {}

  readonly outputs = new Outputs();
  readonly watch = new Stopwatch();
  count: number | null = null;
  error: IError | null = null;
  hasReply = false;
  isIdle = false;

  countFrom(content: Content): void {
    if (typeof content.execution_count === 'number') {
      this.count = content.execution_count;
    }
  }

  ended(error: IError | null, unfinished: boolean): IRun {
    return {
      cellId: this.cellId,
      code: this.code,
      executionCount: this.count,
      error,
      result: this.outputs.text(),
      durationMs: this.watch.elapsedMs,
      unfinished
    };
  }
}

/**
 * Follows the executions of one notebook's cells by the messages of its kernel.
 *
 * JupyterLab's own signal comes once for a cell that is run again while it still runs, and shows
 * the outputs that the cell has by then. The messages tell each execution from the others.
 */
export class RunLog {
  /** @param ended - takes an execution as soon as everything is known of it. */
  constructor(private readonly _ended: (run: IRun) => void) {}

  /** Whether cells are run by requests of this page; other ways to run them are not seen here. */
  get isUsed(): boolean {
    return this._isUsed;
  }

  /** Takes a message that was sent to the kernel or has come from it. */
  observe(direction: 'send' | 'recv', message: IKernelMessage): void {
    if (direction === 'send') {
      this._sent(message);
      return;
    }
    const id = message.parent_header.msg_id;
    const run = id === undefined ? undefined : this._runs.get(id);
    if (id !== undefined && run !== undefined) {
      this._received(id, run, message);
    }
  }

  /**
   * Ends what runs; what the kernel has not begun is no execution.
   *
   * @param error - why, null when it may well go on unseen.
   */
  end(error: IError | null): void {
    const runs = [...this._runs.values()];
    this._runs.clear();
    for (const run of runs) {
      if (run.watch.hasStarted) {
        const reason = run.hasReply ? null : error;
        const unfinished = error === null && !run.hasReply;
        this._ended(run.ended(run.error ?? run.outputs.error ?? reason, unfinished));
      }
    }
  }

  private _sent({ header, metadata, content }: IKernelMessage): void {
    const cellId = metadata.cellId;
    if (header.msg_type !== 'execute_request' || typeof cellId !== 'string') {
      return;
    }
    this._isUsed = true;
    if (this._runs.size >= MAX_RUNS) {
      this._runs.delete(this._runs.keys().next().value!);
    }
    const { code } = content as Content;
    const text = typeof code === 'string' ? cut(code, MAX_CODE_LENGTH) : '';
    this._runs.set(header.msg_id, new Run(cellId, text));
  }

  private _received(id: string, run: Run, message: IKernelMessage): void {
    const { msg_type: type, date } = message.header;
    const content = message.content as Content;
    switch (type) {
      case 'status':
        if (content.execution_state === 'busy') {
          run.watch.start(date);
        }
        run.isIdle = content.execution_state === 'idle';
        break;
      case 'execute_input':
        run.watch.start(date);
        run.countFrom(content);
        break;
      case 'execute_reply':
        this._replied(id, run, content, date);
        break;
      default:
        if (!this._isKnown(message.header.msg_id)) {
          run.outputs.add(type, content);
        }
        return;
    }
    // Outputs come by another way than the reply, and may come after it.
    if (run.hasReply && run.isIdle) {
      this._finish(run);
    }
  }

  /** A kernel does one run after another: those before it ended too, where a lost connection hid it. */
  private _finish(run: Run): void {
    for (const [id, done] of this._runs) {
      if (done === run || done.watch.hasStarted) {
        if (!done.hasReply) {
          done.watch.stop(run.watch.started);
        }
        this._runs.delete(id);
        this._ended(done.ended(done.error ?? done.outputs.error, false));
      }
      if (done === run) {
        return;
      }
    }
  }

  /** What was on its way when a connection was lost is sent again on the next one, whether or not it had arrived. */
  private _isKnown(id: string): boolean {
    if (this._known.has(id)) {
      return true;
    }
    this._known.add(id);
    if (this._known.size > MAX_KNOWN) {
      this._known.delete(this._known.values().next().value!);
    }
    return false;
  }

  private _replied(id: string, run: Run, content: Content, date: unknown): void {
    if (content.status === 'aborted' || content.status === 'abort') {
      // Called off after the error of a cell before it.
      this._runs.delete(id);
      return;
    }
    run.hasReply = true;
    run.watch.stop(date);
    run.countFrom(content);
    if (content.status === 'error') {
      run.error = errorOf(content);
    }
  }

  private readonly _runs = new Map<string, Run>();
  private readonly _known = new Set<string>();
  private _isUsed = false;
}
