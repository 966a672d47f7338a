import type { Status, TimeRange } from './model.ts';

export type Language = 'ja' | 'en';

/** Every word of the screen in one language. */
export interface ITexts {
  screen: string;
  statuses: Record<Status, string>;
  ranges: Record<TimeRange, string>;
  links: Record<'connecting' | 'live' | 'polling' | 'lost', string>;
  lost: (time: string) => string;
  neverHeard: string;
  retry: string;
  helpTitle: string;
  helpNone: string;
  stuckTitle: string;
  stuckNone: string;
  waiting: (time: string) => string;
  errorsInARow: (count: number) => string;
  dismiss: string;
  dismissOf: (name: string) => string;
  resolve: string;
  resolveOf: (name: string) => string;
  failed: (what: string) => string;
  students: string;
  active: string;
  executions: string;
  errors: string;
  helps: string;
  time: string;
  activity: string;
  ownActivity: string;
  range: string;
  search: string;
  searchHint: string;
  allTeams: string;
  team: string;
  noTeam: string;
  allStatuses: string;
  status: string;
  clear: string;
  nobody: string;
  nobodyYet: string;
  shown: (shown: number, all: number) => string;
  sound: string;
  soundOn: string;
  soundOff: string;
  soundBlocked: string;
  theme: string;
  themes: Record<'auto' | 'light' | 'dark', string>;
  language: string;
  logOut: string;
  close: string;
  student: string;
  email: string;
  notebook: string;
  lastActivity: string;
  ago: (time: string) => string;
  recent: string;
  recentNone: string;
  loading: string;
  loadFailed: string;
  cell: (index: number) => string;
  code: string;
  output: string;
  error: string;
  ok: string;
  emptyCode: string;
  chartOf: (executions: number, errors: number, helps: number) => string;
  asksNow: (name: string) => string;
  seconds: (n: number) => string;
  minutes: (n: number) => string;
  hours: (h: number, m: number) => string;
  milliseconds: (ms: number) => string;
  locale: string;
}

const ja: ITexts = {
  screen: '講師用画面',
  statuses: {
    help: '質問中',
    significant_error: '行き詰まり',
    error: 'エラー',
    active: '活動中',
    idle: '休止'
  },
  ranges: { '1h': '1 時間', '24h': '24 時間', '7d': '7 日間' },
  links: {
    connecting: '接続しています…',
    live: 'リアルタイム',
    polling: '5 秒ごとに更新',
    lost: '切断'
  },
  lost: time => `接続が切れています — ${time} 以降更新されていません`,
  neverHeard: '接続できません',
  retry: '再接続',
  helpTitle: '質問している受講者',
  helpNone: '質問している受講者はいません',
  stuckTitle: '行き詰まっている受講者',
  stuckNone: '行き詰まっている受講者はいません',
  waiting: time => `${time} 待ち`,
  errorsInARow: count => `エラー ${count} 回連続`,
  dismiss: '対応済み',
  dismissOf: name => `${name} さんの質問を対応済みにする`,
  resolve: '解決済み',
  resolveOf: name => `${name} さんのエラーを解決済みにする`,
  failed: what => `「${what}」を送信できませんでした。もう一度お試しください。`,
  students: '受講者',
  active: '活動中',
  executions: '実行',
  errors: 'エラー',
  helps: '質問',
  time: '時刻',
  activity: 'クラスの活動',
  ownActivity: '活動とエラー',
  range: '期間',
  search: '検索',
  searchHint: '名前・メール・チーム  ( / )',
  allTeams: 'すべてのチーム',
  team: 'チーム',
  noTeam: 'チームなし',
  allStatuses: 'すべての状態',
  status: '状態',
  clear: '絞り込みを解除',
  nobody: '該当する受講者はいません',
  nobodyYet: 'この期間に活動した受講者はいません',
  shown: (shown, all) => `${shown} / ${all} 人`,
  sound: '音',
  soundOn: '音: オン',
  soundOff: '音: オフ',
  soundBlocked: '画面をクリックすると音が鳴るようになります',
  theme: '配色',
  themes: { auto: '配色: 自動', light: '配色: 明', dark: '配色: 暗' },
  language: '言語',
  logOut: 'ログアウト',
  close: '閉じる',
  student: '受講者の詳細',
  email: 'メール',
  notebook: 'ノートブック',
  lastActivity: '最終活動',
  ago: time => `${time}前`,
  recent: '最近の実行',
  recentNone: '実行はまだありません',
  loading: '読み込んでいます…',
  loadFailed: '読み込めませんでした',
  cell: index => `セル ${index}`,
  code: 'コード',
  output: '出力',
  error: 'エラー',
  ok: '成功',
  emptyCode: '(コードなし)',
  chartOf: (executions, errors, helps) => `実行 ${executions}、エラー ${errors}、質問 ${helps}`,
  asksNow: name => `${name} さんが質問しています`,
  seconds: n => `${n} 秒`,
  minutes: n => `${n} 分`,
  hours: (h, m) => (m ? `${h} 時間 ${m} 分` : `${h} 時間`),
  milliseconds: ms => (ms < 1000 ? `${ms} ミリ秒` : `${(ms / 1000).toFixed(1)} 秒`),
  locale: 'ja-JP'
};

const en: ITexts = {
  screen: "Instructor's screen",
  statuses: {
    help: 'Asks for help',
    significant_error: 'Stuck',
    error: 'Error',
    active: 'Active',
    idle: 'Idle'
  },
  ranges: { '1h': '1 hour', '24h': '24 hours', '7d': '7 days' },
  links: {
    connecting: 'Connecting…',
    live: 'Live',
    polling: 'Updated every 5 s',
    lost: 'Disconnected'
  },
  lost: time => `The connection is lost — nothing is new since ${time}`,
  neverHeard: 'The server cannot be reached',
  retry: 'Try again',
  helpTitle: 'Asking for help',
  helpNone: 'Nobody asks for help',
  stuckTitle: 'Stuck',
  stuckNone: 'Nobody is stuck',
  waiting: time => `waits ${time}`,
  errorsInARow: count => `${count} errors in a row`,
  dismiss: 'Dismiss',
  dismissOf: name => `Dismiss the request of ${name}`,
  resolve: 'Resolve',
  resolveOf: name => `Resolve the errors of ${name}`,
  failed: what => `“${what}” was not sent. Please try again.`,
  students: 'Students',
  active: 'Active',
  executions: 'Runs',
  errors: 'Errors',
  helps: 'Requests',
  time: 'Time',
  activity: 'Activity of the class',
  ownActivity: 'Activity and errors',
  range: 'Time range',
  search: 'Search',
  searchHint: 'Name, address, team  ( / )',
  allTeams: 'All teams',
  team: 'Team',
  noTeam: 'No team',
  allStatuses: 'All statuses',
  status: 'Status',
  clear: 'Clear the filter',
  nobody: 'No student matches',
  nobodyYet: 'No student was active in this time',
  shown: (shown, all) => `${shown} of ${all}`,
  sound: 'Sound',
  soundOn: 'Sound: on',
  soundOff: 'Sound: off',
  soundBlocked: 'Click anywhere to let the sound play',
  theme: 'Colours',
  themes: { auto: 'Colours: auto', light: 'Colours: light', dark: 'Colours: dark' },
  language: 'Language',
  logOut: 'Log out',
  close: 'Close',
  student: 'Student',
  email: 'E-mail',
  notebook: 'Notebook',
  lastActivity: 'Last activity',
  ago: time => `${time} ago`,
  recent: 'Latest runs',
  recentNone: 'Nothing was run yet',
  loading: 'Loading…',
  loadFailed: 'This could not be loaded',
  cell: index => `cell ${index}`,
  code: 'Code',
  output: 'Output',
  error: 'Error',
  ok: 'OK',
  emptyCode: '(no code)',
  chartOf: (executions, errors, helps) => `${executions} runs, ${errors} errors, ${helps} requests`,
  asksNow: name => `${name} asks for help`,
  seconds: n => `${n} s`,
  minutes: n => `${n} min`,
  hours: (h, m) => (m ? `${h} h ${m} min` : `${h} h`),
  milliseconds: ms => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`),
  locale: 'en-GB'
};

export const TEXTS: Record<Language, ITexts> = { ja, en };

/** The first language of a browser that the screen knows. */
export function languageOf(preferred: readonly string[]): Language {
  const known = preferred.map(tag => tag.slice(0, 2).toLowerCase());
  return known.find((tag): tag is Language => tag === 'ja' || tag === 'en') ?? 'en';
}

/** A span of time in the unit that matters. */
export function duration(texts: ITexts, milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) {
    return texts.seconds(seconds);
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? texts.minutes(minutes)
    : texts.hours(Math.floor(minutes / 60), minutes % 60);
}

/** A time of day in the browser's zone, with the date unless it is today. */
export function clock(texts: ITexts, moment: number, now: number): string {
  const date = new Date(moment);
  const time = date.toLocaleTimeString(texts.locale, { hour12: false });
  return date.toDateString() === new Date(now).toDateString()
    ? time
    : `${date.toLocaleDateString(texts.locale)} ${time}`;
}
