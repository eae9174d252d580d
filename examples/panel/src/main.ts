// The page: a text, notes about it, and the panel.
import { createClient } from "../../../contract/client.js";
import { byId } from "./dom.js";
import { Editor } from "./editor.js";
import { wordCount } from "./format.js";
import { Panel } from "./panel.js";
import { notes as firstNotes, text as firstText } from "./sample.js";

interface Settings {
  model?: string;
}

const settings = (await (await fetch("/settings.json")).json()) as Settings;

const area = byId("document", HTMLTextAreaElement);
const notes = byId("notes", HTMLTextAreaElement);
const count = byId("word-count", HTMLParagraphElement);
area.value = firstText;
notes.value = firstNotes;

let panel: Panel | undefined;
const editor = new Editor(area, byId("mirror", HTMLDivElement), () => {
  count.textContent = wordCount(area.value);
  panel?.selectionChanged();
});
panel = new Panel({
  root: byId("panel", HTMLElement),
  client: createClient({ baseUrl: location.origin }),
  editor,
  projectId: "sorrel-point",
  documentId: "chapter-1",
  model: settings.model,
  notes: () => notes.value,
});
panel.selectionChanged();
await panel.open();
