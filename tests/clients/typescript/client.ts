// What a browser's developer writes on top of the generated types. It has to compile strictly, and then to work.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Event = components["schemas"]["Event"];
type Problem = components["schemas"]["Problem"];

const { CODELAB_URL: baseUrl, CODELAB_TOKEN: token } = process.env;
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function given<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.reason}: ${answer.error?.detail}`);
  return answer.data;
}

/** One line for an event: `type` tells which payload it has. */
function told(event: Event): string {
  switch (event.type) {
    case "message_received":
      return `${event.payload.message.role}: ${event.payload.message.content}`;
    case "agent_completed":
      return `${event.payload.agent_name} took ${event.payload.duration_ms.toFixed()} ms`;
    case "run_failed":
      // @ts-expect-error: only a completed agent has an output.
      event.payload.output;
      return event.payload.error.reason;
    default:
      return event.type;
  }
}

const created = given(await api.POST("/my/projects", { body: { name: "Typed" } }));
const listed = given(await api.GET("/my/projects", { params: { query: { page_size: 200 } } }));
const project_id = created.id;
const path = { project_id };

// What may be null says so, and what must be sent is asked for.
const label: string | null = created.workspace_path;
// @ts-expect-error: null is no string.
const text: string = created.workspace_path;
// @ts-expect-error: a project needs a name.
const nameless: components["schemas"]["ProjectInput"] = {};

const agents = given(await api.GET("/my/projects/{project_id}/agents", { params: { path } }));
const session = given(await api.POST("/my/projects/{project_id}/chat/sessions", { params: { path } }));
const message = given(
  await api.POST("/my/projects/{project_id}/chat/{session_id}/message", {
    params: { path: { project_id, session_id: session.id } },
    body: { content: "Good day", target_agent: agents.agents[0]?.name },
  }),
);
const timeline = given(
  await api.GET("/my/projects/{project_id}/runs/{run_id}:events", {
    params: { path: { project_id, run_id: message.run_id ?? "" } },
  }),
);
const missing = await api.GET("/my/projects/{project_id}", { params: { path: { project_id: session.id } } });

console.log(
  JSON.stringify({
    listed: listed.projects.some((each) => each.id === created.id),
    label,
    unchecked: [typeof text, typeof nameless],
    role: message.role,
    events: timeline.events.map(told),
    missing: missing.error?.reason,
  }),
);
