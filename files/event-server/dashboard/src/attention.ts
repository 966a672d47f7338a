import type { Classroom } from './classroom.ts';
import type { IView } from './dom.ts';
import { h, KeyedList, write } from './dom.ts';
import type { IStudent } from './model.ts';
import { nameOf } from './model.ts';
import { shape } from './shapes.ts';
import type { ITexts } from './texts.ts';
import { duration } from './texts.ts';

export type Acknowledgement = 'dismiss-help' | 'resolve-error';

/** What the lists let an instructor do. */
export interface IAttentionActions {
  open: (email: string) => void;
  acknowledge: (email: string, what: Acknowledgement) => Promise<void>;
}

interface IWords {
  title: string;
  none: string;
  button: string;
  buttonOf: (name: string) => string;
}

/** A list of students who need the instructor. */
export class AttentionList {
  readonly element: HTMLElement;
  private readonly count = h('span', { class: 'count' });
  private readonly heading: HTMLHeadingElement;
  private readonly none: HTMLElement;
  private readonly rows: KeyedList<IStudent>;

  constructor(
    kind: 'help' | 'significant_error',
    words: IWords,
    row: (student: IStudent, words: IWords) => IView<IStudent>
  ) {
    this.heading = h('h2', { tabindex: '-1' }, shape(kind), words.title, this.count);
    this.none = h('p', { class: 'none' }, words.none);
    const list = h('ol');
    this.rows = new KeyedList(
      list,
      student => student.emailAddress,
      student => row(student, words)
    );
    this.element = h('section', { class: `attention ${kind}`, 'aria-label': words.title });
    this.element.append(this.heading, this.none, list);
  }

  update(students: readonly IStudent[]): void {
    const focused = this.element.contains(document.activeElement) ? this.focusedRow() : -1;
    write(this.count, String(students.length));
    this.none.hidden = students.length > 0;
    this.rows.update(students);
    // The row under the keyboard has gone: the next one takes its place.
    if (focused >= 0 && !this.element.contains(document.activeElement)) {
      const rows = this.element.querySelectorAll('li');
      const next = rows[Math.min(focused, rows.length - 1)]?.querySelector('button');
      (next ?? this.heading).focus();
    }
  }

  private focusedRow(): number {
    const row = document.activeElement?.closest('li');
    return row ? [...this.element.querySelectorAll('li')].indexOf(row) : -1;
  }
}

/** The list of who asks for help, with how long. */
export function helpList(
  texts: ITexts,
  classroom: Classroom,
  actions: IAttentionActions,
  now: () => number
): AttentionList {
  const words = {
    title: texts.helpTitle,
    none: texts.helpNone,
    button: texts.dismiss,
    buttonOf: texts.dismissOf
  };
  return new AttentionList('help', words, student =>
    row(student, texts, words, actions, 'dismiss-help', current => {
      const since = classroom.helpSince(current);
      return since === null ? '' : texts.waiting(duration(texts, now() - since));
    })
  );
}

/** The list of who is stuck, with the error. */
export function stuckList(
  texts: ITexts,
  classroom: Classroom,
  actions: IAttentionActions
): AttentionList {
  const words = {
    title: texts.stuckTitle,
    none: texts.stuckNone,
    button: texts.resolve,
    buttonOf: texts.resolveOf
  };
  return new AttentionList('significant_error', words, student =>
    row(
      student,
      texts,
      words,
      actions,
      'resolve-error',
      current => texts.errorsInARow(current.consecutiveErrorCount),
      current => classroom.errorOf(current) ?? ''
    )
  );
}

function row(
  student: IStudent,
  texts: ITexts,
  words: IWords,
  actions: IAttentionActions,
  what: Acknowledgement,
  detailOf: (student: IStudent) => string,
  errorOf: (student: IStudent) => string = () => ''
): IView<IStudent> {
  const email = student.emailAddress;
  const name = h('span', { class: 'name' });
  const team = h('span', { class: 'team' });
  const detail = h('strong');
  const error = h('span', { class: 'message' });
  const button = acknowledgeButton(words.button, () => actions.acknowledge(email, what));
  const open = h('button', { type: 'button', class: 'open', click: () => actions.open(email) });
  open.append(name, h('span', { class: 'detail' }, team, detail), error);
  return {
    element: h('li', {}, open, button),
    update: current => {
      write(name, nameOf(current));
      write(team, current.teamName ?? texts.noTeam);
      write(detail, detailOf(current));
      write(error, errorOf(current));
      error.hidden = error.textContent === '';
      error.title = error.textContent;
      button.setAttribute('aria-label', words.buttonOf(nameOf(current)));
    }
  };
}

/** A button that cannot be pressed again while it is at work. */
export function acknowledgeButton(label: string, act: () => Promise<void>): HTMLButtonElement {
  const button = h('button', {
    type: 'button',
    class: 'act',
    click: () => {
      if (button.getAttribute('aria-busy') !== 'true') {
        button.setAttribute('aria-busy', 'true');
        void act().finally(() => button.removeAttribute('aria-busy'));
      }
    }
  });
  button.append(label);
  return button;
}
