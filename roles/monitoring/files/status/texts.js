/** @typedef {'en' | 'ja'} Language */
/** @typedef {Record<Language, string>} Text */
/** @typedef {keyof typeof TEXTS} Key */

const TEXTS = {
  title: { en: 'Class server', ja: '授業サーバーの状態' },
  good: { en: 'All is well', ja: '正常' },
  warning: { en: 'Needs attention', ja: '要確認' },
  critical: { en: 'The class is affected', ja: '授業に影響あり' },
  lost: { en: 'Prometheus does not answer', ja: 'Prometheus が応答しません' },
  alerts: { en: 'Alerts', ja: 'アラート' },
  none: { en: 'No alert fires.', ja: '発報中のアラートはありません。' },
  handled: { en: 'Being handled', ja: '対応中の障害' },
  since: { en: 'since', ja: '開始' },
  effect: { en: 'What students notice', ja: '学生への影響' },
  page: { en: 'What to do', ja: '対応手順' },
  updated: { en: 'Updated', ja: '更新' },
  range: { en: 'Period', ja: '期間' },
  language: { en: '日本語', ja: 'English' },
  limit: { en: 'limit', ja: '上限' },
  unknown: { en: 'No figures', ja: 'データなし' },
  loading: { en: 'Loading …', ja: '読み込み中…' },
  soon: { en: 'not yet told', ja: '通知前' }
};

const KEPT = 'status.language';

/** @returns {Language} What was chosen before, or what the browser speaks. */
export function preferred() {
  const kept = localStorage.getItem(KEPT);
  if (kept === 'en' || kept === 'ja') {
    return kept;
  }
  return navigator.language.startsWith('ja') ? 'ja' : 'en';
}

/** @param {Language} language */
export function prefer(language) {
  localStorage.setItem(KEPT, language);
}

/**
 * @param {Key} key
 * @param {Language} language
 */
export function text(key, language) {
  return TEXTS[key][language];
}
