// The writer's text: what is selected in it, and putting an answer back where its passage stands.
import { element } from "./dom.js";

export interface Passage {
  start: number;
  end: number;
  text: string;
}

export class Editor {
  readonly #area: HTMLTextAreaElement;
  readonly #mirror: HTMLElement;
  readonly #changed: () => void;

  /** `changed`: the text or its selection is another. */
  constructor(area: HTMLTextAreaElement, mirror: HTMLElement, changed: () => void) {
    this.#area = area;
    this.#mirror = mirror;
    this.#changed = changed;
    for (const name of ["input", "select", "keyup", "pointerup", "focus", "blur"]) {
      area.addEventListener(name, () => this.#refresh());
    }
    document.addEventListener("selectionchange", () => {
      if (document.activeElement === area) this.#refresh();
    });
    this.#refresh();
  }

  get text(): string {
    return this.#area.value;
  }

  /** The selected passage without the blanks around it; undefined where nothing is selected. */
  selected(): Passage | undefined {
    const { selectionStart: from, selectionEnd: to, value } = this.#area;
    const raw = value.slice(from, to);
    const text = raw.trim();
    if (text === "") return undefined;
    const start = from + raw.indexOf(text);
    return { start, end: start + text.length, text };
  }

  /** False where the passage no longer stands in the text. */
  replace(passage: Passage, text: string): boolean {
    const start = this.#find(passage);
    if (start === undefined) return false;
    this.#write(start, start + passage.text.length, text);
    this.#area.setSelectionRange(start, start + text.length);
    return true;
  }

  insertAfter(passage: Passage, text: string): boolean {
    const start = this.#find(passage);
    if (start === undefined) return false;
    const end = start + passage.text.length;
    const added = ` ${text}`;
    this.#write(end, end, added);
    this.#area.setSelectionRange(end + 1, end + added.length);
    return true;
  }

  // Where it was, or else the one place where it stands now.
  #find({ start, text }: Passage): number | undefined {
    const { value } = this.#area;
    if (value.startsWith(text, start)) return start;
    const first = value.indexOf(text);
    return first >= 0 && value.indexOf(text, first + 1) < 0 ? first : undefined;
  }

  #write(start: number, end: number, text: string): void {
    this.#area.focus();
    this.#area.setSelectionRange(start, end);
    // The one way in which the browser's undo remembers it, obsolete as it is.
    if (!document.execCommand("insertText", false, text)) this.#area.setRangeText(text, start, end, "end");
    this.#refresh();
  }

  // The mirror lies under the text with the same letters: it gives the text area its height, and shows the selection
  // while the keyboard is elsewhere.
  #refresh(): void {
    const { value } = this.#area;
    const passage = this.selected();
    if (passage === undefined) this.#mirror.replaceChildren(`${value}\n`);
    else {
      this.#mirror.replaceChildren(value.slice(0, passage.start), element("mark", {}, passage.text),
        `${value.slice(passage.end)}\n`);
    }
    this.#changed();
  }
}
