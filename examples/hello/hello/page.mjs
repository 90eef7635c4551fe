// A page that shows greeting.txt; what it says changes with a commit.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const greeting = readFileSync("/srv/greeting.txt", "utf8").trim();
const escaped = greeting.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped}</title>
<style>
  body { font: 1.25rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 18vh auto; padding: 0 1rem; color: #1c2733; background: #f6f7f4; }
  h1 { font-size: 2.5rem; line-height: 1.1; margin: 0 0 1rem; }
  code { background: #e6e9e2; padding: 0.1em 0.35em; border-radius: 0.25em; }
</style>
<h1>${escaped}</h1>
<p>This page is <code>hello/greeting.txt</code> of a Git repository. Commit another greeting, and pgo restarts this one service.</p>
</html>
`;

createServer((request, response) => {
  response.writeHead(request.url === "/" || request.url === "/ready" ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
  response.end(request.url === "/ready" ? "ok" : page);
}).listen(8080);
