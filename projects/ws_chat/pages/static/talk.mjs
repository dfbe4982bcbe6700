// A conversation as it is shown, and how an event changes it: pure, so that it can be tested without a browser.
// `seq` is the number of the last event that was shown; `pending` are messages that the server has not confirmed.

export const EMPTY = { seq: 0, messages: [], writing: null, place: null, pending: [], typing: false, loaded: false };

const NUMBERED = new Set(["message", "removed", "started", "token", "done"]);

// The conversation after a frame; null if a frame is missing before it, so that it must be subscribed to again.
export function after(talk, frame) {
  if (NUMBERED.has(frame.type)) {
    if (frame.seq <= talk.seq) return talk; // it was shown
    if (frame.seq !== talk.seq + 1) return null;
    return { ...CHANGES[frame.type](talk, frame), seq: frame.seq };
  }
  return CHANGES[frame.type]?.(talk, frame) ?? talk;
}

const CHANGES = {
  snapshot: (talk, { seq, messages, writing }) => ({
    ...talk, seq, messages, writing, place: null, loaded: true, pending: unconfirmed(talk.pending, messages),
  }),
  message: (talk, { message }) => ({
    ...talk, messages: [...talk.messages, message], pending: unconfirmed(talk.pending, [message]), typing: false,
  }),
  removed: (talk, { messages }) => ({ ...talk, messages: talk.messages.filter(({ id }) => !messages.includes(id)) }),
  started: (talk, { answer }) => ({ ...talk, writing: { answer, text: "" }, place: null }),
  token: (talk, { answer, text }) => ({ ...talk, writing: { answer, text: (talk.writing?.text ?? "") + text } }),
  done: (talk, { message, reason }) => ({
    ...talk, writing: null, place: null, ended: reason, messages: message ? [...talk.messages, message] : talk.messages,
  }),
  waiting: (talk, { place }) => ({ ...talk, place }),
  typing: (talk) => ({ ...talk, typing: true }),
};

export const refusedMessage = (talk, id, code) => ({
  ...talk, pending: talk.pending.map((each) => (each.id === id ? { ...each, error: code } : each)),
});

export const busy = (talk) => talk.writing !== null || talk.place !== null || talk.pending.some(({ error }) => !error);

const unconfirmed = (pending, messages) => pending.filter(({ id }) => !messages.some((message) => message.id === id));
