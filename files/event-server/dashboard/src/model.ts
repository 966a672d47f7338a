/** What the event server answers, as far as the screen reads it. */

/** How a student does, the most urgent first. */
export const STATUSES = ['help', 'significant_error', 'error', 'active', 'idle'] as const;
export type Status = (typeof STATUSES)[number];

export const TIME_RANGES = ['1h', '24h', '7d'] as const;
export type TimeRange = (typeof TIME_RANGES)[number];

/** A student of the overview. Times are ISO 8601. */
export interface IStudent {
  emailAddress: string;
  userName: string | null;
  teamName: string | null;
  currentNotebook: string | null;
  lastActivity: string;
  status: Status;
  isRequestingHelp: boolean;
  cellExecutions: number;
  errorCount: number;
  consecutiveErrorCount: number;
  hasSignificantError: boolean;
  /** When the request for help began; null where the server does not know. */
  helpSince?: string | null;
}

/** The class in numbers. */
export interface IMetrics {
  totalStudents: number;
  totalActive: number;
  errorCount: number;
  significantErrorCount: number;
  totalExecutions: number;
  helpCount: number;
}

/** What happened from `time` until the next bar. */
export interface IBar {
  time: string;
  executionCount: number;
  errorCount: number;
  helpCount: number;
}

/** The answer of `GET /api/v1/dashboard/overview`. */
export interface IOverview {
  students: IStudent[];
  metrics: IMetrics;
  activityChart: IBar[];
}

/** The part of an event that the screen looks at. */
export interface IEvent {
  eventType?: string;
  emailAddress?: string;
  hasError?: boolean | null;
}

/** The data of a `progress_update` message. */
export interface IUpdate extends IEvent {
  event?: IEvent;
  student?: IStudent | null;
  metrics?: IMetrics | null;
}

/** An execution of a cell. */
export interface IExecution {
  eventId: string;
  eventTime: string;
  notebookPath: string | null;
  cellId: string | null;
  cellIndex: number | null;
  cellType: string | null;
  code: string | null;
  executionCount: number | null;
  hasError: boolean | null;
  errorMessage: string | null;
  result: string | null;
  executionDurationMs: number | null;
}

/** The answer of `GET /api/v1/dashboard/students/{email}/activity`; the latest execution first. */
export interface IActivity {
  student: IStudent;
  recentExecutions: IExecution[];
}

/** What to call a student. */
export function nameOf(student: IStudent): string {
  return student.userName?.trim() || student.emailAddress;
}
