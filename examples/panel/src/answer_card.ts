// What the panel shows of one answer: where it stands, its text or candidates, what happened on the way, and what can be
// done with it.
import type { Candidate, FailedCandidate, JudgeResult } from "../../../contract/client.js";
import { button, element } from "./dom.js";
import { judgeLabel, placeInLine, seconds, switchReason } from "./format.js";
import { headline, isWorthRepeating, sentence, type Problem } from "./problem.js";
import type { Run } from "./run.js";

export interface Choice {
  label: string;
  /** Gives what to tell about it, when it could not be done. */
  act: () => string | undefined;
}

export class AnswerCard {
  readonly root: HTMLLIElement;
  readonly #status = element("p", { class: "status" });
  readonly #body = element("div", { class: "body" });
  readonly #notices = element("div", { class: "notices" });
  readonly #foot = element("div", { class: "foot" });
  readonly #stop: HTMLButtonElement;
  #shown: Text | undefined;
  #countdown: ReturnType<typeof setInterval> | undefined;

  constructor(title: string, stop: () => void) {
    this.#stop = button("Stop", "small", stop);
    this.root = element("li", { class: "entry answer", attributes: { "aria-label": `Answer: ${title}`, tabindex: "-1" } },
      element("div", { class: "entry-head" }, element("span", { class: "who" }, title), this.#status, this.#stop),
      this.#body, this.#notices, this.#foot);
    this.begin();
  }

  /** As before its first run. */
  begin(): void {
    clearInterval(this.#countdown);
    // The button that was pressed is gone in a moment: whoever uses the keyboard stays here.
    if (this.root.contains(document.activeElement)) this.root.focus({ preventScroll: true });
    for (const part of [this.#body, this.#notices, this.#foot]) part.replaceChildren();
    this.#shown = undefined;
    this.#setStatus("starting", "Starting …");
  }

  draw(run: Run): void {
    switch (run.state) {
      case "starting": this.#setStatus("starting", "Starting …"); break;
      case "waiting": this.#setStatus("waiting", placeInLine(run.position)); break;
      case "running": this.#setStatus("running", this.#runningStatus(run)); break;
      case "completed": this.#setStatus("completed", ""); break;
      case "stopped": this.#setStatus("stopped", "Stopped"); break;
      case "failed": this.#setStatus("failed", ""); break;
    }
    if (run.candidates.length === 0) this.#drawText(run.text);
    this.#drawSwitch(run);
  }

  #runningStatus(run: Run): string {
    if (run.restarted && run.text === "") return "Beginning again …";
    return run.text === "" ? "Thinking …" : "Writing …";
  }

  #setStatus(state: Run["state"], text: string): void {
    const over = state === "completed" || state === "stopped" || state === "failed";
    if (this.#status.textContent !== text) this.#status.textContent = text;
    this.root.dataset["state"] = state;
    this.root.setAttribute("aria-busy", String(!over));
    if (over && document.activeElement === this.#stop) this.root.focus({ preventScroll: true });
    this.#stop.hidden = over;
  }

  // Only what is new is added, so that a reader's selection in the text stays.
  #drawText(text: string): void {
    if (this.#shown === undefined) {
      if (text === "") return;
      this.#shown = document.createTextNode("");
      this.#body.replaceChildren(element("p", { class: "text" }, this.#shown));
    }
    if (text.startsWith(this.#shown.data)) this.#shown.appendData(text.slice(this.#shown.length));
    else this.#shown.data = text;
  }

  #drawSwitch({ failover, state, text }: Run): void {
    if (failover === undefined) return;
    let what = "Answered by";
    if (text === "") what = state === "failed" || state === "stopped" ? "Tried" : "Switching to";
    this.#notice("switch", `${what} ${failover.to}: ${switchReason(failover.reason, failover.from)}`);
  }

  /** One notice of each kind, the newest words. */
  #notice(kind: string, words: string): void {
    const old = this.#notices.querySelector(`.${kind}`);
    if (old !== null) {
      if (old.textContent !== words) old.textContent = words;
    } else this.#notices.append(element("p", { class: `notice ${kind}`, attributes: { role: "status" } }, words));
  }

  offer(choices: Choice[]): void {
    if (choices.length === 0) return;
    const row = element("div", { class: "choices" });
    for (const { label, act } of choices) row.append(button(label, "small", () => this.#choose(row, label, act)));
    this.#foot.append(row);
  }

  #choose(row: HTMLElement, label: string, act: Choice["act"]): void {
    const refusal = act();
    if (refusal === undefined) row.replaceChildren(element("span", { class: "quiet" }, `${label}: done`));
    else this.#notice("refusal", refusal);
  }

  /** `use` takes one of them, `none` says that all are bad. */
  compare(
    candidates: Candidate[],
    failed: FailedCandidate[],
    use: ((candidate: Candidate) => string | undefined) | undefined,
    none: () => void,
  ): void {
    const list = element("ul", { class: "candidates", attributes: { "aria-label": "Candidates" } });
    const reject = button("None of these", "small", () => {
      none();
      close(undefined);
    });
    const close = (taken: HTMLElement | undefined) => {
      for (const one of list.querySelectorAll("button")) one.remove();
      reject.remove();
      for (const card of list.children) card.classList.toggle("passed-over", card !== taken);
      taken?.querySelector(".choices")?.prepend(element("span", { class: "quiet" }, "Used"));
    };
    candidates.forEach((candidate, index) => {
      const choices = element("div", { class: "choices" });
      const card = element("li", { class: "candidate", attributes: { "aria-label": `Candidate ${index + 1}` } },
        element("p", { class: "text" }, candidate.text), choices);
      if (use !== undefined) {
        choices.append(button("Use this", "small", () => {
          const refusal = use(candidate);
          if (refusal === undefined) close(card);
          else this.#notice("refusal", refusal);
        }));
      }
      list.append(card);
    });
    for (const { error } of failed) {
      list.append(element("li", { class: "candidate failed", attributes: { "aria-label": "Candidate that failed" } },
        element("p", { class: "quiet" }, `No answer: ${error.message}`), element("code", {}, error.code)));
    }
    this.#body.replaceChildren(list);
    this.#foot.append(element("div", { class: "choices" }, reject));
  }

  /** `again` asks once more. */
  fail(problem: Problem, again: () => void): void {
    this.#setStatus("failed", "");
    const box = element("div", { class: "problem", attributes: { role: "alert" } },
      element("p", { class: "problem-head" }, headline(problem)),
      element("p", {}, sentence(problem)),
      element("p", { class: "quiet" }, element("code", {}, problem.code),
        ...(problem.traceId === undefined ? [] : [" trace ", element("code", {}, problem.traceId)])));
    if (isWorthRepeating(problem)) box.append(this.#retry(problem.retryAfterMs ?? 0, again));
    this.#foot.append(box);
  }

  // Not to be pressed before the time that the gateway asked for is over.
  #retry(wait: number, again: () => void): HTMLButtonElement {
    const retry = button("Retry", "small", again);
    const ready = performance.now() + wait;
    const show = () => {
      const left = ready - performance.now();
      retry.disabled = left > 0;
      retry.textContent = left > 0 ? `Retry in ${seconds(left)}` : "Retry";
      if (left <= 0) clearInterval(this.#countdown);
    };
    if (wait > 0) this.#countdown = setInterval(show, 200);
    show();
    return retry;
  }

  /** After a stop: nothing is wrong, and it can be asked for once more. */
  offerAgain(again: () => void): void {
    this.#foot.append(element("div", { class: "choices" }, button("Run again", "small", again)));
  }

  /** The chat has no room left: `archive` goes on in a new one. */
  capacity(problem: Problem, archive: () => void): void {
    this.#setStatus("failed", "");
    this.#foot.append(element("div", { class: "hint capacity", attributes: { role: "alert" } },
      element("p", { class: "problem-head" }, "This chat is full"),
      element("p", {}, "Archive it to go on in a new one. Nothing is lost: an archived chat stays readable."),
      element("p", { class: "quiet" }, element("code", {}, problem.code), ` ${sentence(problem)}`),
      button("Archive and continue", "small primary", archive)));
  }

  /** Of a candidate, or else of the answer. Gives what tells the finding, undefined where there is none to be had. */
  judging(candidate?: number): (result: JudgeResult | undefined) => void {
    const label = element("p", { class: "judge", attributes: { "data-state": "pending" } }, "Quality: checking …");
    const places = this.#body.querySelectorAll(".candidate .choices");
    (candidate === undefined ? this.#notices : (places[candidate] ?? this.#notices)).append(label);
    return (result) => {
      label.dataset["state"] = "ready";
      if (result === undefined) {
        label.textContent = "Quality: could not be checked";
        return;
      }
      label.textContent = judgeLabel(result);
      label.title = result.summary;
      label.dataset["severity"] = result.labels.length === 0 ? "none" : result.severity;
    };
  }
}

export function questionCard(text: string, quoted?: string): HTMLLIElement {
  return element("li", { class: "entry question", attributes: { "aria-label": "You" } },
    element("p", { class: "text" }, text),
    quoted !== undefined && element("blockquote", {}, quoted));
}

/** An answer of the past, as the chat keeps it. */
export function keptCard(title: string, text: string): HTMLLIElement {
  const attributes = { "aria-label": `Answer: ${title}`, "data-state": "kept" };
  return element("li", { class: "entry answer", attributes },
    element("div", { class: "entry-head" }, element("span", { class: "who" }, title)),
    element("div", { class: "body" }, element("p", { class: "text" }, text)));
}
