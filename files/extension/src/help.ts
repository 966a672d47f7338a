import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

export const HEARTBEAT_MS = 10_000;

/** A student's request for help in one notebook: a heartbeat for as long as it is on. */
export class HelpRequest {
  constructor(private readonly _send: (eventType: 'help' | 'help_stop') => void) {}

  get isOn(): boolean {
    return this._timer !== null;
  }

  get changed(): ISignal<this, boolean> {
    return this._changed;
  }

  start(): void {
    if (this._timer === null) {
      this._timer = setInterval(() => this._send('help'), HEARTBEAT_MS);
      this._send('help');
      this._changed.emit(true);
    }
  }

  stop(): void {
    if (this._timer !== null) {
      clearInterval(this._timer);
      this._timer = null;
      this._send('help_stop');
      this._changed.emit(false);
    }
  }

  private _timer: ReturnType<typeof setInterval> | null = null;
  private readonly _changed = new Signal<this, boolean>(this);
}

/** The texts of the help button. */
export interface IHelpTexts {
  readonly label: string;
  readonly off: string;
  readonly on: string;
}

/** The button in a notebook's toolbar; it shows the state of a request, and changes nothing itself. */
export class HelpButton extends Widget {
  constructor(
    private readonly _request: HelpRequest,
    private readonly _texts: IHelpTexts,
    onClick: () => void
  ) {
    super();
    this.addClass('cm-HelpButton');
    this._button.type = 'button';
    this._button.className = 'cm-HelpButton-button';
    this._button.dataset.testid = 'cell-monitor-help';
    this._button.textContent = _texts.label;
    this._button.addEventListener('click', onClick);
    this.node.appendChild(this._button);
    _request.changed.connect(() => this._show(), this);
    this._show();
  }

  override dispose(): void {
    Signal.clearData(this);
    super.dispose();
  }

  private _show(): void {
    this._button.setAttribute('aria-pressed', String(this._request.isOn));
    this._button.title = this._request.isOn ? this._texts.on : this._texts.off;
  }

  private readonly _button = document.createElement('button');
}
