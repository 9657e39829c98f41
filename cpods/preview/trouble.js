// What is wrong, over the last good page. Put away by the reader, it comes back with the next failure, not with the same one.
// Knows no connection.

const SOURCE_MAX = 260; // characters: a paragraph is often one line

const $ = (name) => document.getElementById(name);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Trouble {
  constructor() {
    Object.assign(this, { failure: "", away: "", problems: [] });
    $("dismiss").addEventListener("click", () => this.putAway());
    $("sign").addEventListener("click", () => this.bringBack());
  }

  get isOpen() { return Boolean(this.failure) && this.away !== this.failure; }

  // lastGood: whether there is a version below.
  show({ failure, problems, more }, lastGood) {
    if (failure !== this.failure) {
      this.failure = failure;
      this.away = "";
      if (failure) this.list(problems, more);
    }
    const count = problems.length + more;
    const below = lastGood ? "below is the last good version" : "there is no good version yet";
    $("trouble-title").textContent = count > 1 ? `${count} problems; ${below}` : below[0].toUpperCase() + below.slice(1);
    this.reveal();
  }

  putAway() { this.away = this.failure; this.reveal(); }
  bringBack() { this.away = ""; this.reveal(); }

  reveal() {
    $("veil").hidden = $("trouble").hidden = !this.isOpen;
    $("sign").hidden = !this.failure || this.isOpen;
  }

  list(problems, more) {
    const count = problems.length + more;
    $("sign").textContent = count > 1 ? `${count} problems` : "1 problem";
    $("trouble-rest").textContent = more ? `and ${more} more: the terminal lists them` : count ? "" : "The build failed; the terminal says why.";
    $("trouble-list").replaceChildren(...problems.map(entry));
    $("trouble-list").scrollTop = 0;
  }
}

function entry({ file, line, message, source }) {
  const item = element("li");
  if (file) {
    const place = line ? `${file}:${line}` : file;
    const where = element("button", "where", place);
    where.title = "Copy";
    where.addEventListener("click", async () => {
      await navigator.clipboard?.writeText(place);
      where.classList.add("copied");
      setTimeout(() => where.classList.remove("copied"), 1500);
    });
    item.append(where);
  }
  item.append(element("p", "message", message));
  if (source?.trim()) {
    const row = element("div", "source");
    if (line) row.append(element("i", "", line));
    const [before, named, after] = excerpt(source.trimEnd(), message);
    const code = element("code", "", before);
    if (named) code.append(element("mark", "", named));
    code.append(after);
    row.append(code);
    item.append(row);
  }
  return item;
}

// The line around what the message names, in three parts.
function excerpt(source, message) {
  const names = message.match(/\\[A-Za-z@]+|`[^'`]+'|"[^"]+"/g) ?? [];
  const named = names.map((name) => name.replace(/^[`"]|['"]$/g, "")).find((name) => source.includes(name)) ?? "";
  const at = named ? source.indexOf(named) : 0;
  const from = source.length <= SOURCE_MAX ? 0 : Math.max(0, Math.min(at - SOURCE_MAX / 2, source.length - SOURCE_MAX));
  const to = Math.max(Math.min(source.length, from + SOURCE_MAX), at + named.length);
  const tail = source.slice(at + named.length, to) + (to < source.length ? "…" : "");
  return [(from ? "…" : "") + source.slice(from, at), named, tail];
}
