import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { IQueueState } from './queue';

/** What the status bar tells of. */
export interface IStatus extends IQueueState {
  /** Whether what waits outlives the page. */
  readonly isPersistent: boolean;
  /** What has to be known before anything is reported, null where nothing has. */
  readonly missing: 'identity' | 'team' | null;
}

/** A status in words. */
export interface IStatusTexts {
  readonly kind: 'sent' | 'waiting' | 'offline' | 'silent';
  readonly text: string;
  readonly explanation: string;
}

/** What passes sooner is not worth a look. */
const PATIENCE_MS = 2000;

/** Says in a few words how it goes, and in a sentence what that means. */
export function describe(trans: TranslationBundle, status: IStatus): IStatusTexts {
  const { waiting, offline, isPersistent, missing } = status;
  if (missing !== null) {
    return {
      kind: 'silent',
      text: trans.__('Not reporting'),
      explanation:
        missing === 'identity'
          ? trans.__('Your instructor sees nothing yet. Click to say who you are.')
          : trans.__('Your instructor sees nothing yet. Click to choose your team.')
    };
  }
  if (waiting === 0) {
    return {
      kind: 'sent',
      text: trans.__('Sent'),
      explanation: trans.__('What you ran has been sent.')
    };
  }
  return {
    kind: offline ? 'offline' : 'waiting',
    text: offline ? trans.__('Offline (%1 waiting)', waiting) : trans.__('%1 waiting', waiting),
    explanation: isPersistent
      ? trans.__('Saved in this browser, and sent automatically. You can go on working.')
      : trans.__('Kept while this page is open, and sent automatically. You can go on working.')
  };
}

/** A few words in the status bar. Call `update()` when something has changed. */
export class StatusItem extends Widget {
  /**
   * @param status - how it is now, null while that is not known.
   * @param onClick - lets the student say what is missing.
   */
  constructor(
    private readonly _trans: TranslationBundle,
    private readonly _status: () => IStatus | null,
    onClick: () => void
  ) {
    super();
    this.addClass('cm-Status');
    this.node.dataset.testid = 'cell-monitor-status';
    this._button.type = 'button';
    this._button.className = 'cm-Status-button';
    this._button.addEventListener('click', onClick);
    this._live.className = 'cm-Status-live';
    this._live.setAttribute('role', 'status');
    this.node.append(this._text, this._button, this._live);
  }

  protected override onUpdateRequest(): void {
    const status = this._status();
    if (status === null) {
      return;
    }
    const texts = describe(this._trans, status);
    if (texts.kind === 'sent' || texts.kind === 'silent') {
      this._waitsSince = null;
    } else if (this._waitsSince === null) {
      this._waitsSince = performance.now();
      setTimeout(() => this.update(), PATIENCE_MS);
    }
    if (this._waitsSince === null || performance.now() - this._waitsSince >= PATIENCE_MS) {
      this._show(texts);
    }
  }

  private _show({ kind, text, explanation }: IStatusTexts): void {
    const isButton = kind === 'silent';
    this._button.textContent = isButton ? text : '';
    this._button.hidden = !isButton;
    this._text.textContent = isButton ? '' : text;
    this.node.title = explanation;
    if (kind !== this._kind) {
      // Once for each change of kind: a number that grows is no news to those who listen.
      this._live.textContent = this._kind === null ? '' : explanation;
      this._kind = kind;
      this.node.dataset.kind = kind;
    }
  }

  private readonly _text = document.createElement('span');
  private readonly _button = document.createElement('button');
  private readonly _live = document.createElement('span');
  private _kind: IStatusTexts['kind'] | null = null;
  private _waitsSince: number | null = null;
}
