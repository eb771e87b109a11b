// One package: what is said of it, whether it is whole, its images and its files.

export function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export async function get(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

const number = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;
const MANIFEST = "manifest-sha256.txt";
const UNREAD = "This package could not be read. Choose “Look again” above.";
let turn = 0; // of the package that is shown; what comes for another one is dropped

export function showPackage(place, one, { badge, back, verified }) {
  const now = ++turn;
  const current = () => now === turn;
  const heading = make("h2", { tabIndex: -1 }, one.name, " ");
  heading.append(make("span", { className: "version" }, one.version));
  const facts = make("dl", {});
  const toList = make("button", { type: "button", id: "back" }, "All packages");
  toList.addEventListener("click", back);
  place.replaceChildren(toList, heading);
  if (one.problem) {
    const text = `This package cannot be used: ${one.problem}`;
    place.append(make("p", { className: "note bad" }, text));
  }
  if (one.shadowed) {
    const text = `Another copy is found in its place: ${one.shadowed}`;
    place.append(make("p", { className: "note" }, text));
  }
  place.append(facts);
  tell(facts, one);
  const integrity = new Integrity(one, badge, verified, current);
  const contents = new Contents(one, integrity, current);
  place.append(...integrity.parts, ...contents.parts);
  get(`api/package/${one.id}`).then(
    (details) => {
      if (!current()) return;
      tell(facts, details);
      integrity.begin(details);
      contents.begin();
    },
    () => current() && place.append(make("p", { className: "note bad" }, UNREAD)),
  );
  return heading;
}

function tell(facts, one) {
  const known = [
    ["Place", one.place],
    ["Origin", one.origin],
    ["Licence", one.licence ?? "…"],
    ["Citation", one.citation ?? "…"],
    ["Installed by", one.distribution ?? "…"],
    ["Contents", one.files === undefined ? "…" : `${number(one.files, "file")}, ${one.size}`],
  ];
  const unknown = { Licence: "not stated", Citation: "none", "Installed by": "not known" };
  facts.replaceChildren();
  for (const [name, value] of known) {
    facts.append(make("dt", {}, name), make("dd", {}, value || unknown[name] || ""));
  }
  if (one.unfetched) facts.lastChild.append(`, ${number(one.unfetched, "file")} not fetched`);
}

class Integrity {
  constructor(one, badge, verified, current) {
    Object.assign(this, { one, badge, verified, current, url: `api/verify/${one.id}` });
    this.found = undefined; // by identifier, what is amiss; undefined until it is known
    this.onResult = () => {};
    this.status = make("p", {}, "…");
    this.status.role = "status";
    this.button = make("button", { type: "button", disabled: true }, "Verify every file");
    this.button.addEventListener("click", () => this.verify());
    this.bar = make("progress", { hidden: true });
    this.bar.ariaLabel = "Verified so far";
    this.list = make("ul", { className: "amiss-list", hidden: true });
    const row = make("div", { className: "integrity" }, this.status, this.bar, this.button);
    this.parts = [make("h3", {}, "Integrity"), row, this.list];
  }

  async begin(details) {
    this.button.disabled = false;
    if (details.problem) this.say("unknown", "its config.ini cannot be used");
    else this.say(details.integrity.state, details.integrity.text);
    const status = await get(this.url);
    if (status.state !== "none" && this.current()) this.follow(status);
  }

  say(state, text) {
    this.status.replaceChildren(this.badge(state), ` ${text}`);
  }

  async verify() {
    this.button.disabled = true;
    this.found = undefined;
    this.list.hidden = true;
    try {
      this.follow(await get(this.url, { method: "POST" }));
    } catch {
      this.say("unknown", "The server is busy or has ended: try again.");
      this.button.disabled = false;
    }
  }

  async follow(status) {
    if (status.state === "running") this.status.textContent = "Reading every file …";
    while (status.state === "running") {
      this.bar.hidden = false;
      this.bar.max = Math.max(1, status.total);
      this.bar.value = status.done;
      this.bar.title = status.text;
      this.button.disabled = true;
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (!this.current()) return;
      status = await get(this.url).catch(() => ({ state: "unknown", text: "no answer" }));
    }
    if (!this.current()) return;
    this.bar.hidden = true;
    this.button.disabled = false;
    this.say(status.state, status.text);
    this.verified({ state: status.state, text: status.text });
    const amiss = status.amiss ?? [];
    this.list.replaceChildren(
      ...amiss.map((check) => {
        const detail = check.detail ? `: ${check.detail}` : "";
        const state = make("strong", { className: "state" }, check.state);
        return make("li", {}, state, ` ${check.name}${detail}`);
      }),
    );
    if (status.more) this.list.append(make("li", {}, `and ${status.more} more`));
    this.list.hidden = amiss.length === 0;
    if (status.state === "ok" || status.state === "amiss") {
      this.found = new Map(amiss.map((check) => [check.id, check.state]));
      this.all = !status.more;
      this.onResult();
    }
  }

  mark(row, file) {
    if (this.found === undefined) return;
    const state = this.found.get(file.id);
    const compared = this.all && file.state === "file" && file.name !== MANIFEST;
    if (state === undefined && !compared) return;
    const old = row.querySelector(".state");
    const text = state ?? "✓ as it was made";
    const mark = make("span", { className: state ? "state" : "state ok" }, text);
    if (old === null) row.append(mark);
    else old.replaceWith(mark);
  }
}

class Contents {
  constructor(one, integrity, current) {
    Object.assign(this, { one, integrity, current, rows: [], ask: 0 });
    integrity.onResult = () => this.rows.forEach(([row, file]) => integrity.mark(row, file));
    this.search = make("input", { type: "search", id: "within", autocomplete: "off" });
    this.search.spellcheck = false;
    this.search.placeholder = "part of a name";
    this.search.addEventListener("input", () => this.soon());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.search.value !== "") {
        event.preventDefault();
        this.search.value = "";
        this.refill();
      }
    });
    const label = make("label", { htmlFor: "within" }, "Find files in this package");
    const field = make("div", { className: "field within" }, label, this.search);
    this.heading = make("h3", {}, "Images");
    this.gallery = make("ul", { className: "gallery" });
    this.gallery.addEventListener("keydown", (event) => moveInGallery(this.gallery, event));
    this.form = make("form", { method: "post", action: "open", target: "_blank" });
    this.form.rel = "noopener";
    this.together = this.makeTogether();
    this.filesHeading = make("h3", {}, "Files");
    this.tree = make("ul", { className: "tree" });
    this.tree.addEventListener("keydown", (event) => moveInTree(this.tree, event));
    this.form.append(this.heading, this.gallery, this.together, this.filesHeading, this.tree);
    this.form.hidden = field.hidden = true;
    this.parts = [field, this.form];
  }

  makeTogether() {
    this.button = make("button", { className: "first" }, "Show chosen together");
    this.choice = make("p", {}, "");
    this.choice.role = "status";
    this.form.addEventListener("change", () => this.count());
    return make("div", { className: "together", hidden: true }, this.button, this.choice);
  }

  count() {
    const chosen = this.form.querySelectorAll("input[name=file]:checked").length;
    this.together.hidden = chosen === 0;
    this.together.classList.toggle("some", chosen > 0);
    this.choice.textContent = `${number(chosen, "image")} chosen; labels lie above the others.`;
  }

  begin() {
    for (const part of this.parts) part.hidden = false;
    return this.refill();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refill(), 150);
  }

  async refill() {
    const ask = ++this.ask;
    const text = encodeURIComponent(this.search.value.trim());
    const fresh = () => this.current() && ask === this.ask;
    const query = text ? `q=${text}` : "";
    this.rows = [];
    const id = this.one.id;
    await Promise.all([
      this.fill(this.gallery, `api/images/${id}?${query}`, fresh, (data) => {
        this.heading.textContent = `Images (${data.total})`;
        this.heading.hidden = this.gallery.hidden = data.total === 0;
        return data.files.map((file) => this.card(file));
      }),
      this.fill(this.tree, `api/files/${id}?${query}`, fresh, (data) => {
        this.filesHeading.textContent = text ? `Files (${data.total} found)` : "Files";
        return this.branches(data, fresh);
      }),
    ]);
    if (fresh()) this.count();
  }

  async fill(place, url, fresh, rows, start = 0) {
    const data = await get(`${url}&start=${start}`).catch(() => undefined);
    if (!fresh()) return;
    if (data === undefined) {
      place.replaceChildren(make("li", { className: "bad" }, "cannot be read"));
      return;
    }
    const made = rows(data);
    if (start === 0) place.replaceChildren(...made);
    else place.append(...made);
    const next = start + made.length;
    if (next >= data.total || made.length === 0) return;
    const button = make("button", { type: "button" }, `Show more (${data.total - next})`);
    const item = make("li", { className: "more" }, button);
    button.addEventListener("click", async () => {
      button.disabled = true;
      await this.fill(place, url, fresh, rows, next);
      const first = item.nextElementSibling;
      item.remove();
      first?.querySelector("button, summary")?.focus();
    });
    place.append(item);
  }

  card(file) {
    const parts = file.name.split("/");
    const name = make("span", { className: "name" }, parts.pop());
    const folder = parts.join("/");
    const button = make("button", { className: "card", name: "only", value: file.id });
    button.append(picture(file), name);
    button.append(make("span", { className: "unseen" }, " (opens in the viewer, in a new tab)"));
    const box = make("input", { type: "checkbox", name: "file", value: file.id });
    box.ariaLabel = `Choose ${file.name}, to show it together with others`;
    const label = make("label", {}, box, "choose");
    const size = make("span", {}, folder ? `${folder} · ${file.size}` : file.size);
    return make("li", {}, button, make("div", { className: "below" }, size, label));
  }

  branches(data, fresh) {
    return [
      ...data.folders.map((folder) => this.folder(folder, fresh)),
      ...data.files.map((file) => this.leaf(file)),
    ];
  }

  folder(folder, fresh) {
    const size = make("span", { className: "size" }, folder.text);
    const name = make("span", { className: "name" }, folder.name);
    const items = make("ul", {});
    const opened = make("details", {}, make("summary", {}, name, size), items);
    const url = `api/files/${this.one.id}?folder=${folder.id}`;
    const fill = () => this.fill(items, url, fresh, (data) => this.branches(data, fresh));
    opened.addEventListener("toggle", fill, { once: true });
    return make("li", {}, opened);
  }

  leaf(file) {
    const name = file.kind
      ? make("button", { className: "name", name: "only", value: file.id }, file.name)
      : make("span", { className: "name" }, file.name);
    if (file.kind) name.append(make("span", { className: "unseen" }, " (opens in the viewer)"));
    const row = make("div", { className: "row" }, name);
    row.append(make("span", { className: file.state === "dangling" ? "bad" : "size" }, file.size));
    this.rows.push([row, file]);
    this.integrity.mark(row, file);
    return make("li", {}, row);
  }
}

function picture(file) {
  const blank = (text) => make("span", { className: "blank" }, make("span", {}, text));
  if (file.kind !== "image") return blank(file.kind);
  const src = `api/thumbnail/${file.id}`;
  const image = make("img", { loading: "lazy", decoding: "async", width: 384, height: 128 });
  image.alt = "Sagittal, coronal and axial slice of ";
  let again = 0;
  image.addEventListener("error", async () => {
    const answer = await fetch(src).catch(() => undefined);
    if (answer?.ok || (answer?.status === 503 && again++ < 5)) {
      setTimeout(() => (image.src = `${src}?again=${again++}`), 1000);
      return;
    }
    const text = answer?.status === 422 ? await answer.text() : "no picture";
    image.replaceWith(blank(text));
  });
  image.src = src;
  return image;
}

function moveInGallery(gallery, event) {
  const cards = [...gallery.querySelectorAll(".card")];
  const at = cards.indexOf(document.activeElement);
  if (at < 0) return;
  const top = cards[0].offsetTop;
  const other = cards.findIndex((card) => card.offsetTop !== top);
  const columns = other < 0 ? cards.length : other;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  let to;
  if (event.key in steps) to = at + steps[event.key];
  else if (event.key === "Home") to = 0;
  else if (event.key === "End") to = cards.length - 1;
  else return;
  event.preventDefault();
  cards[to]?.focus();
}

function moveInTree(tree, event) {
  const at = document.activeElement;
  const reachable = (one) => one.checkVisibility();
  const items = [...tree.querySelectorAll("summary, button")].filter(reachable);
  const place = items.indexOf(at);
  if (place < 0) return;
  const folder = at.tagName === "SUMMARY" ? at.parentElement : undefined;
  let to;
  if (event.key === "ArrowDown") to = items[place + 1];
  else if (event.key === "ArrowUp") to = items[place - 1];
  else if (event.key === "Home") to = items[0];
  else if (event.key === "End") to = items.at(-1);
  else if (event.key === "ArrowRight" && folder && !folder.open) folder.open = true;
  else if (event.key === "ArrowRight" && folder) to = items[place + 1];
  else if (event.key === "ArrowLeft" && folder?.open) folder.open = false;
  else if (event.key === "ArrowLeft") {
    to = (folder ?? at).parentElement.closest("details")?.querySelector("summary");
  } else return;
  event.preventDefault();
  to?.focus();
}
