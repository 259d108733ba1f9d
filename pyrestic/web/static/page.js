"use strict";
// Every page works without this; it adds keys to tables of files.

function rowsOf(table) {
  return Array.from(table.querySelectorAll("tbody tr")).filter((row) => row.querySelector("a"));
}

function focusRow(rows, place) {
  const row = rows[Math.max(0, Math.min(rows.length - 1, place))];
  if (row) row.querySelector("a").focus();
}

function useKeys(table) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, pre")) return;
    const rows = rowsOf(table);
    const now = rows.findIndex((row) => row.contains(document.activeElement));
    const steps = { ArrowDown: now + 1, j: now + 1, ArrowUp: now - 1, k: now - 1, Home: 0, End: rows.length - 1 };
    if (now < 0 && (event.key === "Home" || event.key === "End")) return;
    if (event.key in steps) {
      focusRow(rows, steps[event.key]);
    } else if (event.key === "Backspace") {
      const above = document.querySelectorAll(".crumbs a");
      if (above.length > 1) above[above.length - 2].click();
    } else {
      return;
    }
    event.preventDefault();
  });
}

document.querySelectorAll("table[data-keys]").forEach(useKeys);

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
  const field = document.querySelector("input[type=search]");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// What takes longer than the page itself is asked for afterwards; without this there is a link to it.
async function loadLater(place) {
  place.setAttribute("aria-busy", "true");
  const link = place.querySelector("a");
  if (link) link.classList.add("loading");
  try {
    const answer = await fetch(place.dataset.load, { credentials: "same-origin" });
    if (answer.ok) place.innerHTML = await answer.text();
  } finally {
    place.removeAttribute("aria-busy");
  }
}

document.querySelectorAll("[data-load]").forEach(loadLater);

// A restore that is under way says how far it is; when it is at another state, the page is made anew.
async function poll(place) {
  const bar = place.querySelector("progress");
  const words = place.querySelector("[role=status]");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const answer = await fetch(place.dataset.poll, { credentials: "same-origin" });
    if (!answer.ok) return;
    const now = await answer.json();
    if (now.state !== place.dataset.state) {
      location.reload();
      return;
    }
    if (now.state === "running" && now.total) bar.value = now.done;
    if (words.textContent !== now.words) words.textContent = now.words;
  }
}

document.querySelectorAll("[data-poll]").forEach(poll);
