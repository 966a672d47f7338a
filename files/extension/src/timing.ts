/** The milliseconds from one time of the kernel's clock to another, undefined when they cannot be told. */
function between(started: unknown, ended: unknown): number | undefined {
  const duration = Date.parse(String(ended)) - Date.parse(String(started));
  return duration >= 0 ? Math.round(duration) : undefined;
}

/**
 * How long a cell really ran: from the kernel's "busy" to its reply, by the kernel's clock.
 *
 * The time that a cell waited for those before it, or that the browser took, is not in it.
 */
export class Stopwatch {
  /** @param now - the milliseconds of the browser's clock, for what the kernel does not tell. */
  constructor(private readonly _now: () => number = () => performance.now()) {}

  /** Whether the kernel has begun. */
  get hasStarted(): boolean {
    return this._startedHere !== null;
  }

  /** When the kernel began, by its clock, as it told. */
  get started(): unknown {
    return this._started;
  }

  /** Takes the date of the first message that tells that the kernel has begun. */
  start(date: unknown): void {
    if (this._startedHere === null) {
      this._started = date;
      this._startedHere = this._now();
    }
  }

  /** Takes the date of the reply. */
  stop(date: unknown): void {
    this._ended = date;
    this._endedHere = this._now();
  }

  /** The milliseconds from start to stop, or until now. */
  get elapsedMs(): number {
    const here = (this._endedHere ?? this._now()) - (this._startedHere ?? NaN);
    return between(this._started, this._ended) ?? (here >= 0 ? Math.round(here) : 0);
  }

  private _started: unknown;
  private _ended: unknown;
  private _startedHere: number | null = null;
  private _endedHere: number | null = null;
}

/** The milliseconds between the times that JupyterLab notes in a cell where it is told to. */
export function recordedDuration(execution: unknown): number | undefined {
  if (typeof execution !== 'object' || execution === null) {
    return undefined;
  }
  const times = execution as Readonly<Record<string, unknown>>;
  return between(
    times['shell.execute_reply.started'] ?? times['iopub.execute_input'],
    times['shell.execute_reply'] ?? times['iopub.status.idle']
  );
}
