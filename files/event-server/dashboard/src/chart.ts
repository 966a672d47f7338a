import { axisEnd } from './bars.ts';
import { h, svg } from './dom.ts';
import type { IBar } from './model.ts';
import type { ITexts } from './texts.ts';

const HEIGHT = 120;
const LEFT = 30;
const BOTTOM = 16;
const TOP = 10;
const DAY = 86_400_000;

// Patterns need ids of their own in the page.
let made = 0;

/** Draws executions, errors among them, and requests for help over time. */
export class Chart {
  readonly element: HTMLElement;
  private readonly texts: ITexts;
  private readonly canvas: SVGSVGElement;
  private readonly table = h('tbody');
  private readonly width: number;
  private readonly hatch = `hatch-${(made += 1)}`;
  private drawn = '';

  constructor(texts: ITexts, title: string, width = 360) {
    this.texts = texts;
    this.width = width;
    this.canvas = svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, 'aria-hidden': 'true' });
    const heads = [texts.time, texts.executions, texts.errors, texts.helps];
    this.element = h(
      'figure',
      { class: 'chart' },
      h(
        'figcaption',
        {},
        h('span', {}, title),
        h('span', { class: 'key executions' }, texts.executions),
        h('span', { class: 'key errors' }, texts.errors),
        h('span', { class: 'key helps' }, texts.helps)
      ),
      this.canvas,
      h(
        'table',
        { class: 'visually-hidden' },
        h('caption', {}, title),
        h('thead', {}, h('tr', {}, ...heads.map(head => h('th', { scope: 'col' }, head)))),
        this.table
      )
    );
  }

  update(bars: readonly IBar[]): void {
    const drawing = JSON.stringify(bars);
    if (drawing === this.drawn) {
      return;
    }
    this.drawn = drawing;
    this.canvas.replaceChildren(this.pattern(), ...this.axis(bars), ...this.columns(bars));
    this.table.replaceChildren(
      ...bars.map(bar =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, this.label(bar, bars)),
          ...[bar.executionCount, bar.errorCount, bar.helpCount].map(n => h('td', {}, String(n)))
        )
      )
    );
  }

  /** Hatched: told from the rest without its colour. */
  private pattern(): SVGElement {
    return svg(
      'pattern',
      {
        id: this.hatch,
        width: 4,
        height: 4,
        patternUnits: 'userSpaceOnUse',
        patternTransform: 'rotate(45)'
      },
      svg('rect', { width: 2.6, height: 4, class: 'stroke' })
    );
  }

  private axis(bars: readonly IBar[]): SVGElement[] {
    const end = endOf(bars);
    const lines = [0, end / 2, end].filter(Number.isInteger).flatMap(value => {
      const y = yOf(value, end);
      const text = svg('text', { x: LEFT - 5, y: y + 3, 'text-anchor': 'end' });
      text.textContent = String(value);
      return [svg('line', { x1: LEFT, x2: this.width, y1: y, y2: y, class: 'axis' }), text];
    });
    const places = new Set([0, Math.floor((bars.length - 1) / 2), bars.length - 1]);
    const times = [...places].flatMap(place => {
      const bar = bars[place];
      if (!bar) {
        return [];
      }
      const anchor = place === 0 ? 'start' : place === bars.length - 1 ? 'end' : 'middle';
      const step = (this.width - LEFT) / bars.length;
      const x = LEFT + step * (place + { start: 0, middle: 0.5, end: 1 }[anchor]);
      const text = svg('text', { x, y: HEIGHT - 3, 'text-anchor': anchor });
      text.textContent = this.label(bar, bars);
      return [text];
    });
    return [...lines, ...times];
  }

  private columns(bars: readonly IBar[]): SVGElement[] {
    const end = endOf(bars);
    const step = (this.width - LEFT) / bars.length;
    const width = step * 0.72;
    return bars.map((bar, place) => {
      const x = LEFT + place * step + (step - width) / 2;
      const box = (from: number, to: number, attributes: Record<string, string>): SVGElement =>
        svg('rect', {
          x,
          width,
          y: yOf(to, end),
          height: Math.max(0, yOf(from, end) - yOf(to, end)),
          ...attributes
        });
      const title = svg('title');
      const counts = this.texts.chartOf(bar.executionCount, bar.errorCount, bar.helpCount);
      title.textContent = `${this.label(bar, bars)}: ${counts}`;
      const group = svg(
        'g',
        {},
        title,
        svg('rect', {
          x: x - (step - width) / 2,
          width: step,
          y: 0,
          height: HEIGHT - BOTTOM,
          class: 'hit'
        }),
        box(0, bar.errorCount, { class: 'errors', fill: `url(#${this.hatch})` }),
        box(bar.errorCount, bar.executionCount, { class: 'executions' })
      );
      if (bar.helpCount > 0) {
        const middle = x + width / 2;
        const y = yOf(bar.executionCount, end) - 5;
        group.append(svg('path', { d: `M${middle} ${y - 4}l4 4-4 4-4-4z`, class: 'helps' }));
      }
      return group;
    });
  }

  private label(bar: IBar, bars: readonly IBar[]): string {
    const span = Date.parse(bars.at(-1)?.time ?? bar.time) - Date.parse(bars[0]?.time ?? bar.time);
    const form: Intl.DateTimeFormatOptions =
      span > DAY
        ? { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit' }
        : { hour: '2-digit', minute: '2-digit' };
    return new Date(bar.time).toLocaleString(this.texts.locale, { ...form, hour12: false });
  }
}

function endOf(bars: readonly IBar[]): number {
  return axisEnd(Math.max(2, ...bars.map(bar => bar.executionCount)));
}

function yOf(value: number, end: number): number {
  return TOP + (HEIGHT - BOTTOM - TOP) * (1 - value / end);
}
