import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { HelpRequest } from './help';

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

  /** Lets go of the request. */
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
