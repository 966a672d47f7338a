import type { Acknowledgement, AttentionList } from './attention.ts';
import { helpList, stuckList } from './attention.ts';
import { Chart } from './chart.ts';
import type { Classroom, IFilter } from './classroom.ts';
import type { ILink } from './connection.ts';
import { h, write } from './dom.ts';
import { Grid } from './grid.ts';
import type { ISettings } from './header.ts';
import { Header } from './header.ts';
import type { IActivity } from './model.ts';
import { nameOf } from './model.ts';
import { Panel } from './panel.ts';
import type { ITexts } from './texts.ts';
import { Toolbar } from './toolbar.ts';

/** What the screen asks of the program around it. */
export interface IScreenActions {
  set: (settings: Partial<ISettings>) => void;
  retry: () => void;
  acknowledge: (email: string, what: Acknowledgement) => Promise<void>;
  fetchActivity: (email: string) => Promise<IActivity>;
  select: (email: string | null) => void;
}

/** Everything that is seen, in one language. */
export class Screen {
  readonly panel: Panel;
  readonly header: Header;
  private readonly classroom: Classroom;
  private readonly filter: IFilter;
  private readonly now: () => number;
  private readonly help: AttentionList;
  private readonly stuck: AttentionList;
  private readonly grid: Grid;
  private readonly toolbar: Toolbar;
  private readonly chart: Chart;
  private readonly notice = h('p', { class: 'toast', role: 'alert', hidden: true });
  private readonly announcer = h('p', { class: 'visually-hidden', role: 'status' });
  private readonly texts: ITexts;

  constructor(
    texts: ITexts,
    settings: ISettings,
    filter: IFilter,
    classroom: Classroom,
    actions: IScreenActions,
    now: () => number
  ) {
    this.texts = texts;
    this.classroom = classroom;
    this.filter = filter;
    this.now = now;
    const open = (email: string): void => actions.select(email);
    const rowActions = { open, acknowledge: actions.acknowledge };
    this.header = new Header(texts, settings, {
      filter: status => this.change({ status }),
      set: actions.set,
      retry: actions.retry
    });
    this.help = helpList(texts, classroom, rowActions, now);
    this.stuck = stuckList(texts, classroom, rowActions);
    this.chart = new Chart(texts, texts.activity);
    this.toolbar = new Toolbar(texts, change => this.change(change));
    this.grid = new Grid(texts, classroom, open, now);
    this.panel = new Panel(
      texts,
      classroom,
      {
        fetch: actions.fetchActivity,
        acknowledge: actions.acknowledge,
        close: () => actions.select(null)
      },
      now
    );
    document.documentElement.lang = texts.locale.slice(0, 2);
    document.body.replaceChildren(
      this.header.element,
      this.header.banner,
      h(
        'main',
        { 'aria-label': texts.screen },
        h('div', { class: 'side' }, this.help.element, this.stuck.element, this.chart.element),
        h(
          'section',
          { class: 'class', 'aria-label': texts.students },
          this.toolbar.element,
          this.grid.element
        )
      ),
      this.panel.element,
      this.notice,
      this.announcer
    );
  }

  update(name: string): void {
    this.header.update(this.classroom, this.filter, name);
    const asking = this.classroom.asking();
    this.help.update(asking);
    this.stuck.update(this.classroom.stuck());
    this.chart.update(this.classroom.chart);
    const shown = this.grid.update(this.filter, this.panel.email);
    this.toolbar.update(this.classroom, this.filter, shown);
    this.panel.update();
    document.title = asking.length > 0 ? `(${asking.length}) Cell Monitor` : 'Cell Monitor';
    this.name = name;
  }

  showLink(link: ILink): void {
    this.header.showLink(link, this.now());
  }

  /** Tells screen readers who has begun to ask for help. */
  announce(email: string): void {
    const student = this.classroom.student(email);
    if (student) {
      write(this.announcer, this.texts.asksNow(nameOf(student)));
    }
  }

  /** Says for a few seconds what went wrong. */
  complain(what: Acknowledgement): void {
    const { dismiss, resolve, failed } = this.texts;
    this.notice.textContent = failed(what === 'dismiss-help' ? dismiss : resolve);
    this.notice.hidden = false;
    setTimeout(() => (this.notice.hidden = true), 8000);
  }

  /** Opens or closes the panel, and leaves the keyboard where it was meant to be. */
  select(email: string | null): void {
    const before = this.panel.email;
    if (email !== null) {
      this.panel.open(email);
    } else if (before !== null) {
      this.panel.close();
      this.grid.focus(before);
    }
    this.update(this.name);
  }

  focusSearch(): void {
    this.toolbar.focus();
  }

  private name = '';

  private change(change: Partial<IFilter>): void {
    Object.assign(this.filter, change);
    this.update(this.name);
  }
}
