import type { Classroom, IFilter } from './classroom.ts';
import type { ILink } from './connection.ts';
import { h, set, write } from './dom.ts';
import type { Status, TimeRange } from './model.ts';
import { STATUSES, TIME_RANGES } from './model.ts';
import type { Theme } from './preferences.ts';
import { shape } from './shapes.ts';
import type { ITexts, Language } from './texts.ts';
import { clock } from './texts.ts';

/** What is set in the header. */
export interface ISettings {
  range: TimeRange;
  sound: boolean;
  theme: Theme;
  language: Language;
}

/** What the header lets an instructor do. */
export interface IHeaderActions {
  filter: (status: Status | '') => void;
  set: (settings: Partial<ISettings>) => void;
  retry: () => void;
}

const THEMES: Theme[] = ['auto', 'light', 'dark'];

/** The class in numbers, how up to date the screen is, and its settings. */
export class Header {
  readonly element: HTMLElement;
  /** Shown while the connection is lost. */
  readonly banner: HTMLElement;
  private readonly texts: ITexts;
  private readonly link: HTMLElement;
  private readonly lost = h('span');
  private readonly name = h('span', { class: 'who' });
  private readonly totals = h('span', { class: 'totals' });
  private readonly chips = new Map<Status, { button: HTMLButtonElement; count: HTMLElement }>();
  private readonly sound: HTMLButtonElement;
  private shownLink = '';

  constructor(texts: ITexts, settings: ISettings, actions: IHeaderActions) {
    this.texts = texts;
    this.link = h('span', { class: 'link', role: 'status' });
    this.sound = h('button', {
      type: 'button',
      click: () => actions.set({ sound: this.sound.getAttribute('aria-pressed') !== 'true' })
    });
    const chips = STATUSES.map(status => this.chip(status, actions));
    const range = choice(texts.range, settings.range, TIME_RANGES, texts.ranges, range =>
      actions.set({ range })
    );
    const theme = choice(texts.theme, settings.theme, THEMES, texts.themes, theme =>
      actions.set({ theme })
    );
    const language = choice(
      texts.language,
      settings.language,
      ['ja', 'en'],
      { ja: '日本語', en: 'English' },
      language => actions.set({ language })
    );
    const logOut = h('form', { method: 'post', action: '/dashboard/logout' });
    logOut.append(h('button', { type: 'submit' }, texts.logOut));
    this.element = h(
      'header',
      { class: 'top' },
      h('h1', {}, 'Cell Monitor'),
      h('div', { class: 'chips', role: 'group', 'aria-label': texts.status }, ...chips),
      this.totals,
      h(
        'div',
        { class: 'settings' },
        this.link,
        range,
        this.sound,
        theme,
        language,
        this.name,
        logOut
      )
    );
    const again = h('button', { type: 'button', click: () => actions.retry() }, texts.retry);
    this.banner = h('div', { class: 'banner', role: 'alert', hidden: true }, this.lost, again);
  }

  update(classroom: Classroom, filter: IFilter, name: string): void {
    const counts = classroom.counts();
    for (const [status, { button, count }] of this.chips) {
      write(count, String(counts[status]));
      set(button, 'aria-pressed', String(filter.status === status));
    }
    const { metrics } = classroom;
    const { texts } = this;
    write(
      this.totals,
      metrics
        ? `${texts.students} ${metrics.totalStudents} · ${texts.executions} ${metrics.totalExecutions} · ${texts.errors} ${metrics.errorCount}`
        : ''
    );
    write(this.name, name);
  }

  showLink(link: ILink, now: number): void {
    const { texts } = this;
    if (this.shownLink !== link.state) {
      this.shownLink = link.state;
      set(this.link, 'data-state', link.state);
      write(this.link, texts.links[link.state]);
    }
    const lost = link.state === 'lost';
    if (lost) {
      write(
        this.lost,
        link.heardAt === null ? texts.neverHeard : texts.lost(clock(texts, link.heardAt, now))
      );
    }
    this.banner.hidden = !lost;
    document.body.classList.toggle('stale', lost);
  }

  showSound(on: boolean, blocked: boolean): void {
    set(this.sound, 'aria-pressed', String(on));
    write(this.sound, on ? this.texts.soundOn : this.texts.soundOff);
    set(this.sound, 'title', on && blocked ? this.texts.soundBlocked : null);
    this.sound.classList.toggle('blocked', on && blocked);
  }

  private chip(status: Status, actions: IHeaderActions): HTMLElement {
    const count = h('span', { class: 'count' });
    const button = h('button', {
      type: 'button',
      class: 'chip',
      'data-status': status,
      click: () => actions.filter(button.getAttribute('aria-pressed') === 'true' ? '' : status)
    });
    button.append(shape(status), this.texts.statuses[status], count);
    this.chips.set(status, { button, count });
    return button;
  }
}

function choice<T extends string>(
  label: string,
  value: T,
  values: readonly T[],
  names: Record<T, string>,
  choose: (value: T) => void
): HTMLSelectElement {
  const select = h('select', {
    'aria-label': label,
    change: () => {
      const chosen = values.find(each => each === select.value);
      if (chosen !== undefined) {
        choose(chosen);
      }
    }
  });
  select.append(...values.map(each => h('option', { value: each }, names[each])));
  select.value = value;
  return select;
}
