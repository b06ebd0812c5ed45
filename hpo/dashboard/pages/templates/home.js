"use strict";
// The studies are fetched again every few seconds, while somebody looks; those that differ are put in place.
const SECONDS = 5;
const form = document.getElementById("studies");
const news = document.getElementById("news");

const known = new Map();

function update(text) {
  const fetched = new DOMParser().parseFromString(text, "text/html").querySelectorAll(".study");
  const shown = new Map([...form.querySelectorAll(".study")].map((study) => [study.id, study]));
  let before = form.querySelector(".choose");
  for (const study of fetched) {
    const old = shown.get(study.id);
    const next = old && known.get(study.id) === study.outerHTML ? old : document.importNode(study, true);
    shown.delete(study.id);
    known.set(study.id, study.outerHTML);
    if (old && next !== old) {
      const [mine, theirs] = [next, old].map((one) => one.querySelector("input"));
      if (mine && theirs) mine.checked = theirs.checked;
      old.replaceWith(next);
    }
    if (before.nextElementSibling !== next) before.after(next);
    before = next;
  }
  for (const gone of shown.values()) gone.remove();
}

async function refresh() {
  // Who goes through the page with the keyboard would lose the place.
  if (document.hidden || document.querySelector(".study :focus-visible")) return;
  try {
    const reply = await fetch(form.dataset.source, { cache: "no-store" });
    if (!reply.ok) throw new Error(reply.status);
    update(await reply.text());
    news.textContent = "";
  } catch {
    news.textContent = " · not up to date: the dashboard does not answer";
  }
}

if (form) setInterval(refresh, 1000 * SECONDS);
else setTimeout(() => location.reload(), 1000 * SECONDS);
