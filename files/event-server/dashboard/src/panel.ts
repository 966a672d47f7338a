import type { Acknowledgement } from './attention.ts';
import { acknowledgeButton } from './attention.ts';
import { barsOf } from './bars.ts';
import { Chart } from './chart.ts';
import type { Classroom } from './classroom.ts';
import type { IView } from './dom.ts';
import { h, KeyedList, set, write } from './dom.ts';
import type { IActivity, IExecution, IStudent } from './model.ts';
import { nameOf } from './model.ts';
import { shape } from './shapes.ts';
import type { ITexts } from './texts.ts';
import { clock, duration } from './texts.ts';

/** What the panel asks of its surroundings. */
export interface IPanelActions {
  fetch: (email: string) => Promise<IActivity>;
  acknowledge: (email: string, what: Acknowledgement) => Promise<void>;
  close: () => void;
}

/** One student: what was run last, activity and errors over time. */
export class Panel {
  readonly element: HTMLElement;
  email: string | null = null;
  private readonly texts: ITexts;
  private readonly classroom: Classroom;
  private readonly actions: IPanelActions;
  private readonly now: () => number;
  private readonly heading = h('h2', { tabindex: '-1' });
  private readonly status = h('p', { class: 'status' });
  private readonly facts = h('dl');
  private readonly dismiss: HTMLButtonElement;
  private readonly resolve: HTMLButtonElement;
  private readonly chart: Chart;
  private readonly notice = h('p', { class: 'none', role: 'status' });
  private readonly runs: KeyedList<IExecution>;
  private executions: IExecution[] = [];
  private fetching = false;
  private again = false;

  constructor(texts: ITexts, classroom: Classroom, actions: IPanelActions, now: () => number) {
    this.texts = texts;
    this.classroom = classroom;
    this.actions = actions;
    this.now = now;
    this.chart = new Chart(texts, texts.ownActivity, 600);
    this.dismiss = acknowledgeButton(texts.dismiss, () => this.acknowledge('dismiss-help'));
    this.resolve = acknowledgeButton(texts.resolve, () => this.acknowledge('resolve-error'));
    const list = h('ol', { class: 'runs' });
    this.runs = new KeyedList(
      list,
      run => run.eventId,
      run => this.run(run)
    );
    const close = h('button', { type: 'button', class: 'close', click: () => actions.close() });
    close.append(h('span', { 'aria-hidden': 'true' }, '✕'));
    close.setAttribute('aria-label', texts.close);
    close.title = `${texts.close} (Esc)`;
    this.element = h(
      'aside',
      { class: 'panel', 'aria-label': texts.student, hidden: true },
      h('header', {}, this.heading, close),
      h(
        'div',
        { class: 'body', tabindex: '-1' },
        this.status,
        h('p', { class: 'actions' }, this.dismiss, this.resolve),
        this.facts,
        this.chart.element,
        h('h3', {}, texts.recent),
        this.notice,
        list
      )
    );
  }

  /** Shows a student, and moves the keyboard there. */
  open(email: string): void {
    if (this.email !== email) {
      this.email = email;
      this.executions = [];
      this.runs.update([]);
      this.notice.textContent = this.texts.loading;
      this.refresh();
    }
    this.element.hidden = false;
    this.update();
    this.heading.focus();
  }

  close(): void {
    this.email = null;
    this.element.hidden = true;
  }

  /** Fetches anew what was run. */
  refresh(): void {
    if (this.fetching) {
      this.again = true;
      return;
    }
    void this.load();
  }

  /** Shows what is known of the student now. */
  update(): void {
    if (this.email === null) {
      return;
    }
    const student = this.classroom.student(this.email);
    write(this.heading, student ? nameOf(student) : this.email);
    if (student) {
      this.show(student);
    }
    this.chart.update(barsOf(this.executions, this.now()));
  }

  private show(student: IStudent): void {
    const { texts } = this;
    const since = this.classroom.helpSince(student);
    const words = [
      texts.statuses[student.status],
      since === null ? '' : texts.waiting(duration(texts, this.now() - since)),
      student.hasSignificantError ? texts.errorsInARow(student.consecutiveErrorCount) : ''
    ].filter(word => word !== '');
    set(this.status, 'data-status', student.status);
    const text = words.join(' · ');
    if (this.status.textContent !== text) {
      this.status.replaceChildren(shape(student.status), text);
    }
    this.dismiss.hidden = !student.isRequestingHelp;
    this.resolve.hidden = !student.hasSignificantError;
    const last = Date.parse(student.lastActivity);
    const facts: [string, string][] = [
      [texts.team, student.teamName ?? texts.noTeam],
      [texts.email, student.emailAddress],
      [texts.notebook, student.currentNotebook ?? '—'],
      [
        texts.lastActivity,
        `${clock(texts, last, this.now())} (${texts.ago(duration(texts, this.now() - last))})`
      ],
      [texts.executions, String(student.cellExecutions)],
      [texts.errors, String(student.errorCount)]
    ];
    if (this.facts.childElementCount === 0) {
      this.facts.append(...facts.map(([name]) => h('div', {}, h('dt', {}, name), h('dd'))));
    }
    this.facts.querySelectorAll('dd').forEach((value, i) => write(value, facts[i]?.[1] ?? ''));
  }

  private async load(): Promise<void> {
    const email = this.email;
    if (email === null) {
      return;
    }
    this.fetching = true;
    let notice: string;
    try {
      const { recentExecutions } = await this.actions.fetch(email);
      if (email === this.email) {
        this.executions = recentExecutions;
        this.runs.update(recentExecutions);
      }
      notice = recentExecutions.length === 0 ? this.texts.recentNone : '';
    } catch {
      notice = this.texts.loadFailed;
    }
    this.fetching = false;
    if (email !== this.email || this.again) {
      this.again = false;
      void this.load();
      return;
    }
    write(this.notice, notice);
    this.update();
  }

  private async acknowledge(what: Acknowledgement): Promise<void> {
    if (this.email !== null) {
      await this.actions.acknowledge(this.email, what);
      this.heading.focus();
    }
  }

  private run(run: IExecution): IView<IExecution> {
    const { texts } = this;
    const where = [run.notebookPath, run.cellIndex === null ? null : texts.cell(run.cellIndex + 1)];
    const took =
      run.executionDurationMs === null ? '' : texts.milliseconds(run.executionDurationMs);
    const head = h(
      'p',
      { class: 'head' },
      shape(run.hasError ? 'error' : 'active'),
      h('span', { class: 'result' }, run.hasError ? texts.error : texts.ok),
      h('time', { datetime: run.eventTime }, clock(texts, Date.parse(run.eventTime), this.now())),
      h('span', { class: 'where' }, where.filter(part => part !== null).join(' · ')),
      h('span', { class: 'took' }, took)
    );
    const element = h('li', run.hasError ? { class: 'failed' } : {}, head);
    element.append(text('code', texts.code, run.code || texts.emptyCode));
    if (run.result) {
      element.append(text('output', texts.output, run.result));
    }
    if (run.errorMessage) {
      element.append(text('error', texts.error, run.errorMessage));
    }
    return { element, update: () => undefined };
  }
}

function text(kind: string, label: string, content: string): HTMLElement {
  return h('pre', { class: kind, tabindex: '0', role: 'group', 'aria-label': label }, content);
}
