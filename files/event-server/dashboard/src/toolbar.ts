import type { Classroom, IFilter } from './classroom.ts';
import { h, write } from './dom.ts';
import type { ITexts } from './texts.ts';

/** The filter of the grid. */
export class Toolbar {
  readonly element: HTMLElement;
  private readonly texts: ITexts;
  private readonly search: HTMLInputElement;
  private readonly team: HTMLSelectElement;
  private readonly shown = h('span', { class: 'shown', role: 'status' });
  private readonly clear: HTMLButtonElement;
  private names = '';

  constructor(texts: ITexts, change: (filter: Partial<IFilter>) => void) {
    this.texts = texts;
    this.search = h('input', {
      type: 'search',
      'aria-label': texts.search,
      placeholder: texts.searchHint,
      autocomplete: 'off',
      spellcheck: 'false',
      input: () => change({ text: this.search.value })
    });
    this.team = h('select', {
      'aria-label': texts.team,
      change: () => change({ team: this.team.value })
    });
    this.clear = h(
      'button',
      { type: 'button', click: () => change({ text: '', team: '', status: '' }) },
      texts.clear
    );
    this.element = h(
      'div',
      { class: 'toolbar', role: 'search' },
      this.search,
      this.team,
      this.shown,
      this.clear
    );
  }

  focus(): void {
    this.search.focus();
    this.search.select();
  }

  update(classroom: Classroom, filter: IFilter, shown: number): void {
    const names = classroom.teamNames().filter(name => name !== '');
    if (names.join('\n') !== this.names) {
      this.names = names.join('\n');
      this.team.replaceChildren(
        h('option', { value: '' }, this.texts.allTeams),
        ...names.map(name => h('option', { value: name }, name))
      );
    }
    this.team.value = filter.team;
    if (this.search.value !== filter.text) {
      this.search.value = filter.text;
    }
    const all = Object.values(classroom.counts()).reduce((sum, count) => sum + count, 0);
    write(this.shown, this.texts.shown(shown, all));
    this.clear.hidden = !filter.text && !filter.team && !filter.status;
  }
}
