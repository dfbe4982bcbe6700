// The line to the server: it connects again by itself, and asks for what it has missed.

const [FIRST, LONGEST] = [250, 15_000]; // milliseconds until the next try
const NOT_AGAIN = 4401; // log in
const QUIET = 2.5; // pings that may be missing before the line counts as cut

export class Line {
  // `heard` is given each frame, `changed` whether the line is up, `missed` says after which number to go on.
  constructor({ heard, changed, resume, out }) {
    Object.assign(this, { heard, changed, resume, out });
    this.tries = 0;
    addEventListener("online", () => this.connect());
    addEventListener("offline", () => this.socket?.close());
    document.addEventListener("visibilitychange", () => document.hidden || this.connect());
  }

  get up() {
    return this.socket?.readyState === WebSocket.OPEN && this.greeted;
  }

  send(frame) {
    if (this.up) this.socket.send(JSON.stringify(frame));
    return this.up;
  }

  connect() {
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.again);
    this.greeted = false;
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    const socket = new WebSocket(address, "ws-chat.v1");
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", version: 1 }));
    socket.onmessage = ({ data }) => socket === this.socket && this.take(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.lost(code);
  }

  take(frame) {
    this.watch();
    if (frame.type === "ping") return this.send({ type: "pong" });
    if (frame.type === "welcome") {
      this.greeted = true;
      this.ping = frame.ping;
      this.tries = 0;
      this.watch();
      this.changed(true);
      return this.resume();
    }
    return this.heard(frame);
  }

  // A line that is cut without a word is noticed by the pings that do not come.
  watch() {
    clearTimeout(this.silent);
    if (this.ping) this.silent = setTimeout(() => this.abandon(), this.ping * QUIET * 1000);
  }

  abandon() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.lost(1006);
  }

  lost(code) {
    clearTimeout(this.silent);
    this.greeted = false;
    this.changed(false);
    if (code === NOT_AGAIN) return this.out();
    // Half of the wait is chance, so that a thousand pages do not come back at the same moment.
    const wait = Math.min(LONGEST, FIRST * 2 ** this.tries++) * (0.5 + Math.random() / 2);
    this.again = setTimeout(() => this.connect(), wait);
  }
}
