import * as api from './api.ts';
import type { Acknowledgement } from './attention.ts';
import type { IFilter } from './classroom.ts';
import { Classroom } from './classroom.ts';
import type { ISocket } from './connection.ts';
import { Connection } from './connection.ts';
import type { ISettings } from './header.ts';
import type { IOverview, IStudent, IUpdate } from './model.ts';
import { preferences } from './preferences.ts';
import { Screen } from './screen.ts';
import { Chime } from './sound.ts';
import { stuckAt } from './streak.ts';
import { TEXTS } from './texts.ts';

const REDRAW_MS = 100;
const SESSION_MS = 10 * 60_000;
const LOGIN = '/dashboard/login';

const classroom = new Classroom();
const chime = new Chime();
const filter: IFilter = { text: '', team: '', status: '' };
const settings: ISettings = {
  range: '1h',
  sound: preferences.sound,
  theme: preferences.theme,
  language: preferences.language
};
const now = (): number => Date.now() + api.clockOffset;
let instructor = '';
let first = true;
let redraw: ReturnType<typeof setTimeout> | undefined;
// Errors that are being asked for, so that each is asked for once.
const asked = new Map<string, number>();

let screen = createScreen();

const connection = new Connection(
  {
    overview: takeOverview,
    update: takeUpdate,
    link: link => screen.showLink(link),
    loggedOut: () => location.assign(LOGIN)
  },
  {
    fetchOverview: () =>
      api.fetchOverview(settings.range).catch((error: unknown) => {
        if (error instanceof api.AnswerError && error.status === 401) {
          return 'logged out' as const;
        }
        throw error;
      }),
    openSocket: () => api.openSocket(settings.range) as ISocket,
    now: () => Date.now()
  }
);

function createScreen(): Screen {
  const created = new Screen(
    TEXTS[settings.language],
    settings,
    filter,
    classroom,
    {
      set: change,
      retry: () => connection.retry(),
      acknowledge,
      fetchActivity: api.fetchActivity,
      select
    },
    now
  );
  created.header.showSound(settings.sound, chime.blocked);
  return created;
}

function change(changed: Partial<ISettings>): void {
  Object.assign(settings, changed);
  if (changed.range) {
    connection.restart();
  }
  if (changed.theme) {
    preferences.theme = changed.theme;
  }
  if (changed.sound !== undefined) {
    preferences.sound = changed.sound;
    void unlock().then(() => changed.sound && chime.ring());
  }
  if (changed.language) {
    preferences.language = changed.language;
    screen = createScreen();
    screen.select(selected());
    connection.tick();
  }
}

function takeOverview(overview: IOverview): void {
  const asking = classroom.takeOverview(overview, now());
  // Who asked before the page was opened is seen first, and not heard.
  if (!first) {
    asking.forEach(hear);
  }
  first = false;
  screen.panel.refresh();
  draw();
}

function takeUpdate(update: IUpdate): void {
  const asking = classroom.takeUpdate(update, now());
  if (asking) {
    hear(asking);
  }
  if (update.student?.emailAddress === screen.panel.email) {
    screen.panel.refresh();
  }
  draw();
}

function hear(student: IStudent): void {
  screen.announce(student.emailAddress);
  if (settings.sound) {
    chime.ring();
  }
}

/** Draws soon: a class sends many events at once. */
function draw(): void {
  redraw ??= setTimeout(() => {
    redraw = undefined;
    screen.update(instructor);
    askForErrors();
  }, REDRAW_MS);
}

/** Fetches the errors that students are stuck at: the overview counts them only. */
function askForErrors(): void {
  const stuck = classroom.stuck();
  const emails = new Set(stuck.map(student => student.emailAddress));
  [...asked.keys()].filter(email => !emails.has(email)).forEach(email => asked.delete(email));
  for (const { emailAddress, consecutiveErrorCount } of stuck) {
    if (asked.get(emailAddress) === consecutiveErrorCount) {
      continue;
    }
    asked.set(emailAddress, consecutiveErrorCount);
    api
      .fetchActivity(emailAddress)
      .then(({ recentExecutions }) => {
        const message = stuckAt(recentExecutions);
        if (message) {
          classroom.takeError(emailAddress, message);
          draw();
        }
      })
      .catch(() => asked.delete(emailAddress));
  }
}

async function acknowledge(email: string, what: Acknowledgement): Promise<void> {
  try {
    await api.acknowledge(email, what);
    await connection.refresh();
  } catch {
    screen.complain(what);
  }
}

/** The address names who is selected: the browser's back button closes the panel. */
function select(email: string | null): void {
  const hash = email === null ? '' : `#student=${encodeURIComponent(email)}`;
  if (hash !== location.hash) {
    history.pushState(null, '', `${location.pathname}${hash}`);
  }
  screen.select(email);
}

function selected(): string | null {
  const found = /^#student=(.+)$/.exec(location.hash)?.[1];
  try {
    return found ? decodeURIComponent(found) : null;
  } catch {
    return null;
  }
}

async function unlock(): Promise<void> {
  if (settings.sound) {
    await chime.unlock().catch(() => undefined);
  }
  screen.header.showSound(settings.sound, chime.blocked);
}

function keepSession(): void {
  api
    .fetchName()
    .then(name => {
      instructor = name;
      draw();
    })
    .catch(() => undefined);
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, select, textarea');
}

document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && screen.panel.email !== null) {
    select(null);
  } else if (event.key === '/' && !typing(event.target)) {
    event.preventDefault();
    screen.focusSearch();
  }
});
document.addEventListener('pointerdown', () => void unlock());
document.addEventListener('keydown', () => void unlock());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    connection.retry();
  }
});
window.addEventListener('online', () => connection.retry());
window.addEventListener('offline', () => connection.retry());
window.addEventListener('popstate', () => screen.select(selected()));

setInterval(() => {
  connection.tick();
  draw();
}, 1000);
setInterval(keepSession, SESSION_MS);
connection.tick();
keepSession();
screen.select(selected());
