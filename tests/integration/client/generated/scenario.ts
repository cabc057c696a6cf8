// The main job with a client whose types are generated: submit, follow the events, fetch the picture; and an error.

import createClient from "openapi-fetch";
import type { components, paths } from "./darkroom.js";

declare const process: { argv: string[]; stdout: { write(text: string): void } };

type Job = components["schemas"]["JobView"];
type Problem = components["schemas"]["NativeError"];

const [baseUrl = "", key = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { "x-api-key": key } });

async function submit(prompt: string): Promise<Job> {
  const { data, error } = await client.POST("/api/v1/jobs", {
    body: { prompt, inputs: { seed: 7, width: 256, height: 256, steps: 4 } },
  });
  if (!data) throw new Error(JSON.stringify(error));
  return data;
}

async function follow(id: string): Promise<string[]> {
  const { data } = await client.GET("/api/v1/jobs/{job_id}/events", {
    params: { path: { job_id: id } },
    parseAs: "stream",
  });
  const types: string[] = [];
  let text = "";
  const decoder = new TextDecoder();
  const reader = (data as ReadableStream<Uint8Array>).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true });
  }
  for (const line of text.split("\n")) if (line.startsWith("event: ")) types.push(line.slice(7));
  return types;
}

async function refuse(): Promise<Problem> {
  const { error } = await client.POST("/api/v1/jobs", { body: { prompt: " " } });
  if (!error) throw new Error("A blank prompt was accepted.");
  return error;
}

const job = await submit("a lighthouse at dusk");
const events = await follow(job.id);
const { data: ended } = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: job.id } } });
const { data: picture } = await client.GET("/api/v1/jobs/{job_id}/result", {
  params: { path: { job_id: job.id } },
  parseAs: "arrayBuffer",
});
const { data: page } = await client.GET("/api/v1/jobs", { params: { query: { limit: 5 } } });
const problem = await refuse();
const report = {
  id: job.id,
  status: ended?.status,
  sizeBytes: ended?.result?.sizeBytes,
  received: (picture as ArrayBuffer | undefined)?.byteLength,
  isListed: page?.jobs.some((listed) => listed.id === job.id),
  events,
  code: problem.error.code,
};
process.stdout.write(JSON.stringify(report));
