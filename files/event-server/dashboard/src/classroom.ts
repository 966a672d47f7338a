import type { IBar, IMetrics, IOverview, IStudent, IUpdate, Status } from './model.ts';
import { nameOf, STATUSES } from './model.ts';

/** Which students the grid shows. */
export interface IFilter {
  /** Part of a name, an address or a team's name. */
  text: string;
  /** A team's name, "" for all. */
  team: string;
  /** A status, "" for all. */
  status: Status | '';
}

/** Students of one team, by name. */
export interface ITeam {
  name: string;
  students: IStudent[];
}

const collator = new Intl.Collator(['ja', 'en'], { numeric: true, sensitivity: 'base' });

/** What is known of the class: the last overview, and what came live since. */
export class Classroom {
  metrics: IMetrics | null = null;
  chart: IBar[] = [];
  private students = new Map<string, IStudent>();
  // When each request was first seen here, for servers that do not tell, in milliseconds since 1970.
  private seenSince = new Map<string, number>();
  private errors = new Map<string, string>();

  /** Takes an overview; returns the students who ask for help and did not before. */
  takeOverview(overview: IOverview, now: number): IStudent[] {
    const before = this.students;
    this.students = new Map(overview.students.map(student => [student.emailAddress, student]));
    this.metrics = overview.metrics;
    this.chart = overview.activityChart;
    for (const email of [...this.seenSince.keys(), ...this.errors.keys()]) {
      if (!this.students.has(email)) {
        this.forget(email);
      }
    }
    return overview.students.filter(student =>
      this.note(student, before.get(student.emailAddress), now)
    );
  }

  /** Takes a live message; returns the student if he asks for help and did not before. */
  takeUpdate(update: IUpdate, now: number): IStudent | null {
    this.metrics = update.metrics ?? this.metrics;
    const student = update.student;
    if (!student) {
      return null;
    }
    const event = update.event ?? update;
    const before = this.students.get(student.emailAddress);
    this.students.set(student.emailAddress, student);
    this.count(event.eventType, event.hasError === true, before, student);
    return this.note(student, before, now) ? student : null;
  }

  /** Keeps the error that a student is stuck at. */
  takeError(email: string, message: string): void {
    this.errors.set(email, message);
  }

  student(email: string): IStudent | undefined {
    return this.students.get(email);
  }

  /** Since when a student asks for help, in milliseconds since 1970. */
  helpSince(student: IStudent): number | null {
    if (!student.isRequestingHelp) {
      return null;
    }
    const told = student.helpSince ? Date.parse(student.helpSince) : NaN;
    return Number.isNaN(told) ? (this.seenSince.get(student.emailAddress) ?? null) : told;
  }

  /** The error that a student is stuck at, as far as it is known. */
  errorOf(student: IStudent): string | null {
    return this.errors.get(student.emailAddress) ?? null;
  }

  /** Who asks for help, the longest wait first. */
  asking(): IStudent[] {
    return this.sorted(
      student => student.isRequestingHelp,
      (a, b) => (this.helpSince(a) ?? 0) - (this.helpSince(b) ?? 0)
    );
  }

  /** Who is stuck, the most errors in a row first. */
  stuck(): IStudent[] {
    return this.sorted(
      student => student.hasSignificantError,
      (a, b) => b.consecutiveErrorCount - a.consecutiveErrorCount
    );
  }

  /** Every team's name, in order. */
  teamNames(): string[] {
    const names = new Set([...this.students.values()].map(student => student.teamName ?? ''));
    return [...names].sort(compareTeams);
  }

  /** The students that pass a filter, by team and name: nobody changes places when a status changes. */
  teams(filter: IFilter): ITeam[] {
    const teams = new Map<string, IStudent[]>();
    for (const student of this.students.values()) {
      if (passes(student, filter)) {
        const name = student.teamName ?? '';
        teams.set(name, [...(teams.get(name) ?? []), student]);
      }
    }
    return [...teams]
      .sort(([a], [b]) => compareTeams(a, b))
      .map(([name, students]) => ({ name, students: students.sort(compareStudents) }));
  }

  /** How many students have each status. */
  counts(): Record<Status, number> {
    const counts = Object.fromEntries(STATUSES.map(status => [status, 0])) as Record<
      Status,
      number
    >;
    for (const student of this.students.values()) {
      counts[student.status] += 1;
    }
    return counts;
  }

  private note(student: IStudent, before: IStudent | undefined, now: number): boolean {
    const email = student.emailAddress;
    if (!student.hasSignificantError) {
      this.errors.delete(email);
    }
    if (!student.isRequestingHelp) {
      this.seenSince.delete(email);
      return false;
    }
    if (!this.seenSince.has(email)) {
      this.seenSince.set(email, now);
    }
    return !before?.isRequestingHelp;
  }

  private count(
    eventType: string | undefined,
    failed: boolean,
    before: IStudent | undefined,
    student: IStudent
  ): void {
    const last = this.chart.at(-1);
    if (!last) {
      return;
    }
    const executions = eventType === 'cell_executed' ? 1 : 0;
    const helps = student.isRequestingHelp && !before?.isRequestingHelp ? 1 : 0;
    this.chart = [
      ...this.chart.slice(0, -1),
      {
        ...last,
        executionCount: last.executionCount + executions,
        errorCount: last.errorCount + (executions && failed ? 1 : 0),
        helpCount: last.helpCount + helps
      }
    ];
  }

  private forget(email: string): void {
    this.seenSince.delete(email);
    this.errors.delete(email);
  }

  private sorted(
    wanted: (student: IStudent) => boolean,
    compare: (a: IStudent, b: IStudent) => number
  ): IStudent[] {
    return [...this.students.values()]
      .filter(wanted)
      .sort((a, b) => compare(a, b) || compareStudents(a, b));
  }
}

function passes(student: IStudent, filter: IFilter): boolean {
  if (filter.team && student.teamName !== filter.team) {
    return false;
  }
  if (filter.status && student.status !== filter.status) {
    return false;
  }
  const text = folded(
    `${student.userName ?? ''} ${student.emailAddress} ${student.teamName ?? ''}`
  );
  return folded(filter.text)
    .split(/\s+/)
    .every(word => text.includes(word));
}

/** Half-width, lower case: what is typed need not match in width or case. */
function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase().trim();
}

function compareTeams(a: string, b: string): number {
  // Who has no team comes last.
  return Number(a === '') - Number(b === '') || collator.compare(a, b);
}

function compareStudents(a: IStudent, b: IStudent): number {
  return collator.compare(nameOf(a), nameOf(b)) || collator.compare(a.emailAddress, b.emailAddress);
}
