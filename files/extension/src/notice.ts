import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

/** What the administrator wants everybody to know. */
export interface INotice {
  readonly id: string;
  readonly message: string;
  /** When it stops being of interest. */
  readonly until: Date | null;
  readonly severity: 'info' | 'warning';
}

/** What a board of notices works with. */
export interface INoticeOptions {
  /** Asks for the notice of the moment, null for none; undefined where the server knows no notices. */
  readonly ask: () => Promise<INotice | null | undefined>;
  /** Shows a notice; what it returns takes the notice down. */
  readonly show: (notice: INotice) => () => void;
  /** Whether it is the first time that the user would see this notice. */
  readonly isNew: (id: string) => boolean;
  /** Whether the server is known to be away. */
  readonly isAway: () => boolean;
}

/** How often the server is asked. */
export const POLL_MS = 60_000;
/** How often where it does not answer: each attempt leaves a line in the browser's console. */
export const SLOWEST_POLL_MS = 15 * 60_000;
// JupyterLab cuts what is longer.
const MAX_SHOWN = 140;
const MAX_REMEMBERED = 20;

/** Shows each notice of the administrator once, and takes it down when its time is over. */
export class NoticeBoard {
  constructor(private readonly _options: INoticeOptions) {}

  /** Asks now and from time to time, while the page is looked at. */
  start(): void {
    document.addEventListener('visibilitychange', () => {
      if (this._isDue && !document.hidden) {
        this._tick();
      }
    });
    this._tick();
  }

  private _tick(): void {
    this._isDue = document.hidden;
    if (!this._isDue) {
      void this._poll().then(pause => {
        if (pause !== null) {
          setTimeout(() => this._tick(), pause * (0.75 + Math.random() / 2));
        }
      });
    }
  }

  /** Asks once; returns the milliseconds until the next time, null for never. */
  private async _poll(): Promise<number | null> {
    if (this._options.isAway()) {
      return POLL_MS;
    }
    try {
      const notice = await this._options.ask();
      if (notice === undefined) {
        return null;
      }
      this._failures = 0;
      this._see(notice);
      return POLL_MS;
    } catch {
      this._failures += 1;
      return Math.min(SLOWEST_POLL_MS, POLL_MS * 2 ** this._failures);
    }
  }

  private _see(notice: INotice | null): void {
    if (notice?.id === this._shown) {
      return;
    }
    this._takeDown();
    const left = notice?.until ? notice.until.getTime() - Date.now() : Infinity;
    if (notice === null || left <= 0 || !this._options.isNew(notice.id)) {
      return;
    }
    const hide = this._options.show(notice);
    // What ends later than a timer can say is taken down when the server no longer has it.
    const timer = left < 2 ** 31 ? setTimeout(() => this._takeDown(), left) : undefined;
    this._shown = notice.id;
    this._takeDown = () => {
      clearTimeout(timer);
      hide();
      this._shown = undefined;
      this._takeDown = () => undefined;
    };
  }

  private _takeDown = (): void => undefined;
  private _shown: string | undefined;
  private _isDue = false;
  private _failures = 0;
}

/** Asks the Jupyter server for its notice. */
export async function askServer(
  server: ServerConnection.ISettings
): Promise<INotice | null | undefined> {
  // Without the argument, a page that is only open would count as somebody at work.
  const url = `${URLExt.join(server.baseUrl, 'cell-monitor', 'notice')}?no_track_activity=1`;
  const answer = await ServerConnection.makeRequest(url, {}, server);
  switch (answer.status) {
    case 200:
      return readNotice(await answer.json());
    case 204:
      return null;
    case 404:
      return undefined;
    default:
      throw new Error(`status ${answer.status}`);
  }
}

/** Reads a notice; null where it is none. */
export function readNotice(body: unknown): INotice | null {
  const { id, message, until, severity } = (body ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || typeof message !== 'string' || message.trim() === '') {
    return null;
  }
  const end = typeof until === 'string' ? new Date(until) : null;
  return {
    id,
    message: message.trim(),
    until: end && !isNaN(end.getTime()) ? end : null,
    severity: severity === 'warning' ? 'warning' : 'info'
  };
}

/** Shows a notice as JupyterLab's own, what is too long for that on demand. */
export function showNotice(trans: TranslationBundle, notice: INotice): () => void {
  const end = notice.until ? `\n${trans.__('Until %1', timeOf(notice.until))}` : '';
  const room = MAX_SHOWN - end.length;
  const isLong = notice.message.length > room;
  const message = isLong ? `${notice.message.slice(0, room - 1)}…` : notice.message;
  const readAll = {
    label: trans.__('Read all'),
    callback: (): void => {
      showDialog({
        title: trans.__('Cell Monitor'),
        body: notice.message + end,
        buttons: [Dialog.okButton()]
      }).catch(() => undefined);
    }
  };
  const id = Notification.emit(message + end, notice.severity, {
    autoClose: false,
    actions: isLong ? [readAll] : []
  });
  return () => Notification.dismiss(id);
}

function timeOf(time: Date): string {
  return time.toDateString() === new Date().toDateString()
    ? time.toLocaleTimeString([], { timeStyle: 'short' })
    : time.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

/** Remembers over reloads which notices this user has seen; true for one that is new. */
export function isNewNotice(id: string): boolean {
  // A hub serves several users from one origin.
  const key = `cell-monitor:notices:${PageConfig.getBaseUrl()}`;
  try {
    const seen = JSON.parse(localStorage.getItem(key) ?? '[]') as unknown;
    const ids = Array.isArray(seen) ? (seen as unknown[]) : [];
    if (ids.includes(id)) {
      return false;
    }
    localStorage.setItem(key, JSON.stringify([...ids.slice(1 - MAX_REMEMBERED), id]));
  } catch {
    // The board itself remembers for as long as the page is open.
  }
  return true;
}
