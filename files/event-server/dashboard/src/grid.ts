import type { Classroom, IFilter, ITeam } from './classroom.ts';
import type { IView } from './dom.ts';
import { h, KeyedList, set, write } from './dom.ts';
import type { IStudent } from './model.ts';
import { nameOf } from './model.ts';
import { shape } from './shapes.ts';
import type { ITexts } from './texts.ts';
import { duration } from './texts.ts';

// Up to this many, there is room for a second line.
const ROOMY = 72;

/** Every student of the class by team; a tile each, which the arrow keys move between. */
export class Grid {
  readonly element: HTMLElement;
  private readonly texts: ITexts;
  private readonly classroom: Classroom;
  private readonly open: (email: string) => void;
  private readonly now: () => number;
  private readonly teams: KeyedList<ITeam>;
  private readonly none = h('p', { class: 'none' });
  private readonly box = h('div', { class: 'grid' });
  private selected: string | null = null;

  constructor(
    texts: ITexts,
    classroom: Classroom,
    open: (email: string) => void,
    now: () => number
  ) {
    this.texts = texts;
    this.classroom = classroom;
    this.open = open;
    this.now = now;
    this.teams = new KeyedList(
      this.box,
      team => team.name,
      team => this.team(team)
    );
    this.element = h(
      'div',
      { class: 'scroll', keydown: (event: KeyboardEvent) => this.move(event) },
      this.none,
      this.box
    );
  }

  /** Shows the students that pass a filter; returns how many. */
  update(filter: IFilter, selected: string | null): number {
    this.selected = selected;
    const teams = this.classroom.teams(filter);
    const shown = teams.reduce((sum, team) => sum + team.students.length, 0);
    this.box.classList.toggle('roomy', shown <= ROOMY);
    this.teams.update(teams);
    this.none.hidden = shown > 0;
    const filtered = filter.text !== '' || filter.team !== '' || filter.status !== '';
    write(this.none, filtered ? this.texts.nobody : this.texts.nobodyYet);
    this.keepOneInTabOrder();
    return shown;
  }

  /** Moves the keyboard to a student's tile. */
  focus(email: string): void {
    this.tiles()
      .find(tile => tile.dataset['email'] === email)
      ?.focus();
  }

  private team(team: ITeam): IView<ITeam> {
    const name = team.name || this.texts.noTeam;
    const count = h('span', { class: 'size' });
    const label = h('h3', { title: name }, h('span', { class: 'name' }, name), count);
    const element = h('section', { class: 'members', role: 'group', 'aria-label': name }, label);
    const students = h('div', { class: 'members' });
    const list = new KeyedList<IStudent>(
      students,
      student => student.emailAddress,
      student => this.tile(student)
    );
    element.append(students);
    return {
      element,
      update: current => {
        write(count, String(current.students.length));
        list.update(current.students);
      }
    };
  }

  private tile(student: IStudent): IView<IStudent> {
    const email = student.emailAddress;
    const name = h('span', { class: 'name' });
    const note = h('span', { class: 'note' });
    const more = h('span', { class: 'more' });
    const sign = h('span', { class: 'sign' });
    const element = h('button', {
      type: 'button',
      class: 'tile',
      tabindex: '-1',
      'data-email': email,
      click: () => this.open(email)
    });
    element.append(sign, name, ' ', note, ' ', more);
    let status: string | null = null;
    return {
      element,
      update: current => {
        if (status !== current.status) {
          status = current.status;
          set(element, 'data-status', status);
          sign.replaceChildren(shape(current.status));
        }
        write(name, nameOf(current));
        write(note, this.note(current));
        write(more, this.more(current));
        set(element, 'aria-label', this.description(current));
        set(element, 'title', this.description(current));
        set(element, 'aria-current', this.selected === email ? 'true' : null);
      }
    };
  }

  private note(student: IStudent): string {
    const since = this.classroom.helpSince(student);
    if (since !== null) {
      return duration(this.texts, this.now() - since);
    }
    return student.hasSignificantError ? `×${student.consecutiveErrorCount}` : '';
  }

  private more(student: IStudent): string {
    const counts = `${this.texts.executions} ${student.cellExecutions} · ${this.texts.errors} ${student.errorCount}`;
    return student.currentNotebook ? `${counts} · ${student.currentNotebook}` : counts;
  }

  private description(student: IStudent): string {
    return [
      `${nameOf(student)} ${this.note(student)}`.trim(),
      this.more(student),
      this.texts.statuses[student.status],
      student.teamName ?? this.texts.noTeam
    ]
      .filter(part => part !== '')
      .join(', ');
  }

  private tiles(): HTMLElement[] {
    return [...this.box.querySelectorAll<HTMLElement>('.tile')];
  }

  private keepOneInTabOrder(): void {
    const tiles = this.tiles();
    const current =
      tiles.find(tile => tile === document.activeElement) ??
      tiles.find(tile => tile.tabIndex === 0) ??
      tiles[0];
    for (const tile of tiles) {
      const index = tile === current ? 0 : -1;
      if (tile.tabIndex !== index) {
        tile.tabIndex = index;
      }
    }
  }

  private move(event: KeyboardEvent): void {
    const tiles = this.tiles();
    const from = tiles.findIndex(tile => tile === document.activeElement);
    if (from < 0 || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const to = destination(event.key, from, tiles);
    const tile = to === null ? undefined : tiles[to];
    if (tile) {
      event.preventDefault();
      tile.focus();
      this.keepOneInTabOrder();
    }
  }
}

function destination(key: string, from: number, tiles: readonly HTMLElement[]): number | null {
  switch (key) {
    case 'ArrowRight':
      return from + 1;
    case 'ArrowLeft':
      return from - 1;
    case 'Home':
      return 0;
    case 'End':
      return tiles.length - 1;
    case 'ArrowDown':
      return neighbour(from, tiles, 1);
    case 'ArrowUp':
      return neighbour(from, tiles, -1);
    default:
      return null;
  }
}

/** The tile of the next row that is nearest in its column. */
function neighbour(from: number, tiles: readonly HTMLElement[], step: 1 | -1): number | null {
  const start = tiles[from]?.getBoundingClientRect();
  let best: number | null = null;
  let row = 0;
  let distance = Infinity;
  for (let i = from + step; start && i >= 0 && i < tiles.length; i += step) {
    const box = tiles[i]?.getBoundingClientRect();
    if (!box || Math.abs(box.top - start.top) < 2) {
      continue;
    }
    if (best !== null && Math.abs(box.top - row) > 2) {
      break;
    }
    row = box.top;
    if (Math.abs(box.left - start.left) < distance) {
      distance = Math.abs(box.left - start.left);
      best = i;
    }
  }
  return best;
}
