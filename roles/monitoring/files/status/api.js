/** @typedef {import('./texts.js').Text} Text */
/** @typedef {import('./units.js').Unit} Unit */
/** @typedef {{expr: string, legend: string}} Query */
/** @typedef {{id: string, title: Text, note?: Text, unit: Unit, threshold?: number, queries: Query[]}} Panel */
/** @typedef {{title: Text, small?: boolean, panels: Panel[]}} Section */
/** @typedef {Record<string, string>} Labels */
/** @typedef {{name: string, points: (number | null)[]}} Series Values at even steps; null where there was none. */
/** @typedef {{labels: Labels, annotations: Labels, state: 'pending' | 'firing', activeAt: string}} Alert */
/** @typedef {{kind: string, instance: string}} Incident */
/** @typedef {{start: number, step: number, series: Map<string, Series[]>}} Figures */

const API = '/prometheus/api/v1';
const POINTS = 240;
// Marks which panel a series is of.
const MARK = 'panel';

/** @returns {Promise<Section[]>} */
export async function panels() {
  const answer = await fetch('panels.json');
  /** @type {unknown} */
  const content = await answer.json();
  return /** @type {Section[]} */ (content);
}

/**
 * All that the panels show, by one question.
 * @param {Section[]} sections
 * @param {number} seconds How far back.
 * @returns {Promise<Figures>}
 */
export async function figures(sections, seconds) {
  const step = Math.ceil(seconds / POINTS);
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const start = end - step * (POINTS - 1);
  const query = union(sections.flatMap(section => section.panels));
  const body = new URLSearchParams({ query, start: `${start}`, end: `${end}`, step: `${step}` });
  const found = /** @type {{result: {metric: Labels, values: [number, string][]}[]}} */ (
    await ask('query_range', { method: 'POST', body })
  );
  /** @type {Map<string, Series[]>} */
  const series = new Map();
  for (const { metric, values } of found.result) {
    const [id = '', place = '0'] = (metric[MARK] ?? '').split('/');
    const panel = sections.flatMap(section => section.panels).find(panel => panel.id === id);
    /** @type {(number | null)[]} */
    const points = Array.from({ length: POINTS }, () => null);
    for (const [time, value] of values) {
      const number = Number(value);
      points[Math.round((time - start) / step)] = Number.isFinite(number) ? number : null;
    }
    const name = legend(panel?.queries[Number(place)]?.legend ?? '', metric);
    series.set(id, [...(series.get(id) ?? []), { name, points }]);
  }
  return { start, step, series };
}

/**
 * The panels' queries as one, each with the name of its panel among its labels.
 * @param {Panel[]} panels
 */
export function union(panels) {
  return panels
    .flatMap(panel => panel.queries.map((query, place) => [query.expr, `${panel.id}/${place}`]))
    .map(([expr, mark]) => `label_replace(${expr}, "${MARK}", "${mark}", "", "")`)
    .join('\nor ');
}

/**
 * @param {string} template With labels in double braces.
 * @param {Labels} labels
 */
export function legend(template, labels) {
  return template
    .replace(/{{\s*(\w+)\s*}}/g, (_, /** @type {string} */ name) => labels[name] ?? '')
    .trim();
}

/** @returns {Promise<Alert[]>} What fires and what is about to, the worst and the longest first. */
export async function alerts() {
  const found = /** @type {{alerts: Alert[]}} */ (await ask('alerts', {}));
  return found.alerts
    .filter(alert => alert.labels['severity'] !== 'none')
    .sort((one, other) => rank(one) - rank(other) || one.activeAt.localeCompare(other.activeAt));
}

/** @returns {Promise<Incident[]>} What is being handled: the records that nobody has closed yet. */
export async function incidents() {
  const query = new URLSearchParams({ query: 'cell_monitor_incident_open == 1' });
  const found = /** @type {{result: {metric: Labels}[]}} */ (await ask(`query?${query}`, {}));
  return found.result.map(({ metric }) => ({
    kind: metric['kind'] ?? '',
    instance: metric['instance'] ?? ''
  }));
}

/** @param {Alert} alert */
function rank(alert) {
  return (alert.state === 'firing' ? 0 : 2) + (alert.labels['severity'] === 'critical' ? 0 : 1);
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<unknown>}
 */
async function ask(path, options) {
  const answer = await fetch(`${API}/${path}`, { ...options, signal: AbortSignal.timeout(20_000) });
  /** @type {unknown} */
  const json = await answer.json();
  const content = /** @type {{status: string, error?: string, data: unknown}} */ (json);
  if (content.status !== 'success') {
    throw new Error(content.error ?? `${answer.status}`);
  }
  return content.data;
}
