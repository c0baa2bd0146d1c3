"use strict";
// Keys, the blend of the heat map, and following a run that is still going. Pages work without this file.
const main = () => document.querySelector("main");
const base = location.pathname.split("/").slice(0, 2).join("/");
const help = document.getElementById("help");

function move(by) {
  const rows = [...document.querySelectorAll(".row")];
  if (!rows.length) return;
  const now = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(now + by, 0), rows.length - 1)].focus();
}

function press(selector) {
  const found = document.querySelector(selector);
  if (found) found.click();
  return Boolean(found);
}

const keys = {
  list: {
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    "/": () => document.getElementById("search").focus(),
    x: () => document.activeElement.closest(".run")?.querySelector("input").click(),
    c: () => document.querySelector(".run input:checked") && press("#compare"),
  },
  run: {
    "[": () => press("[rel=prev]"), "]": () => press("[rel=next]"),
    b: () => press("#boxes"), e: () => document.getElementById("evidence")?.scrollIntoView(),
    Escape: () => { location.href = base + "/"; },
  },
  compare: { Escape: () => { location.href = base + "/"; } },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  if (event.target.matches("select, input:not([type=checkbox]):not([type=radio]), textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const page = main()?.dataset.page;
  if (event.key === "?") help?.showModal();
  else if (page === "run" && /^[1-9]$/.test(event.key)) document.querySelectorAll(".viewer input[type=radio]")[event.key - 1]?.click();
  else if (keys[page]?.[event.key]) keys[page][event.key]();
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help?.showModal();
});

document.addEventListener("input", (event) => {
  if (event.target.id === "blend") document.querySelector(".stage").style.setProperty("--blend", event.target.value / 100);
});

function tell({ status, events }) {
  const steps = events === "1" ? "1 step" : `${events} steps`;
  const words = status === "running" ? `following: ${steps}` : `${status} after ${steps}`;
  document.querySelector(".follow")?.replaceChildren(words);
}

async function follow() {
  const page = main();
  if (page?.dataset.status !== "running") return;
  try {
    const state = await (await fetch(location.pathname + "/state")).json();
    if (state.status !== page.dataset.status || String(state.events) !== page.dataset.events) {
      const chosen = document.querySelector(".viewer input:checked")?.id;
      const open = [...document.querySelectorAll("details")].map((one) => one.open);
      const text = await (await fetch(location.pathname)).text();
      const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      tell(next.dataset);
      page.replaceWith(document.adoptNode(next));
      if (chosen) document.getElementById(chosen)?.click();
      document.querySelectorAll("details").forEach((one, number) => { if (open[number]) one.open = true; });
    }
  } catch {
    document.querySelector(".follow")?.replaceChildren("the viewer has ended");
    return;
  }
  setTimeout(follow, 1000);
}
follow();
