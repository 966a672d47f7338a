import { alerts, figures, incidents, panels } from './api.js';
import { Chart } from './chart.js';
import { h } from './dom.js';
import { prefer, preferred, text } from './texts.js';
import { format } from './units.js';

/** @typedef {import('./api.js').Alert} Alert */
/** @typedef {import('./api.js').Figures} Figures */
/** @typedef {import('./api.js').Incident} Incident */
/** @typedef {import('./api.js').Panel} Panel */
/** @typedef {import('./api.js').Section} Section */
/** @typedef {{panel: Panel, chart: Chart, value: HTMLElement, keys: HTMLElement, element: HTMLElement}} Card */

const REFRESH = 30_000;
const RANGES = /** @type {const} */ ({ '3 h': 10_800, '24 h': 86_400, '7 d': 604_800 });

let language = preferred();
let seconds = /** @type {number} */ (RANGES['24 h']);
/** @type {Section[]} */
let sections = [];
/** @type {Card[]} */
let cards = [];
/** @type {Figures | null} */
let seen = null;
/** @type {Alert[] | null} */
let active = null;
/** @type {Incident[]} */
let handled = [];

/** @param {string} selector */
function find(selector) {
  const element = document.querySelector(selector);
  if (!(element instanceof HTMLElement)) {
    throw new Error(`The page has no ${selector}.`);
  }
  return element;
}

/** @param {Parameters<typeof text>[0]} key */
function say(key) {
  return text(key, language);
}

/** Builds what does not change with the figures. */
function build() {
  document.documentElement.lang = language;
  document.title = say('title');
  find('h1').textContent = say('title');
  const ranges = Object.entries(RANGES).map(([name, range]) => {
    const button = h('button', { type: 'button', 'aria-pressed': String(range === seconds) }, name);
    button.addEventListener('click', () => {
      seconds = range;
      build();
      void refresh();
    });
    return button;
  });
  const other = h('button', { type: 'button', class: 'language' }, say('language'));
  other.addEventListener('click', () => {
    language = language === 'ja' ? 'en' : 'ja';
    prefer(language);
    build();
    show();
  });
  find('nav').replaceChildren(
    h('span', { class: 'ranges', role: 'group', 'aria-label': say('range') }, ...ranges),
    other
  );
  cards = [];
  find('#panels').replaceChildren(
    ...sections.map(section =>
      h(
        'section',
        {},
        h('h2', {}, section.title[language]),
        h(
          'div',
          { class: section.small ? 'grid small' : 'grid' },
          ...section.panels.map(panel => card(panel, !!section.small))
        )
      )
    )
  );
}

/**
 * @param {Panel} panel
 * @param {boolean} small
 */
function card(panel, small) {
  const chart = new Chart(panel.unit, panel.threshold, small);
  const value = h('p', { class: 'value' });
  const keys = h('p', { class: 'keys' });
  const limit =
    panel.threshold === undefined ? '' : `${say('limit')} ${format(panel.threshold, panel.unit)}`;
  const element = h(
    'article',
    { 'data-panel': panel.id },
    h('h3', {}, panel.title[language]),
    value,
    h('p', { class: 'note' }, [panel.note?.[language], limit].filter(Boolean).join(' · ')),
    chart.element,
    keys
  );
  cards.push({ panel, chart, value, keys, element });
  return element;
}

/** Shows what was seen last. */
function show() {
  if (seen) {
    for (const one of cards) {
      fill(one, seen);
    }
  }
  showAlerts();
}

/**
 * @param {Card} card
 * @param {Figures} seen
 */
function fill({ panel, chart, value, keys, element }, seen) {
  const series = seen.series.get(panel.id) ?? [];
  const last = series.map(({ points }) => points.findLast(point => point !== null) ?? null);
  const known = last.filter(point => point !== null);
  const worst = known.length ? Math.max(...known) : null;
  value.textContent = worst === null ? say('unknown') : format(worst, panel.unit);
  value.classList.toggle('unknown', worst === null);
  element.classList.toggle(
    'over',
    worst !== null && panel.threshold !== undefined && worst > panel.threshold
  );
  chart.update(
    { start: seen.start, step: seen.step, series },
    `${panel.title[language]}: ${value.textContent}`
  );
  keys.replaceChildren(
    ...(series.length > 1
      ? series.map(({ name }, place) => h('span', { class: `key key-${place % 6}` }, name))
      : [])
  );
}

function showAlerts() {
  const state = find('#state');
  const firing = active?.filter(alert => alert.state === 'firing') ?? [];
  const critical = firing.some(alert => alert.labels['severity'] === 'critical');
  const level = critical ? 'critical' : firing.length ? 'warning' : 'good';
  state.className = active ? level : 'lost';
  state.textContent = active
    ? say(level) + (firing.length ? ` (${firing.length})` : '')
    : say('lost');
  find('#updated').textContent =
    `${say('updated')} ${new Date().toLocaleTimeString(language, { hour12: false })}`;
  find('#alerts').replaceChildren(
    h('h2', {}, say('alerts')),
    active?.length
      ? h('ul', {}, ...active.map(alert => item(alert)))
      : h('p', { class: 'none' }, active ? say('none') : say('lost')),
    ...handled.map(({ kind, instance }) =>
      h(
        'p',
        { class: 'incident', 'data-incident': kind },
        `${say('handled')}: ${kind} · ${instance}`
      )
    )
  );
}

/** @param {Alert} alert */
function item(alert) {
  const suffix = language === 'ja' ? '_ja' : '';
  const severity = alert.labels['severity'] ?? '';
  const since = new Date(alert.activeAt).toLocaleString(language, {
    dateStyle: 'short',
    timeStyle: 'short'
  });
  const name = alert.labels['alertname'] ?? '';
  return h(
    'li',
    { class: `${severity} ${alert.state}`, 'data-alert': name },
    h('p', { class: 'summary' }, alert.annotations[`summary${suffix}`] ?? name),
    h('p', {}, `${say('effect')}: ${alert.annotations[`description${suffix}`] ?? ''}`),
    h(
      'p',
      { class: 'note' },
      `${name} · ${say('since')} ${since}${alert.state === 'pending' ? ` · ${say('soon')}` : ''} · `,
      h('a', { href: alert.annotations['runbook_url'] ?? '' }, say('page'))
    )
  );
}

async function refresh() {
  try {
    [seen, active, handled] = await Promise.all([
      figures(sections, seconds),
      alerts(),
      incidents()
    ]);
  } catch {
    active = null;
  }
  show();
}

async function start() {
  sections = await panels();
  build();
  find('#state').textContent = say('loading');
  await refresh();
  setInterval(() => {
    // Nobody sees a page in the background.
    if (!document.hidden) {
      void refresh();
    }
  }, REFRESH);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
      void refresh();
    }
  });
}

void start();
