import { Signal } from '@lumino/signaling';

/** A kernel as its connection shows it. */
export class Kernel {
  readonly anyMessage = new Signal<object, unknown>({});

  /** Runs a cell as JupyterLab does; returns how to go on. */
  request(id: string, cellId: string, code: string | undefined = `source of ${cellId}`) {
    this._emit('send', 'execute_request', id, undefined, { code }, { cellId });
    return {
      recv: (type: string, content: object, second = 0, msg = `${id}-${this._messages++}`) =>
        this._emit('recv', type, msg, id, content, {}, second),
      run(
        seconds = 1,
        reply: object = { status: 'ok', execution_count: 1 },
        outputs = (): void => undefined
      ) {
        this.recv('status', { execution_state: 'busy' });
        outputs();
        this.recv('execute_reply', reply, seconds);
        this.recv('status', { execution_state: 'idle' }, seconds);
      }
    };
  }

  /** Is started again by the Jupyter server. */
  die(): void {
    this._emit('recv', 'status', 's', undefined, { execution_state: 'restarting' }, {});
  }

  private _emit(
    direction: string,
    msg_type: string,
    msg_id: string,
    parent: string | undefined,
    content: object,
    metadata: object,
    second = 0
  ) {
    const date = `2026-11-23T01:00:${String(second).padStart(2, '0')}.000Z`;
    const header = { msg_id, msg_type, date };
    const msg = { header, parent_header: { msg_id: parent }, metadata, content };
    this.anyMessage.emit({ direction, msg });
  }

  private _messages = 0;
}

/** A view of a notebook. */
export class Panel {
  constructor(path: string, document?: Panel) {
    this.kernel = document?.kernel ?? new Kernel();
    this.context = document?.context ?? new Context(path, this.kernel);
  }
  readonly kernel: Kernel;
  readonly context: Context;
  readonly content = {};

  cell(
    id: string,
    type: string,
    outputs: { output_type: string; [key: string]: unknown }[],
    count: number | null
  ) {
    const model = {
      id,
      type,
      executionCount: count,
      getMetadata: () => undefined,
      sharedModel: { getSource: () => `source of ${id}` },
      outputs: { length: outputs.length, get: (i: number) => ({ toJSON: () => outputs[i] }) }
    };
    this.context.cells.push(model);
    return { model };
  }

  rename(path: string): void {
    this.context.path = path;
    this.context.pathChanged.emit(path);
  }

  close(): void {
    this.context.sessionContext.isDisposed = true;
    this.context.sessionContext.disposed.emit(undefined);
  }
}

/** A notebook, as all its views share it. */
export class Context {
  constructor(
    public path: string,
    kernel: Kernel
  ) {
    this.sessionContext.session.kernel = kernel;
  }
  readonly isReady = true;
  readonly ready = Promise.resolve();
  readonly cells: { id: string }[] = [];
  readonly model = {
    cells: ((cells: { id: string }[]) => ({
      get length() {
        return cells.length;
      },
      get: (index: number) => cells[index]
    }))(this.cells)
  };
  readonly pathChanged = new Signal<object, string>({});
  readonly saveState = new Signal<object, string>({});
  readonly sessionContext = {
    isDisposed: false,
    session: { kernel: null as Kernel | null },
    kernelChanged: new Signal<object, unknown>({}),
    statusChanged: new Signal<object, string>({}),
    disposed: new Signal<object, void>({})
  };
}
