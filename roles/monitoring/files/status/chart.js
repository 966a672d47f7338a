import { h, svg } from './dom.js';
import { axisEnd, format } from './units.js';

/** @typedef {import('./api.js').Series} Series */
/** @typedef {import('./units.js').Unit} Unit */
/** @typedef {{start: number, step: number, series: Series[]}} Drawn */
/** @typedef {{width: number, height: number, left: number, bottom: number, top: number, right: number}} Box */

const LINES = 6;

/** Lines over time, with what they are at the pointer, and a threshold. */
export class Chart {
  /**
   * @param {Unit} unit
   * @param {number | undefined} threshold
   * @param {boolean} small Without an axis of values.
   */
  constructor(unit, threshold, small) {
    this.unit = unit;
    this.threshold = threshold;
    /** @type {Box} */
    this.box = small
      ? { width: 300, height: 64, left: 0, bottom: 14, top: 4, right: 0 }
      : { width: 480, height: 150, left: 52, bottom: 18, top: 8, right: 6 };
    this.small = small;
    this.canvas = svg('svg', {
      viewBox: `0 0 ${this.box.width} ${this.box.height}`,
      role: 'img'
    });
    this.hint = h('div', { class: 'hint', hidden: '' });
    this.element = h('div', { class: small ? 'chart small' : 'chart' }, this.canvas, this.hint);
    this.cursor = svg('line', { class: 'cursor', visibility: 'hidden' });
    /** @type {Drawn | null} */
    this.drawn = null;
    this.element.addEventListener('pointermove', event => {
      const { left, width } = this.canvas.getBoundingClientRect();
      this.point(((event.clientX - left) / width) * this.box.width);
    });
    this.element.addEventListener('pointerleave', () => {
      this.leave();
    });
  }

  /**
   * @param {Drawn} drawn
   * @param {string} label What is seen, for those who do not see it.
   */
  update(drawn, label) {
    this.drawn = drawn;
    const known = drawn.series.flatMap(({ points }) => points.filter(value => value !== null));
    const highest = Math.max(0, ...known);
    const near = this.threshold !== undefined && highest > this.threshold / 3;
    const end = axisEnd(near ? Math.max(highest, this.threshold ?? 0) : highest, this.unit);
    this.canvas.setAttribute('aria-label', label);
    this.canvas.replaceChildren(
      ...this.axes(drawn, end),
      ...(near ? this.limit(end) : []),
      ...drawn.series.flatMap((series, place) => this.line(series, place, end)),
      this.cursor
    );
  }

  /**
   * @param {number} place
   * @returns {number}
   */
  x(place) {
    const { width, left, right } = this.box;
    const count = this.drawn?.series[0]?.points.length ?? 2;
    return left + ((width - left - right) * place) / (count - 1);
  }

  /**
   * @param {number} value
   * @param {number} end
   */
  y(value, end) {
    const { height, bottom, top } = this.box;
    return top + (height - bottom - top) * (1 - Math.min(value, end) / end);
  }

  /**
   * @param {Drawn} drawn
   * @param {number} end
   * @returns {SVGElement[]}
   */
  axes(drawn, end) {
    const { width, height, left, right } = this.box;
    const values = this.small ? [0] : [0, end / 2, end];
    const lines = values.map(value => {
      const y = this.y(value, end);
      return svg('line', { x1: left, x2: width - right, y1: y, y2: y, class: 'axis' });
    });
    const names = this.small
      ? []
      : values.map(value =>
          svg(
            'text',
            { x: left - 6, y: this.y(value, end) + 3.5, 'text-anchor': 'end' },
            format(value, this.unit)
          )
        );
    const count = drawn.series[0]?.points.length ?? 0;
    const times = [0, 0.5, 1].map((share, place) => {
      const at = Math.round(share * Math.max(0, count - 1));
      return svg(
        'text',
        { x: this.x(at), y: height - 3, 'text-anchor': ['start', 'middle', 'end'][place] ?? '' },
        count ? clock(drawn.start + at * drawn.step, drawn.step * count) : ''
      );
    });
    return [...lines, ...names, ...times];
  }

  /**
   * @param {number} end
   * @returns {SVGElement[]}
   */
  limit(end) {
    const y = this.y(this.threshold ?? 0, end);
    return [
      svg('line', {
        x1: this.box.left,
        x2: this.box.width - this.box.right,
        y1: y,
        y2: y,
        class: 'limit'
      })
    ];
  }

  /**
   * @param {Series} series
   * @param {number} place
   * @param {number} end
   * @returns {SVGElement[]}
   */
  line(series, place, end) {
    let path = '';
    let drawing = false;
    series.points.forEach((value, at) => {
      if (value === null) {
        drawing = false;
        return;
      }
      const point = `${this.x(at).toFixed(1)} ${this.y(value, end).toFixed(1)}`;
      // A point alone is a dot: the line's end is round.
      path += drawing ? `L${point}` : `M${point}h0`;
      drawing = true;
    });
    return path ? [svg('path', { d: path, class: `line line-${place % LINES}` })] : [];
  }

  /** @param {number} x Of the drawing. */
  point(x) {
    const drawn = this.drawn;
    const count = drawn?.series[0]?.points.length ?? 0;
    if (!drawn || count === 0) {
      return;
    }
    const { width, left, right, top, height, bottom } = this.box;
    const share = (x - left) / (width - left - right);
    const at = Math.min(count - 1, Math.max(0, Math.round(share * (count - 1))));
    for (const [name, value] of Object.entries({
      x1: this.x(at),
      x2: this.x(at),
      y1: top,
      y2: height - bottom,
      visibility: 'visible'
    })) {
      this.cursor.setAttribute(name, String(value));
    }
    const time = new Date((drawn.start + at * drawn.step) * 1000);
    this.hint.replaceChildren(
      h('b', {}, time.toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'short' })),
      ...drawn.series.flatMap(({ name, points }, place) => {
        const value = points[at];
        const key = h('span', { class: `key key-${place % LINES}` }, name);
        return value === null || value === undefined
          ? []
          : [h('div', {}, key, h('span', {}, format(value, this.unit)))];
      })
    );
    this.hint.hidden = false;
    this.hint.classList.toggle('left', share > 0.5);
  }

  leave() {
    this.hint.hidden = true;
    this.cursor.setAttribute('visibility', 'hidden');
  }
}

/**
 * @param {number} seconds
 * @param {number} span
 */
function clock(seconds, span) {
  const time = new Date(seconds * 1000);
  return span > 2 * 86_400
    ? time.toLocaleDateString(undefined, { month: 'numeric', day: 'numeric' })
    : time.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', hour12: false });
}
