import { PageConfig } from '@jupyterlab/coreutils';

/** Keeps the settings of this browser's pages equal: JupyterLab loads a page's settings once. */
export class OtherPages {
  /**
   * @param reload - loads the settings again, because another page changed them.
   */
  constructor(reload: () => void) {
    if (typeof BroadcastChannel === 'undefined') {
      return;
    }
    // A hub serves several users from one origin.
    this._channel = new BroadcastChannel(`cell-monitor:settings:${PageConfig.getBaseUrl()}`);
    this._channel.onmessage = ({ data }) => {
      if (data !== this._seen) {
        this._seen = data;
        reload();
      }
    };
  }

  /** Tells the other pages, unless these are the settings that they have, too. */
  see(settings: object): void {
    const seen = JSON.stringify(settings);
    if (this._seen !== undefined && seen !== this._seen) {
      this._channel?.postMessage(seen);
    }
    this._seen = seen;
  }

  private readonly _channel?: BroadcastChannel;
  private _seen: unknown;
}
