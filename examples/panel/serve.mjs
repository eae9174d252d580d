// Serves the panel and passes its /rpc calls on to a gateway, so that page and gateway have one origin.
// Usage: node examples/panel/serve.mjs [--gateway http://127.0.0.1:8787] [--port 5173] [--model NAME]
// TIDEGATE_PANEL_KEY: the client key that the calls are made with. It stays here, the page never sees it.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const compiled = path.join(root, 'build/panel');
const compiler = path.join(root, 'tests/e2e/node_modules/typescript/lib/tsc.js');

const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml' };
const page_headers = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};
// Of one connection only, or for this server alone.
const not_passed_on = new Set(['host', 'origin', 'referer', 'cookie', 'connection', 'keep-alive', 'proxy-connection',
  'te', 'trailer', 'transfer-encoding', 'upgrade']);

// Compiles src/ and the generated client into build/panel.
export async function compile() {
  if (!existsSync(compiler)) throw new Error('the TypeScript compiler is missing: npm ci --prefix tests/e2e');
  try {
    await promisify(execFile)(process.execPath, [compiler, '-p', here]);
  } catch (error) {
    throw new Error(`the panel does not compile:\n${error.stdout}`);
  }
}

// Listens on loopback; port 0 lets the system choose. Gives {url, stop}.
export async function start({ gateway, port = 0, model, key } = {}) {
  const target = new URL(gateway);
  const server = http.createServer((request, reply) => {
    const own = new Set(['127.0.0.1', 'localhost'].map((name) => `${name}:${server.address().port}`));
    // Another site's page may neither call through here nor pass for this host by a name of its own.
    const { host = '', origin } = request.headers;
    if (!own.has(host) || (origin !== undefined && origin !== `http://${host}`)) return refuse(reply, 403);
    if (request.url.startsWith('/rpc/')) return pass_on(request, reply, target, key);
    return give_file(request, reply, { model });
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function refuse(reply, status) {
  reply.writeHead(status, { 'content-type': 'text/plain' });
  reply.end(`${http.STATUS_CODES[status]}\n`);
}

function pass_on(request, reply, target, key) {
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !not_passed_on.has(name)));
  if (key) headers.authorization = `Bearer ${key}`;
  const { request: call_of } = target.protocol === 'https:' ? https : http;
  const call = call_of({ hostname: target.hostname, port: target.port, method: request.method,
    path: target.pathname.replace(/\/+$/, '') + request.url, headers, agent: false });
  call.on('response', (answer) => {
    const kept = Object.entries(answer.headers).filter(([name]) => !not_passed_on.has(name));
    reply.writeHead(answer.statusCode, Object.fromEntries(kept));
    answer.on('error', () => reply.destroy());
    answer.pipe(reply);
  });
  call.on('error', () => {
    if (reply.headersSent) reply.destroy();
    else refuse(reply, 502);
  });
  // A page that leaves its stream must end it at the gateway too: that cancels the run.
  reply.on('close', () => call.destroy());
  request.on('error', () => call.destroy());
  request.pipe(call);
}

async function give_file(request, reply, settings) {
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(reply, 405);
  if (!URL.canParse(request.url, 'http://page')) return refuse(reply, 400);
  const where = new URL(request.url, 'http://page').pathname;
  if (where === '/settings.json') {
    reply.writeHead(200, { ...page_headers, 'content-type': 'application/json' });
    return reply.end(JSON.stringify(settings));
  }
  // What is compiled lies under /js/, everything else beside this file; neither is left.
  const [folder, name] = where.startsWith('/js/') ? [compiled, where.slice(4)]
    : [path.join(here, 'page'), where.slice(1) || 'index.html'];
  const file = path.join(folder, path.normalize(`/${name}`));
  const type = types[path.extname(file)];
  if (!type) return refuse(reply, 404);
  try {
    const body = await readFile(file);
    reply.writeHead(200, { ...page_headers, 'content-type': `${type}; charset=utf-8` });
    return reply.end(body);
  } catch {
    return refuse(reply, 404);
  }
}

async function main() {
  const { values } = parseArgs({ options: {
    gateway: { type: 'string', default: 'http://127.0.0.1:8787' },
    port: { type: 'string', default: '5173' },
    model: { type: 'string' },
  } });
  await compile();
  const { url } = await start({ ...values, port: Number(values.port), key: process.env.TIDEGATE_PANEL_KEY });
  console.log(`panel: ${url} (gateway ${values.gateway})`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error) => {
    console.error(`panel: ${error.message}`);
    process.exitCode = 1;
  });
}
