// The list of packages, its filter, and the way from the list to one package and back.

import { get, make, showPackage } from "./files.js";

const filter = document.querySelector("#filter");
const list = document.querySelector("#list");
const detail = document.querySelector("#detail");
const count = document.querySelector("#count");
const roots = document.querySelector("#roots");
const packages = new Map(); // by identifier: what is known, its entry in the list, what is searched
const narrow = matchMedia("(max-width: 46rem)");
let shown = []; // links that pass the filter, in order
let broken = []; // roots with a problem
let generation = 0;

const WORDS = { ok: "verified", amiss: "amiss", unknown: "unknown", unverified: "not verified" };

function badge(state) {
  return make("span", { className: `badge ${state}` }, WORDS[state] ?? state);
}

function entry(one) {
  const link = make("a", { href: `#p=${one.id}`, tabIndex: -1 });
  const item = make("li", {}, link);
  packages.set(one.id, { ...one, link, item, words: "" });
  update(one.id, {});
  return item;
}

function update(id, news) {
  const one = packages.get(id);
  if (one === undefined) return;
  Object.assign(one, news);
  const state = one.problem ? "unusable" : one.integrity?.state;
  const facts = one.problem
    ? [one.problem]
    : [one.files === undefined ? "…" : `${one.files} file${one.files === 1 ? "" : "s"}, ${one.size}`];
  if (!one.problem && one.images) facts.push(`${one.images} image${one.images === 1 ? "" : "s"}`);
  if (one.licence) facts.push(one.licence);
  if (one.shadowed) facts.unshift("shadowed");
  one.link.replaceChildren(
    make("span", { className: "name" }, one.name),
    make("span", { className: "version" }, one.version || "no version"),
    make("span", { className: "facts", title: facts.join(" · ") }, facts.join(" · ")),
    ...(state ? [badge(state)] : []),
  );
  const said = [one.name, one.version, one.origin, one.place, one.licence, one.problem];
  one.words = [...said, WORDS[state] ?? state].join("\n").toLowerCase();
}

function applyFilter() {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = [];
  for (const one of packages.values()) {
    one.item.hidden = !wanted.every((word) => one.words.includes(word));
    if (!one.item.hidden) shown.push(one.link);
  }
  const all = packages.size;
  const some = wanted.length > 0 ? `${shown.length} of ${all}` : `${all}`;
  const text = all === 0 ? "None yet" : `${some} package${all === 1 ? "" : "s"}`;
  if (count.textContent !== text) count.textContent = text;
  rove(shown.find((link) => link.hasAttribute("aria-current")) ?? shown[0]);
}

function rove(link) {
  for (const one of packages.values()) one.link.tabIndex = one.link === link ? 0 : -1;
}

function chosen() {
  const found = /^#p=([0-9a-f]+)$/.exec(location.hash);
  return found === null ? undefined : packages.get(found[1]);
}

async function route(focus) {
  const one = chosen();
  document.body.classList.toggle("inside", one !== undefined);
  for (const other of packages.values()) {
    if (other === one) other.link.setAttribute("aria-current", "true");
    else other.link.removeAttribute("aria-current");
  }
  if (one === undefined) {
    document.title = "Data packages";
    if (packages.size > 0) welcome();
    return;
  }
  document.title = `${one.name} – data packages`;
  rove(one.link);
  one.link.scrollIntoView({ block: "nearest" });
  const heading = showPackage(detail, one, {
    badge,
    back: toList,
    verified: (integrity) => update(one.id, { integrity }),
  });
  if (focus) heading.focus();
  detail.scrollTop = 0;
  if (narrow.matches) scrollTo(0, 0);
}

function toList() {
  const one = chosen();
  if (narrow.matches) history.pushState(null, "", location.pathname), route(false);
  (one?.link ?? filter).focus();
}

function welcome() {
  const keys = [
    ["/", "filter the packages"],
    ["↑ ↓", "the next package, image or file"],
    ["Enter", "open what is chosen; an image opens in the viewer, in a tab of its own"],
    ["Esc", "clear the filter; back to the packages"],
  ];
  const table = make("dl", {});
  for (const [key, what] of keys) {
    table.append(make("dt", {}, make("kbd", {}, key)), make("dd", {}, what));
  }
  detail.replaceChildren(
    ...broken.map((root) => {
      const text = `${root.origin}${root.path ? `: ${root.path}` : ""} cannot be used: `;
      return make("p", { className: "note bad" }, text, root.problem);
    }),
    make("div", { className: "keys" }, make("p", {}, "Choose a package."), table),
  );
}

function explainNothing() {
  const command = (text) => make("pre", {}, make("code", {}, text));
  detail.replaceChildren(
    make("h2", {}, "No data package on this machine yet"),
    make("p", {}, "None was found on the search path, which is listed beside this."),
    make(
      "div",
      { className: "note" },
      "Install one, from a directory, an archive or a wheel:",
      command("nibabel-data install SOURCE"),
    ),
    make(
      "div",
      { className: "note" },
      "Or, if you have some, name the directory that they lie in:",
      command("nibabel-data config add DIRECTORY"),
    ),
    make("p", {}, "Then choose “Look again” above."),
  );
  for (const root of broken) {
    const text = `${root.origin} cannot be used: ${root.problem}`;
    detail.append(make("p", { className: "note bad" }, text));
  }
  roots.open = true;
}

function showRoots(data) {
  broken = data.roots.filter((root) => root.problem);
  const places = `${data.roots.length} place${data.roots.length === 1 ? "" : "s"}`;
  const [summary, items] = roots.children;
  const bad = broken.length === 0 ? "" : `, ${broken.length} with a problem`;
  summary.replaceChildren(`Search path: ${places}`, make("strong", { className: "bad" }, bad));
  items.replaceChildren(
    ...data.roots.map((root) =>
      make(
        "li",
        {},
        make("code", {}, root.path || "?"),
        make("span", {}, `from ${root.origin}`),
        make("span", { className: root.problem ? "bad" : "" }, root.problem || root.state),
      ),
    ),
  );
  roots.hidden = false;
}

async function summarise(now) {
  const answer = await fetch("api/summaries");
  if (!answer.ok) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done || now !== generation) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const { id, problem, ...news } = JSON.parse(line);
      update(id, problem ? { ...news, problem } : news);
    }
    if (filter.value) applyFilter();
  }
}

async function load() {
  const now = ++generation;
  let data;
  try {
    data = await get("api/packages");
  } catch {
    count.textContent = "";
    const text = "The server does not answer. Is the command still running?";
    detail.replaceChildren(make("p", { className: "note bad" }, text));
    return;
  }
  packages.clear();
  list.replaceChildren(...data.packages.map(entry));
  showRoots(data);
  applyFilter();
  if (data.packages.length === 0) explainNothing();
  else await route(false);
  await summarise(now);
}

function moveInList(event) {
  const at = shown.indexOf(document.activeElement);
  const page = 10;
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
  let to;
  if (event.key in steps) to = at + steps[event.key];
  else if (event.key === "Home") to = 0;
  else if (event.key === "End") to = shown.length - 1;
  else return;
  event.preventDefault();
  if (to < 0 && event.key === "ArrowUp") {
    filter.focus();
    return;
  }
  const link = shown[Math.max(0, Math.min(shown.length - 1, to))];
  if (link === undefined) return;
  rove(link);
  link.focus();
}

filter.addEventListener("input", applyFilter);
filter.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && filter.value !== "") {
    event.preventDefault();
    filter.value = "";
    applyFilter();
  } else if (event.key === "ArrowDown" && shown.length > 0) {
    event.preventDefault();
    rove(shown[0]);
    shown[0].focus();
  } else if (event.key === "Enter" && shown.length > 0) shown[0].click();
});
list.addEventListener("keydown", moveInList);
list.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.hash !== location.hash) history.pushState(null, "", link.hash);
  route(true);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox])");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    if (narrow.matches && chosen()) toList();
    filter.focus();
    filter.select();
  } else if (event.key === "Escape" && !event.defaultPrevented && event.target !== filter) {
    toList();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  detail.focus();
});
document.querySelector("#again").addEventListener("click", load);
addEventListener("popstate", () => route(false));
load();
