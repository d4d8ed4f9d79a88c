// What the page asks its server for, and the model of a run behind the interface of model.js.

async function ask(path, change) {
  const headers = {};
  if (data.serve.access) headers.Authorization = `Bearer ${data.serve.access}`;
  if (change) headers["Content-Type"] = "application/json", headers["X-Qkv-Token"] = data.serve.token;
  const response = await fetch(path, {method: change ? "POST" : "GET", headers, body: change && JSON.stringify(change), cache: "no-store"});
  const answer = await response.json();
  if (answer && answer.error) throw new Error(answer.error);
  return answer;
}

// A path with parameters; empty ones are left out.
function address(path, parameters) {
  const list = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map(one => [name, one])).filter(([, value]) => value !== "" && value !== undefined);
  return list.length ? `${path}?${new URLSearchParams(list)}` : path;
}
// Of a page of this server, which is opened or shown by the browser itself.
const pageAddress = (path, parameters) => address(path, {...parameters, token: data.serve.access});

class ServerModel {
  constructor(run) { this.name = run, this.drawing = drawing(run); }
  answer(text, {progress, ...options} = {}) { return ask("/api/answer", {run: this.name, text, options}); }
}
