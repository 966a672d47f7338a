type Attribute = string | boolean | null | undefined | ((event: never) => void);
type Child = Node | string | null | undefined;

/** Makes an element. Functions become listeners; strings among the children become text, never HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Attribute> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(name, value as EventListener);
    } else {
      set(element, name, value);
    }
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Makes an SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number> = {},
  ...children: Node[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** Gives an element an attribute, or takes it away; leaves it alone where it is right. */
export function set(
  element: Element,
  name: string,
  value: string | boolean | null | undefined
): void {
  if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    const text = value === true ? '' : value;
    if (element.getAttribute(name) !== text) {
      element.setAttribute(name, text);
    }
  }
}

/** Gives an element its text; leaves it alone where it is right. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** What shows one item of a list. */
export interface IView<T> {
  element: HTMLElement;
  update(item: T): void;
}

/** Keeps the children of an element in step with a list; what stays keeps its element, focus and scroll. */
export class KeyedList<T> {
  private views = new Map<string, IView<T>>();
  private readonly parent: Element;
  private readonly keyOf: (item: T) => string;
  private readonly create: (item: T) => IView<T>;

  constructor(parent: Element, keyOf: (item: T) => string, create: (item: T) => IView<T>) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.create = create;
  }

  update(items: readonly T[]): void {
    const views = new Map<string, IView<T>>();
    for (const item of items) {
      const key = this.keyOf(item);
      const view = this.views.get(key) ?? this.create(item);
      view.update(item);
      views.set(key, view);
    }
    for (const [key, view] of this.views) {
      if (!views.has(key)) {
        view.element.remove();
      }
    }
    let place = this.parent.firstElementChild;
    for (const { element } of views.values()) {
      if (element === place) {
        place = place.nextElementSibling;
      } else {
        this.parent.insertBefore(element, place);
      }
    }
    this.views = views;
  }
}
