// A status route as the first servers of the Weights API had it: an Express application with its states in memory.
// Usage: node express_status.js PORT KEY; Express is found in the current folder.
"use strict";
const path = require("node:path");
const express = require(path.join(process.cwd(), "node_modules", "express"));

const [port, key] = process.argv.slice(2);
const now = Date.now();
const status = {
  status: "QUEUED",
  prompt: "a lighthouse at dusk",
  startTime: now,
  lastModifiedDate: now,
  error: null,
};
const states = new Map([["0".repeat(32), status]]);
const app = express();

app.use((request, response, next) => {
  if (request.headers["x-api-key"] === key) return next();
  return response.status(401).json({ error: "Invalid or missing API key." });
});
app.get("/status/:id", (request, response) => {
  const state = states.get(request.params.id);
  return state ? response.json(state) : response.status(404).json({ status: "NOT_FOUND", error: "Image not found" });
});
app.listen(Number(port), "127.0.0.1", () => console.log("ready"));
