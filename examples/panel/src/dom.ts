// Elements from plain calls. Data reaches the page as text nodes only, never as markup.

type Child = Node | string | undefined | false;

interface Options {
  class?: string;
  /** Attributes; true sets an empty one, false and undefined leave it out. */
  attributes?: Record<string, string | boolean | undefined>;
  click?: () => void;
}

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  options: Options = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (options.class !== undefined) made.className = options.class;
  for (const [name, value] of Object.entries(options.attributes ?? {})) {
    if (typeof value === "string") made.setAttribute(name, value);
    else if (value === true) made.setAttribute(name, "");
  }
  if (options.click !== undefined) made.addEventListener("click", options.click);
  made.append(...children.filter((child) => child !== undefined && child !== false));
  return made;
}

export function button(label: string, look: string, click: () => void): HTMLButtonElement {
  return element("button", { class: `button ${look}`, attributes: { type: "button" }, click }, label);
}

export function byId<Type extends HTMLElement>(id: string, type: new () => Type): Type {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}
