// Creates a workspace, follows its run, freezes it, exports it and deletes it, with a client whose types come from
// openapi.yaml. Takes BERTH_URL, BERTH_TOKEN and BERTH_ACCOUNT_ID from the environment.
import { createHash, randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./berth.js";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: source dev.env first`);
  return value;
}

/** What was answered, or the problem as an error. */
function answered<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.error) throw new Error(`${answer.error.code}: ${answer.error.detail} (request ${answer.error.request_id})`);
  if (answer.data === undefined) throw new Error("an answer without a body");
  return answer.data;
}

const berth = createClient<paths>({ baseUrl: setting("BERTH_URL"), headers: { Authorization: `Bearer ${setting("BERTH_TOKEN")}` } });

// Create: the key makes it safe to send the request again, whatever happened to the first answer.
const created = answered(
  await berth.POST("/v1/workspaces", {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { account_id: setting("BERTH_ACCOUNT_ID"), name: "TypeScript walkthrough", region: "local" },
  }),
);
if (!("workspace_id" in created)) throw new Error("only a dry run is answered with a plan");
console.log(`workspace ${created.workspace_id}, run ${created.provisioning_run_id}`);

// Follow: a long poll answers when the run has moved on from the version that the ETag names.
const run = { id: created.provisioning_run_id };
let etag: string | undefined;
for (let terminal = false; !terminal; ) {
  const answer = await berth.GET("/v1/provisioning-runs/{id}", {
    params: { path: run, query: { wait: "30s" }, header: { "If-None-Match": etag } },
  });
  if (answer.response.status === 304) continue;
  const state = answered(answer);
  etag = answer.response.headers.get("ETag") ?? undefined;
  console.log(`run is ${state.state}, ${state.progress.done} of ${state.progress.total} steps`);
  terminal = state.terminal;
  if (terminal && state.state !== "succeeded") throw new Error(`the run ${state.state}`);
}

// Freeze: 200 means that no change gets through any more.
const path = { id: created.workspace_id };
const frozen = answered(
  await berth.PATCH("/v1/workspaces/{id}/status", {
    params: { path },
    body: { status: "frozen", reason: { code: "walkthrough", note: "to see it" } },
  }),
);
console.log(`workspace is ${frozen.status} by ${frozen.freezes.map((f) => f.source).join(", ")}`);

// Export: the receipt proves that what arrived is all of it.
const exported = await berth.GET("/v1/workspaces/{id}/export", { params: { path, query: { format: "ndjson" } }, parseAs: "text" });
const text = answered(exported as { data?: string; error?: components["schemas"]["Problem"] });
const receipt = answered(
  await berth.GET("/v1/exports/{id}", { params: { path: { id: exported.response.headers.get("Export-Id") ?? "" } } }),
);
const digest = createHash("sha256").update(text).digest("hex");
if (!receipt.complete || receipt.sha256 !== digest) throw new Error("the export is not complete");
console.log(`exported ${receipt.rows} rows, ${receipt.bytes} bytes, digest checked`);

// Delete: only what we have seen.
const seen = await berth.GET("/v1/workspaces/{id}", { params: { path } });
const deleted = answered(
  await berth.DELETE("/v1/workspaces/{id}", { params: { path, header: { "If-Match": seen.response.headers.get("ETag") ?? "" } } }),
);
console.log(`workspace is ${deleted.status}, purged after ${deleted.purge_at}`);
