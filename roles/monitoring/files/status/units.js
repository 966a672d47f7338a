/** @typedef {'seconds' | 'bytes' | 'ratio' | 'rate' | 'count'} Unit */

/** @type {readonly [number, string][]} */
const TIMES = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's']
];

/**
 * A value as people read it, with three digits at most.
 * @param {number} value
 * @param {Unit} unit
 */
export function format(value, unit) {
  switch (unit) {
    case 'seconds':
      return seconds(value);
    case 'bytes':
      return scaled(value, 1000, ['B', 'kB', 'MB', 'GB', 'TB']);
    case 'ratio':
      return `${digits(value * 100)} %`;
    case 'rate':
      return `${digits(value)} /s`;
    case 'count':
      return digits(value);
  }
}

/** @param {number} value */
function seconds(value) {
  if (Math.abs(value) < 1) {
    return `${digits(value * 1000)} ms`;
  }
  for (const [size, name] of TIMES) {
    if (Math.abs(value) >= 2 * size || size === 1) {
      return `${digits(value / size)} ${name}`;
    }
  }
  return '';
}

/**
 * @param {number} value
 * @param {number} step
 * @param {string[]} names
 */
function scaled(value, step, names) {
  let place = 0;
  while (Math.abs(value) >= step && place < names.length - 1) {
    value /= step;
    place += 1;
  }
  return `${digits(value)} ${names[place] ?? ''}`;
}

/** @param {number} value */
function digits(value) {
  const size = Math.abs(value);
  const places = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(places)));
}

/**
 * Where an axis from 0 ends: a round number at or above what is shown.
 * @param {number} highest
 * @param {Unit} unit
 */
export function axisEnd(highest, unit) {
  if (unit === 'ratio' && highest > 0.5 && highest <= 1) {
    return 1;
  }
  if (!(highest > 0)) {
    return unit === 'ratio' ? 0.01 : 1;
  }
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 2.5, 5, 10].find(factor => factor * power >= highest * 0.999) ?? 10;
  return step * power;
}
