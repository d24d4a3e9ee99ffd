// Runs the program of docs/events.md as a browser would, and prints what it is told and shows, one JSON value a line.
import { EventSource } from "eventsource";

globalThis.EventSource = EventSource;
const { follow } = await import("./events.mjs");
const { PROJECT_URL, SESSION_ID, CODELAB_TOKEN } = process.env;

const built = {};
let last;
const ended = await follow(PROJECT_URL, SESSION_ID, () => CODELAB_TOKEN, (event, state) => {
  for (const [id, { text }] of state.texts) built[id] = text;
  last = state;
  console.log(JSON.stringify(event));
}).catch((error) => error.message);
console.log(JSON.stringify({ type: "shown", ended, messages: [...last.messages.values()], left: last.texts.size, built }));
