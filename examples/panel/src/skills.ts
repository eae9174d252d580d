// The skills that the panel offers on a passage, and what becomes of their answers.
import type { Client } from "../../../contract/client.js";

export type Use = "replace" | "append" | "read";

export interface PanelSkill {
  id: string;
  name: string;
  use: Use;
}

const uses: Record<string, Use> = {
  polish: "replace", rewrite: "replace", condense: "replace", expand: "replace", translate: "replace",
  continue: "append", summarize: "read", critique: "read",
};

const builtin: PanelSkill[] = Object.entries(uses).map(([leaf, use]) => ({
  id: `builtin:${leaf}`, name: leaf.charAt(0).toUpperCase() + leaf.slice(1), use,
}));

/** What is installed and enabled; the builtin pack while that cannot be asked. */
export async function panelSkills(client: Client): Promise<PanelSkill[]> {
  const { items } = await client.call("skill:registry:list", {}).catch(() => ({ items: undefined }));
  if (items === undefined) return builtin;
  return items.filter(({ id, enabled, valid }) => enabled && valid && !["builtin:chat", "builtin:brainstorm"].includes(id))
    .map(({ id, name }) => ({ id, name, use: uses[id.replace(/^builtin:/u, "")] ?? "read" }));
}
