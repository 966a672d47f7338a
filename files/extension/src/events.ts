import { uuid4, uuid7Source } from './uuid';
import type { IIdentity } from './settings';

/** What happened. */
export type EventType =
  'cell_executed' | 'notebook_opened' | 'notebook_saved' | 'notebook_closed' | 'help' | 'help_stop';

/** What a `cell_executed` event says besides the fields of all events. */
export interface IExecution {
  cellId: string;
  cellIndex?: number;
  cellType?: 'code' | 'markdown' | 'raw';
  code: string;
  executionCount?: number;
  hasError: boolean;
  errorMessage?: string;
  result: string;
  executionDurationMs: number;
  /** Left out unless the page or the notebook was closed while the cell ran. */
  metadata?: { readonly unfinished: true };
}

/** An event as it is sent; fields that are not known are left out. */
export interface IEvent extends Partial<IExecution> {
  eventId: string;
  eventType: EventType;
  eventTime: string;
  emailAddress: string;
  userName: string;
  teamName: string;
  sessionId: string;
  notebookPath: string;
}

/** Whose event it is. */
export interface IReporter extends IIdentity {
  readonly teamName: string;
}

/** Makes the events of one page load. */
export class EventFactory {
  /** Names the page load. */
  readonly sessionId = uuid4();

  constructor(
    private readonly _now: () => number = Date.now,
    private readonly _nextId: () => string = uuid7Source()
  ) {}

  /** Makes an event that happens now, with an id of its own. */
  create(
    eventType: EventType,
    reporter: IReporter,
    notebookPath: string,
    execution?: IExecution
  ): IEvent {
    return {
      eventId: this._nextId(),
      eventType,
      eventTime: new Date(this._now()).toISOString(),
      emailAddress: reporter.emailAddress,
      userName: reporter.userName,
      teamName: reporter.teamName,
      sessionId: this.sessionId,
      notebookPath,
      ...execution
    };
  }
}
