/** The parts of a kernel message that are read here. */
export interface IKernelMessage {
  readonly header: { readonly msg_id: string; readonly msg_type: string; readonly date: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly content: unknown;
}

interface IRequest {
  readonly cellId: string;
  started?: number;
}

const MAX_REQUESTS = 1000;

/**
 * How long cells really ran: from the kernel's "busy" to its reply, by the kernel's clock.
 *
 * The time that a cell waited for those before it, or that the browser took, is not in it.
 */
export class ExecutionTimer {
  /** Takes a message that was sent to a kernel or has come from one. */
  observe(direction: 'send' | 'recv', message: IKernelMessage): void {
    const { header, parent_header: parent } = message;
    if (direction === 'send') {
      if (header.msg_type === 'execute_request' && typeof message.metadata.cellId === 'string') {
        this._remember(header.msg_id, message.metadata.cellId);
      }
      return;
    }
    const id = parent.msg_id;
    const request = id === undefined ? undefined : this._requests.get(id);
    if (id === undefined || request === undefined) {
      return;
    }
    if (header.msg_type === 'execute_input' || isBusy(message)) {
      request.started ??= Date.parse(header.date);
    } else if (header.msg_type === 'execute_reply') {
      this._requests.delete(id);
      const duration = Date.parse(header.date) - (request.started ?? NaN);
      if (duration >= 0) {
        this._durations.set(request.cellId, Math.round(duration));
      }
    }
  }

  /** The milliseconds that a cell's latest execution took; it is forgotten thereby. */
  take(cellId: string): number | undefined {
    const duration = this._durations.get(cellId);
    this._durations.delete(cellId);
    return duration;
  }

  private _remember(id: string, cellId: string): void {
    // A kernel that dies never replies.
    if (this._requests.size >= MAX_REQUESTS) {
      this._requests.clear();
    }
    this._requests.set(id, { cellId });
  }

  private readonly _requests = new Map<string, IRequest>();
  private readonly _durations = new Map<string, number>();
}

function isBusy(message: IKernelMessage): boolean {
  return (
    message.header.msg_type === 'status' &&
    (message.content as { execution_state?: unknown }).execution_state === 'busy'
  );
}

/** The milliseconds between the times that JupyterLab notes in a cell where it is told to. */
export function recordedDuration(execution: unknown): number | undefined {
  if (typeof execution !== 'object' || execution === null) {
    return undefined;
  }
  const times = execution as Readonly<Record<string, unknown>>;
  const started = times['shell.execute_reply.started'] ?? times['iopub.execute_input'];
  const ended = times['shell.execute_reply'] ?? times['iopub.status.idle'];
  const duration = Date.parse(String(ended)) - Date.parse(String(started));
  return duration >= 0 ? Math.round(duration) : undefined;
}
