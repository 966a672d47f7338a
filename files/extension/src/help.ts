import { Signal, type ISignal } from '@lumino/signaling';

import { every } from './heartbeat';

/** How often a request for help is said again. */
export const HEARTBEAT_MS = 10_000;

/** A student's request for help in one notebook: a heartbeat for as long as it is on. */
export class HelpRequest {
  /** @param _send - sends an event; false when it does not because the last one still waits. */
  constructor(private readonly _send: (eventType: 'help' | 'help_stop') => boolean) {}

  /** Whether help is asked for. */
  get isOn(): boolean {
    return this._stopBeating !== null;
  }

  /** Says when a request begins and when it ends. */
  get changed(): ISignal<this, boolean> {
    return this._changed;
  }

  /** Asks for help. */
  start(): void {
    if (this._stopBeating === null) {
      this._beats = 0;
      this._stopBeating = every(HEARTBEAT_MS, () => this._beat());
      this._beat();
      this._changed.emit(true);
    }
  }

  /** Asks no more. */
  stop(): void {
    if (this._stopBeating !== null) {
      this._stopBeating();
      this._stopBeating = null;
      this._send('help_stop');
      this._changed.emit(false);
    }
  }

  /**
   * Takes the news that the instructor has seen to the requests of this page; true when it ends this one.
   *
   * The news may be late and mean a request before this one. It is told again with each heartbeat,
   * so it is heeded from the second on: that one is sent only when the first has left, and with it
   * all that is older.
   */
  dismiss(): boolean {
    const heeded = this.isOn && this._beats > 1;
    if (heeded) {
      this.stop();
    }
    return heeded;
  }

  private _beat(): void {
    if (this._send('help')) {
      this._beats += 1;
    }
  }

  private _beats = 0;
  private _stopBeating: (() => void) | null = null;
  private readonly _changed = new Signal<this, boolean>(this);
}
