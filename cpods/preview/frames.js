// A goal that the browser shows itself: HTML, or a PDF file where its pages cannot be drawn. Knows no build.
// The next version is loaded behind the one that is shown, brought to the same place, and only then seen.

export class Framed {
  // met(document): a document of ours was loaded.
  constructor(stage, number, address, place, met) {
    Object.assign(this, { stage, number, address, met, version: 0, place: { down: 0, right: 0, ...place }, shown: null });
    stage.classList.add("framed");
  }

  close() {
    this.remember();
    this.stage.classList.remove("framed");
    this.stage.replaceChildren();
  }

  show(version) {
    if (version === this.version) return;
    this.version = version;
    this.remember();
    this.coming?.remove();
    const frame = this.coming = document.createElement("iframe");
    frame.className = "coming";
    frame.title = "document";
    frame.src = this.source();
    frame.addEventListener("load", () => this.swap(frame), { once: true });
    this.stage.append(frame);
  }

  // The reader may have followed a link to another file of the same folder: that one is shown again.
  source() {
    const first = `${this.number}/${this.address}`;
    try {
      const now = this.shown?.contentWindow.location;
      if (now && now.pathname.includes(`/${this.number}/html/`)) return now.pathname + now.search;
    } catch { /* elsewhere on the net */ }
    return this.address.startsWith("file/") ? `${first}?v=${this.version}` : first;
  }

  remember() {
    try {
      const { scrollX, scrollY } = this.shown.contentWindow;
      this.place = { down: scrollY, right: scrollX };
    } catch { /* nothing shown yet, or elsewhere on the net */ }
  }

  swap(frame) {
    if (frame !== this.coming) return;
    this.remember();
    try {
      frame.contentWindow.scrollTo({ top: this.place.down, left: this.place.right, behavior: "instant" });
      this.met(frame.contentDocument);
    } catch { /* the browser's own viewer */ }
    frame.classList.remove("coming");
    this.shown?.remove();
    this.shown = frame;
    this.coming = null;
  }
}
