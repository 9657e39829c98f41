// The pages of a PDF goal as images, one below the other. Knows no build: it is told that there is another version.
// Only pages near the window are drawn; a page is swapped only if its pixels changed, after the new image is ready.

const POINTS_TO_PIXELS = 96 / 72;
const USUAL_WIDTH = 920; // CSS pixels: a page on a wide screen does not need all of it
const READING_LINE = 0.35; // of the window's height: where the eye is taken to be
const KEPT_AROUND = 40; // pages further away give their image back
const DRAWS_AT_ONCE = 2;
const ZOOM_STEP = 1.15;

class Sheet {
  constructor() {
    this.box = document.createElement("div");
    this.box.className = "sheet";
    this.forget();
  }
  // version: the one it was last compared with; width: of its image in device pixels.
  forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.box.replaceChildren();
    Object.assign(this, { url: "", digest: "", version: 0, width: 0, drawing: null, links: [], linked: 0 });
  }
  show(image) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = image.src;
    this.box.replaceChildren(image, ...this.links);
  }
  // linked: the version that the links are of.
  link(links, version) {
    for (const link of this.links) link.remove();
    this.links = links;
    this.linked = version;
    this.box.append(...links);
  }
  say(sentence) {
    const words = document.createElement("p");
    words.className = "undrawn";
    words.textContent = sentence;
    this.box.replaceChildren(words);
  }
}

export class Pages {
  // moved(page, count, zoom): the reader sees another page, or at another size.
  constructor(stage, number, place, zoom, moved) {
    Object.assign(this, { stage, number, zoom, moved, version: 0, sizes: [], sheets: [], scales: [], drawing: 0, place, coming: null });
    this.onscroll = () => this.look();
    this.onresize = () => this.keeping(() => this.layOut());
    addEventListener("scroll", this.onscroll, { passive: true });
    addEventListener("resize", this.onresize);
  }

  close() {
    removeEventListener("scroll", this.onscroll);
    removeEventListener("resize", this.onresize);
    this.closed = true;
    for (const sheet of this.sheets) sheet.forget();
    this.stage.replaceChildren();
  }

  // One after the other; versions in between may be skipped.
  async show(version) {
    this.coming = version;
    if (this.busy) return;
    this.busy = true;
    try {
      while (!this.closed && this.coming > this.version) {
        const aim = this.coming;
        const seen = this.sheets.length ? this.anchor() : this.place;
        const answer = await fetch(`${this.number}/pages?since=${this.version}&at=${seen.page}`);
        if (!answer.ok || this.closed) return;
        this.take(await answer.json(), seen);
        if (this.version < aim) return;
      }
    } catch {
      // No connection: we are told again when there is one.
    } finally {
      this.busy = false;
    }
  }

  take({ version, sizes, at }, seen) {
    if (!sizes.length) return;
    const first = !this.sheets.length;
    // Where the reader is now, which may be elsewhere than when we asked.
    const place = first ? { ...seen } : this.anchor();
    const shift = first ? 0 : at - seen.page;
    if (shift > 0) this.add(seen.page, shift);
    if (shift < 0) this.drop(at, -shift);
    if (place.page >= seen.page) place.page += shift;
    if (this.sheets.length > sizes.length) this.drop(sizes.length, this.sheets.length - sizes.length);
    this.add(this.sheets.length, sizes.length - this.sheets.length);
    this.version = version;
    this.sizes = sizes;
    this.layOut();
    this.restore(place);
    this.look();
  }

  add(at, count) {
    const made = Array.from({ length: Math.max(0, count) }, () => new Sheet());
    const after = this.sheets[at]?.box ?? null;
    for (const sheet of made) this.stage.insertBefore(sheet.box, after);
    this.sheets.splice(at, 0, ...made);
  }

  drop(from, count) {
    for (const sheet of this.sheets.splice(from, count)) {
      sheet.forget();
      sheet.box.remove();
    }
  }

  layOut() {
    const style = getComputedStyle(this.stage);
    const room = document.documentElement.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = innerHeight - 28;
    this.sheets.forEach((sheet, page) => {
      const [w, h] = this.sizes[page];
      const scale = this.scales[page] = this.scale(w, h, room, height);
      sheet.box.style.width = `${Math.max(1, Math.round(w * scale))}px`;
      sheet.box.style.height = `${Math.max(1, Math.round(h * scale))}px`;
    });
    this.scales.length = this.sheets.length;
  }

  scale(width, height, room, tall) {
    if (this.zoom === "width") return room / width;
    if (this.zoom === "page") return Math.min(room / width, tall / height);
    if (this.zoom === "usual") return Math.min(room, USUAL_WIDTH * Math.max(1, width / 612)) / width;
    return this.zoom * POINTS_TO_PIXELS;
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.keeping(() => this.layOut());
  }

  zoomBy(steps) {
    const now = (this.scales[this.anchor().page] ?? 1) / POINTS_TO_PIXELS;
    this.setZoom(Math.min(8, Math.max(0.1, now * ZOOM_STEP ** steps)));
  }

  // Which page the reader is at, how far down in it, and how far to the right.
  anchor() {
    const line = innerHeight * READING_LINE;
    let page = 0;
    for (let low = 0, high = this.sheets.length - 1; low <= high; ) {
      const middle = (low + high) >> 1;
      if (this.sheets[middle].box.getBoundingClientRect().top <= line) { page = middle; low = middle + 1; } else high = middle - 1;
    }
    if (!this.sheets.length) return { page: 0, down: 0, right: 0.5 };
    const box = this.sheets[page].box.getBoundingClientRect();
    return { page, down: (line - box.top) / box.height, right: (innerWidth / 2 - box.left) / box.width };
  }

  restore({ page, down, right }) {
    const sheet = this.sheets[Math.min(page, this.sheets.length - 1)];
    if (!sheet) return;
    const box = sheet.box.getBoundingClientRect();
    const line = innerHeight * READING_LINE;
    scrollBy({ top: box.top + down * box.height - line, left: box.left + right * box.width - innerWidth / 2, behavior: "instant" });
  }

  keeping(change) {
    const place = this.anchor();
    change();
    this.restore(place);
    this.look();
  }

  go(page, down = 0) {
    const sheet = this.sheets[Math.min(Math.max(page, 0), this.sheets.length - 1)];
    if (!sheet) return;
    const box = sheet.box.getBoundingClientRect();
    scrollTo({ top: scrollY + box.top + down * box.height - 14, behavior: "instant" });
  }

  // Says where the reader is, draws what is near, gives back what is far. At most once a frame.
  look() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.closed || !this.sheets.length) return;
      this.place = this.anchor();
      this.moved(this.place.page, this.sheets.length, this.scales[this.place.page] / POINTS_TO_PIXELS);
      this.sheets.forEach((sheet, page) => {
        if (Math.abs(page - this.place.page) > KEPT_AROUND && sheet.url && !this.distance(sheet, true)) sheet.forget();
      });
      this.pump();
    });
  }

  // How far a page is from the window, 0 inside; with `near`: whether it is within a window's height.
  distance(sheet, near = false) {
    const { top, bottom } = sheet.box.getBoundingClientRect();
    const away = Math.max(0, -bottom, top - innerHeight);
    return near ? away <= innerHeight : away;
  }

  // Nobody draws any more.
  halt() {
    this.halted = true;
  }

  pump() {
    if (this.halted) return;
    const from = Math.max(0, this.place.page - 12), to = Math.min(this.sheets.length, this.place.page + 13);
    const waiting = [];
    for (let page = from; page < to; page++) {
      const sheet = this.sheets[page];
      const width = Math.round(this.sizes[page][0] * this.scales[page] * devicePixelRatio);
      if (!this.distance(sheet, true)) sheet.drawing?.abort(); // scrolled past before it was drawn
      else if (!sheet.drawing && (sheet.version !== this.version || sheet.width !== width)) waiting.push({ sheet, page, width });
    }
    waiting.sort((one, other) => this.distance(one.sheet) - this.distance(other.sheet) || one.page - other.page);
    for (const { sheet, page, width } of waiting.slice(0, Math.max(0, DRAWS_AT_ONCE - this.drawing))) this.draw(sheet, page, width);
  }

  async link(sheet, page, version, signal) {
    const answer = await fetch(`${this.number}/links/${page}?v=${version}`, { signal });
    if (!answer.ok) return;
    const links = (await answer.json()).map((told) => link(told, (to, down) => this.jump(to, down)));
    if (version === this.version && this.sheets.includes(sheet)) sheet.link(links, version);
  }

  // As go, but the browser's way back leads to where the reader was.
  jump(page, down) {
    history.replaceState({ place: this.anchor() }, "");
    this.go(page, down);
    history.pushState({ place: this.anchor() }, "");
  }

  async draw(sheet, page, width) {
    const { version } = this;
    const known = sheet.width === width ? sheet.digest : "";
    const abort = sheet.drawing = new AbortController();
    this.drawing++;
    try {
      const answer = await fetch(`${this.number}/page/${page}?v=${version}&w=${width}&known=${known}`, { signal: abort.signal });
      const image = answer.status === 200 ? await ready(await answer.blob()) : null;
      const stale = version !== this.version || this.closed || !this.sheets.includes(sheet);
      if (stale || answer.status === 410) {
        if (image) URL.revokeObjectURL(image.src);
        return;
      }
      if (image) {
        image.alt = `page ${page + 1}`;
        sheet.show(image);
        sheet.digest = answer.headers.get("X-Digest");
      } else if (answer.status !== 204) {
        sheet.forget();
        sheet.say(await answer.text());
      }
      Object.assign(sheet, { version, width });
      if (sheet.url && sheet.linked !== version) await this.link(sheet, page, version, abort.signal);
    } catch (error) {
      // No connection: asked again, but not at once.
      if (error.name !== "AbortError") await new Promise((later) => setTimeout(later, 1000));
    } finally {
      this.drawing--;
      if (sheet.drawing === abort) sheet.drawing = null;
      this.look();
    }
  }
}

function link({ box: [left, top, width, height], page, down, url }, jump) {
  const made = document.createElement("a");
  made.className = "link";
  const share = (value) => `${100 * value}%`;
  Object.assign(made.style, { left: share(left), top: share(top), width: share(width), height: share(height) });
  if (url) Object.assign(made, { href: url, title: url, target: "_blank", rel: "noopener noreferrer" });
  else {
    made.title = `page ${page + 1}`;
    made.addEventListener("click", () => jump(page, down));
  }
  return made;
}

async function ready(blob) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  return image;
}
