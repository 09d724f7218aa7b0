// Copies commands and refreshes pages. Everything works without it.
"use strict";
(() => {
  const words = document.body.dataset;

  const addCopyButtons = () => {
    if (!navigator.clipboard) return;
    for (const code of document.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = words.wordCopy;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = words.wordCopied;
      });
      code.after(button);
    }
  };
  addCopyButtons();

  const seconds = Number(words.refresh);
  if (!seconds) return;
  const text = document.createElement("span");
  text.textContent = words.wordRefreshes;
  const hold = document.createElement("button");
  hold.type = "button";
  hold.className = "plain";
  hold.dataset.hold = "";
  hold.textContent = words.wordHold;
  hold.setAttribute("aria-pressed", "false");
  let held = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
  });
  document.querySelector("[data-refreshed]").append(text, " ", hold);
  const busy = () => held || document.hidden || document.querySelector("main details[open], main :focus") !== null;
  setInterval(async () => {
    if (busy()) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok || busy()) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
      addCopyButtons();
    } catch {
      // The next time may do better.
    }
  }, seconds * 1000);
})();
