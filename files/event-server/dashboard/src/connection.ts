import type { IOverview, IUpdate } from './model.ts';

/** How up to date the screen is. */
export interface ILink {
  /** `live`: told of everything at once; `polling`: asks; `lost`: neither works. */
  state: 'connecting' | 'live' | 'polling' | 'lost';
  /** When the server was last heard of, in milliseconds since 1970; null if never. */
  heardAt: number | null;
}

/** What a connection tells its owner. */
export interface IListener {
  overview(overview: IOverview): void;
  update(update: IUpdate): void;
  link(link: ILink): void;
  /** The session has ended. */
  loggedOut(): void;
}

/** What a connection needs of a websocket. */
export interface ISocket {
  onopen: (() => void) | null;
  onmessage: ((message: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(data: string): void;
  close(): void;
}

/** What a connection needs of its surroundings; tests bring their own. */
export interface ISurroundings {
  /** Asks for the overview; rejects where there is no answer. */
  fetchOverview(): Promise<IOverview | 'logged out'>;
  openSocket(): ISocket;
  now(): number;
}

const POLL_MS = 5000;
/** While live: some statuses change with time alone. */
const REFRESH_MS = 20_000;
const PING_MS = 5000;
const SILENCE_MS = 12_000;
/** The code with which the server closes the websocket of a session that has ended. */
const LOGIN_NEEDED = 4401;
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];

/**
 * Keeps the screen up to date: by websocket, and by asking every five seconds while there is none.
 */
export class Connection {
  private readonly listener: IListener;
  private readonly around: ISurroundings;
  private socket: ISocket | null = null;
  private socketHeardAt = 0;
  private socketOpen = false;
  private heardAt: number | null = null;
  private failed = false;
  private attempts = 0;
  private nextSocketAt = 0;
  private nextPollAt = 0;
  private nextPingAt = 0;
  private polling = false;
  private stopped = false;

  constructor(listener: IListener, around: ISurroundings) {
    this.listener = listener;
    this.around = around;
  }

  /** Does what is due; to be called about once a second. */
  tick(): void {
    const now = this.around.now();
    if (this.stopped) {
      return;
    }
    if (this.socket === null && now >= this.nextSocketAt) {
      this.connect();
    } else if (this.socket !== null && now - this.socketHeardAt > SILENCE_MS) {
      this.drop(this.socket);
    } else if (this.socketOpen && now >= this.nextPingAt) {
      this.nextPingAt = now + PING_MS;
      this.socket?.send('{"type":"ping"}');
    }
    if (now >= this.nextPollAt) {
      void this.refresh();
    }
    this.tell();
  }

  /** Asks for the overview now. */
  async refresh(): Promise<void> {
    if (this.polling || this.stopped) {
      return;
    }
    this.polling = true;
    try {
      const overview = await this.around.fetchOverview();
      if (overview === 'logged out') {
        this.end();
        return;
      }
      this.failed = false;
      this.heardAt = this.around.now();
      this.listener.overview(overview);
    } catch {
      this.failed = true;
    } finally {
      this.polling = false;
      this.nextPollAt =
        this.around.now() + (this.socketOpen && !this.failed ? REFRESH_MS : POLL_MS);
    }
    this.tell();
  }

  /** Tries everything again at once: the computer has woken up, or the network is back. */
  retry(): void {
    this.attempts = 0;
    this.nextSocketAt = 0;
    this.nextPollAt = 0;
    this.tick();
  }

  /** Begins anew: something else is to be shown. */
  restart(): void {
    if (this.socket) {
      this.drop(this.socket);
    }
    this.retry();
  }

  private connect(): void {
    const socket = this.around.openSocket();
    this.socket = socket;
    this.socketHeardAt = this.around.now();
    socket.onopen = () => {
      this.socketOpen = true;
      // What happened while there was no socket, then the next one in peace.
      this.nextPollAt = 0;
      this.nextPingAt = 0;
      this.heard();
    };
    socket.onmessage = message => {
      this.attempts = 0;
      this.heard();
      this.take(message.data);
    };
    socket.onclose = ({ code }) => {
      this.drop(socket);
      if (code === LOGIN_NEEDED) {
        this.end();
      }
    };
  }

  /** The session is over: nothing more will come. */
  private end(): void {
    this.stopped = true;
    if (this.socket) {
      this.drop(this.socket);
    }
    this.listener.loggedOut();
  }

  private heard(): void {
    this.socketHeardAt = this.around.now();
    // A server that cannot read its store has nothing new to tell.
    if (!this.failed) {
      this.heardAt = this.socketHeardAt;
    }
    this.tell();
  }

  private take(data: unknown): void {
    let message: unknown;
    try {
      message = JSON.parse(String(data));
    } catch {
      return;
    }
    const { type, data: update } = (message ?? {}) as { type?: unknown; data?: IUpdate | null };
    if (type !== 'progress_update' || !update) {
      return;
    }
    if (update.student) {
      this.listener.update(update);
    } else {
      // A server that does not send the student's row.
      this.nextPollAt = Math.min(this.nextPollAt, this.around.now() + 1000);
    }
  }

  private drop(socket: ISocket): void {
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    if (socket !== this.socket) {
      return;
    }
    this.socket = null;
    if (this.socketOpen) {
      this.socketOpen = false;
      this.nextPollAt = 0;
    }
    const wait = RETRY_MS[Math.min(this.attempts, RETRY_MS.length - 1)] ?? POLL_MS;
    this.attempts += 1;
    this.nextSocketAt = this.around.now() + wait;
    this.tell();
  }

  private tell(): void {
    this.listener.link({ state: this.state(), heardAt: this.heardAt });
  }

  private state(): ILink['state'] {
    if (this.failed || (this.heardAt !== null && this.around.now() - this.heardAt > SILENCE_MS)) {
      return 'lost';
    }
    if (this.heardAt === null) {
      return 'connecting';
    }
    return this.socketOpen ? 'live' : 'polling';
  }
}
